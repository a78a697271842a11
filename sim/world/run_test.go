package world

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func builtInScenario(t *testing.T, name string) Scenario {
	t.Helper()
	all, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("Expected a scenario %s", name)
	return Scenario{}
}

func short(s Scenario) Scenario {
	s.Duration, s.From = 120, 60
	for i := range s.Events {
		s.Events[i].At, s.Events[i].Until = 60, 90
	}
	return s
}

// TestEveryPolicyOnEveryScenario runs a short form of each.
func TestEveryPolicyOnEveryScenario(t *testing.T) {
	all, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 8 {
		t.Errorf("Expected S1 to S8, got %d scenarios", len(all))
	}
	for _, s := range all {
		for _, p := range Policies() {
			s := short(s)
			r, err := Run(&s, p.Name, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !(r.MeanRatio >= 1) || r.P99Ratio < r.MeanRatio/2 || r.Requests == 0 || math.IsNaN(r.RequestP99) || len(r.Series) == 0 {
				t.Errorf("%s %s: expected a measured run, got %+v", s.Name, p.Name, r)
			}
		}
	}
}

func TestRunsRepeat(t *testing.T) {
	s := short(builtInScenario(t, "S6"))
	for _, p := range []string{"predict", "predict+shared", "p2c", "oracle"} {
		a, _ := Run(&s, p, 3, nil)
		b, _ := Run(&s, p, 3, nil)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: expected the same result of the same seed", p)
		}
		c, _ := Run(&s, p, 4, nil)
		if reflect.DeepEqual(a, c) {
			t.Errorf("%s: expected another result of another seed", p)
		}
	}
}

func TestFloorsAreFloors(t *testing.T) {
	s := short(builtInScenario(t, "S1"))
	mean := func(p string) float64 {
		r, err := Run(&s, p, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.MeanRatio
	}
	means := []float64{mean("oracle"), mean("ideal"), mean("fluid+root"), mean("predict"), mean("uniform")}
	if !slices.IsSorted(means) {
		t.Errorf("Expected oracle < ideal < fluid+root < predict < uniform, got %.3f", means)
	}
}

func TestCrashFailsOneAddressAndNotTwo(t *testing.T) {
	s := builtInScenario(t, "S6")
	one, _ := Run(&s, "uniform", 1, nil)
	many, _ := Run(&s, "predict", 1, nil)
	if one.Failed < .001 || many.Failed > 0 {
		t.Errorf("Expected failures with one address and none with several, got %.5f and %.5f", one.Failed, many.Failed)
	}
}

// TestGoals holds predict to its goals, with room for the chance of one seed.
func TestGoals(t *testing.T) {
	for name, goal := range map[string]float64{"S1": 1.13, "S2": 1.15, "S5": 1.15, "S6": 1.14} {
		s := builtInScenario(t, name)
		r, err := Run(&s, "predict", 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.MeanRatio > goal+.04 {
			t.Errorf("%s: expected a mean ratio of %.2f or so, got %.3f", name, goal, r.MeanRatio)
		}
	}
}

func TestPolicyNames(t *testing.T) {
	s := short(builtInScenario(t, "S1"))
	for name, want := range map[string]string{
		"nonsense": "unknown policy", "predict:0": "expected 1 to 8", "predict:9": "expected 1 to 8", "predict:x": "expected 1 to 8",
		"predict:2": "", "p2c:3": "",
	} {
		_, err := Run(&s, name, 1, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected an error with %q, got %v", name, want, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"title: mine\nservers: [{count: 2, size: 1}]\n", ""},
		{"nonsense: 1", "nonsense"},
		{"utilization: -1", "utilization: expected"},
		{"utilization: .nan", "utilization"},
		{"servers: []", "servers: expected"},
		{"servers: [{count: 99999, size: 1}]", "servers: expected"},
		{"giant: 1.5", "giant: expected 0 to 1"},
		{"events: [{kind: dance, at: 1}]", "unknown kind"},
		{"events: [{kind: crash, at: 9, until: 1}]", "at <= until"},
		{"events: [{kind: crash, at: 1, size: 77}]", "no such server"},
		{"events: [{kind: slow, at: 1}]", "factor"},
		{"events: [{kind: flash, at: 1, until: 2, factor: 0.5}]", "flash needs a factor of 1"},
		{"service_ms: 0.000001", "service_ms: expected"},
		{"events: [{kind: restart, at: 1, skip: 9}]", "no replica"},
		{"from: 900", "from: expected"},
		{"report_delay: -1", "report_delay: expected 0 to 600 s"},
		{"report_loss: 1.1", "report_loss: expected 0 to 1"},
		{"report_noise: 9", "report_noise: expected 0 to 3"},
		{"unreported: [{count: 12}]", ""},
		{"unreported: [{count: 13}]", "unreported 1: expected a count of servers"},
		{"unreported: [{size: 8}]", "unreported 1: expected a count of servers"},
		{"hand_written: [{count: 1, size: 8, utilization: 0.5, rps: 9}]", ""},
		{"hand_written: [{count: 1, size: 3}]", "hand_written 1: expected a count of servers"},
		{"hand_written: [{count: 1, utilization: 11}]", "hand_written 1: utilization: expected 0 to 10"},
		{"hand_written: [{count: 1, rps: -1}]", "hand_written 1: rps: expected 0 to"},
		{"elsewhere: [{count: 1, part: 0.5, at: 10, until: 20, uncounted: true}]", ""},
		{"elsewhere: [{count: 1}]", "elsewhere 1: part: expected more than 0"},
		{"elsewhere: [{count: 1, size: 5, part: 0.5}]", "elsewhere 1: expected a count of servers"},
		{"elsewhere: [{count: 1, part: 0.5, at: 20, until: 10}]", "elsewhere 1: expected 0 <= at < until"},
		{"load: [{at: 0, factor: 0}]", "load: expected a factor above 0"},
		{"load: [{at: 5, factor: 1}, {at: 4, factor: 1}]", "load 2: at: expected times that grow"},
		{"load: [{at: 5, factor: -1}]", "load 1: factor: expected 0 to 1000"},
		{"fixed_order: 2", "fixed_order: expected 0 to 1"},
		{"load: [" + strings.Repeat("{at: 1, factor: 1}, ", 1001) + "]", "expected at most 1000 entries"},
		{"table: 2", "table: expected 3 to 24 bits"},
		{"think_tail: 1", "think_tail: expected 1.05 to 10"},
		{"keep_alive: -1", "keep_alive: expected 0"},
	} {
		_, err := Parse("x", []byte(tc.text))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: expected an error with %q, got %v", tc.text, tc.want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("servers: [{count: 2, size: 1}]"))
	f.Add([]byte("events: [{kind: crash, at: 360, until: 510, size: 8}]"))
	f.Add([]byte("duration: .inf"))
	f.Add([]byte("elsewhere: [{count: 1, part: 0.5}]\nload: [{at: 1, factor: .nan}]"))
	f.Add([]byte("hand_written: [{count: 4, utilization: 0.5, rps: 9}]\nunreported: [{count: 1, size: 8}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("x", text)
		if err == nil && (!(s.Duration <= maxDuration) || !(s.Capacity() > 0) || len(s.sizes()) > maxServers) {
			t.Errorf("Expected a scenario in bounds, got %+v", s)
		}
	})
}
