package world

import (
	"math"
	"reflect"
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

// TestSameTrafficUnderEveryPolicy: the sessions of a seed are the same ones.
func TestSameTrafficUnderEveryPolicy(t *testing.T) {
	s := short(builtInScenario(t, "S1"))
	// With a queue that never refuses, and no think time left to chance, requests depend on arrivals alone.
	s.Pages = 1
	a, _ := Run(&s, "uniform", 1, nil)
	b, _ := Run(&s, "predict", 1, nil)
	if a.Requests != b.Requests {
		t.Errorf("Expected the same requests under both policies, got %d and %d", a.Requests, b.Requests)
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
	oracle, ideal, predict, uniform := mean("oracle"), mean("ideal"), mean("predict"), mean("uniform")
	if !(oracle < ideal && ideal < predict && predict < uniform) {
		t.Errorf("Expected oracle < ideal < predict < uniform, got %.3f %.3f %.3f %.3f", oracle, ideal, predict, uniform)
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
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("x", text)
		if err == nil && (!(s.Duration <= maxDuration) || !(s.Capacity() > 0) || len(s.sizes()) > maxServers) {
			t.Errorf("Expected a scenario in bounds, got %+v", s)
		}
	})
}
