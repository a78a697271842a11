package agent

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A step of a source: what it says, or that it fails, so many seconds after the step before; and what is reported of it.
type holdStep struct {
	after  int
	sample Sample
	fails  bool
	want   string
}

// What is reported of a source that says nothing any more: nothing better than before.
func TestHold(t *testing.T) {
	health := []string{"health"}
	cpu := []string{"cpu", "mem"}
	host := func(cpu, mem *float64) Sample {
		s := Sample{CPU: cpu, Mem: mem, counts: []string{"cpu", "mem"}}
		if cpu == nil {
			s.lack("cpu", "unreadable")
		}
		return s
	}
	for _, tt := range []struct {
		name     string
		promised []string
		unknown  Health
		steps    []holdStep
	}{
		{"down stays down", health, "", []holdStep{
			{0, Sample{Health: Down}, false, "health=down"},
			{10, Sample{}, true, `health=down reason="broken; health down, 10s old"`},
			{50, Sample{}, true, `health=down reason="broken; health down, 1m0s old"`},
			{1, Sample{}, true, `health=down reason="broken; health unknown, counts as down"`},
			{90000, Sample{}, true, `health=down reason="broken; health unknown, counts as down"`},
			{1, Sample{Health: Up}, false, "health=up"},
		}},
		{"up is in doubt after a time", health, "", []holdStep{
			{0, Sample{Health: Up}, false, "health=up"},
			{60, Sample{}, true, `health=up reason="broken; health up, 1m0s old"`},
			{1, Sample{}, true, `health=degraded reason="broken; health unknown, counts as degraded"`},
			{1, Sample{Health: Up}, false, "health=up"},
		}},
		{"a source of health that never said any", health, "", []holdStep{
			{0, Sample{}, true, `health=degraded reason="broken; health unknown, counts as degraded"`},
			{1, Sample{RPS: new(1.0)}, false, "rps=1"},
			{1, Sample{}, true, `reason="broken"`},
			{60, Sample{}, true, `health=degraded reason="broken; health unknown, counts as degraded"`},
		}},
		{"what unknown counts as is configured: down", health, Down, []holdStep{
			{0, Sample{}, true, `health=down reason="broken; health unknown, counts as down"`},
			{1, Sample{Health: Up}, false, "health=up"},
			{10, Sample{}, true, `health=up reason="broken; health up, 10s old"`},
			{51, Sample{}, true, `health=down reason="broken; health unknown, counts as down"`},
		}},
		{"what unknown counts as is configured: up", nil, Up, []holdStep{
			{0, Sample{Health: Down, Drain: true}, false, "health=down drain"},
			{61, Sample{}, true, `health=up reason="broken; health unknown, counts as up"`},
		}},
		{"a drain stands as well", health, "", []holdStep{
			{0, Sample{Health: Up, Drain: true}, false, "health=up drain"},
			{10, Sample{}, true, `health=up drain reason="broken; health up, 10s old"`},
			{90, Sample{}, true, `health=degraded drain reason="broken; health unknown, counts as degraded"`},
		}},
		{"health alone is absent", health, "", []holdStep{
			{0, Sample{Health: Down, RPS: new(2.0)}, false, "rps=2 health=down"},
			{5, Sample{RPS: new(1.0), Absent: []absence{{what: "health", why: "no series"}}}, false,
				`rps=1 health=down reason="health down, 5s old" (health: no series)`},
		}},
		{"a source of numbers has no health to lose", nil, "", []holdStep{
			{0, Sample{RPS: new(2.0)}, false, "rps=2"},
			{5, Sample{}, true, `reason="broken"`},
		}},
		{"a command that says health only when it is bad", nil, "", []holdStep{
			{0, Sample{Health: Down}, false, "health=down"},
			{5, Sample{}, false, ""},
			{5, Sample{}, true, `reason="broken"`},
			{60, Sample{}, true, `health=degraded reason="broken; health unknown, counts as degraded"`},
		}},
		{"utilization stands as long as a report", nil, "", []holdStep{
			{0, Sample{Utilization: new(0.83)}, false, "utilization=0.83"},
			{10, Sample{}, true, `utilization=0.83 reason="broken; utilization 0.83, 10s old"`},
			{1, Sample{}, true, `reason="utilization unknown; broken"`},
			{1, Sample{Utilization: new(0.5)}, false, "utilization=0.5"},
			{1, Sample{RPS: new(1.0)}, false, `utilization=0.5 rps=1 reason="utilization is not said any more; utilization 0.50, 1s old"`},
			{10, Sample{RPS: new(1.0)}, false, `rps=1 reason="utilization unknown; utilization is not said any more"`},
		}},
		{"utilization that was promised and never came", []string{"utilization"}, "", []holdStep{
			{0, Sample{CPU: new(0.1)}, true, `reason="utilization unknown; broken"`},
		}},
		{"memory does not stand in for CPU", cpu, "", []holdStep{
			{0, host(nil, new(0.06)), false, `reason="utilization unknown" (cpu: unreadable)`},
			{2, host(new(0.99), new(0.06)), false, "utilization=0.99 cpu=0.99 mem=0.06"},
			{2, host(nil, new(0.06)), false, `utilization=0.99 cpu=0.99 mem=0.06 reason="cpu 0.99, 2s old" (cpu: unreadable)`},
			{9, host(nil, new(0.06)), false, `reason="utilization unknown" (cpu: unreadable)`},
			{2, host(new(0.1), new(0.06)), false, "utilization=0.1 cpu=0.1 mem=0.06"},
		}},
		{"memory alone shows that the server is busy", cpu, "", []holdStep{
			{0, host(new(0.1), new(0.95)), false, "utilization=0.95 cpu=0.1 mem=0.95"},
			{11, host(nil, new(0.95)), false, `utilization=0.95 mem=0.95 reason="utilization is known in part" (cpu: unreadable)`},
		}},
		{"CPU and memory of a source without a utilization", nil, "", []holdStep{
			{0, Sample{CPU: new(0.5), Mem: new(0.1)}, false, "cpu=0.5 mem=0.1"},
			{11, Sample{Mem: new(0.1), Absent: []absence{{what: "cpu", why: "is NaN"}}}, false, `reason="utilization unknown" (cpu: is NaN)`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			policy := holdPolicy{health: time.Minute, numbers: 10 * time.Second, unknown: tt.unknown}
			s := source{name: "test", policy: policy, promised: tt.promised}
			now := epoch
			for _, step := range tt.steps {
				now = now.Add(time.Duration(step.after) * time.Second)
				o := outcome{sample: step.sample}
				if step.fails {
					o.err = errors.New("broken")
				}
				got := merge([]Sample{s.complete(&o, now)})
				got.dropUnknown(0.9)
				got.Absent = step.sample.Absent
				wantSample(t, got, step.want)
			}
		})
	}
}

// A source that fails does not leave the report to the others: what they know is no more than a part.
func TestNoOtherSourceStepsIn(t *testing.T) {
	host := Sample{Utilization: new(0.2), CPU: new(0.2)}
	app := source{name: "app", policy: holdPolicy{numbers: 10 * time.Second}}
	report := func(o outcome, seconds int) Sample {
		s := merge([]Sample{host, app.complete(&o, epoch.Add(time.Duration(seconds)*time.Second))})
		s.dropUnknown(0.9)
		return s
	}
	wantSample(t, report(outcome{sample: Sample{Utilization: new(0.7)}}, 0), "utilization=0.7 cpu=0.2")
	gone := outcome{err: errors.New("app: gone")}
	wantSample(t, report(gone, 10), `utilization=0.7 cpu=0.2 reason="app: gone; utilization 0.70, 10s old"`)
	wantSample(t, report(gone, 11), `reason="utilization unknown; app: gone"`)
	host.Utilization = new(0.97)
	wantSample(t, report(gone, 12), `utilization=0.97 cpu=0.2 reason="utilization is known in part; app: gone"`)
}

// The log says once that a source's last health stands no longer, and once that there is one again.
func TestUnknownHealthIsLogged(t *testing.T) {
	log := new(record)
	s := source{name: "collect[0].haproxy", policy: holdPolicy{health: time.Minute}, held: heldSample{known: true}}
	a := &agent{log: slog.New(slog.NewTextHandler(log, nil)), unknown: make(map[string]bool)}
	for _, unknown := range []bool{false, true, true, false, false} {
		a.noteHealth(&s, &Sample{Health: Degraded, unknownHealth: unknown})
	}
	for _, want := range []string{
		`level=WARN msg="collector has not reported health for longer than its hold" collector=collect[0].haproxy hold=1m0s counts_as=degraded`,
		`level=INFO msg="collector says health again" collector=collect[0].haproxy`,
	} {
		if log.count(want) != 1 || log.count("\n") != 2 {
			t.Errorf("the log is\n%swant once %s", log.text.String(), want)
		}
	}
	s.held.known = false
	a.noteHealth(&s, &Sample{Health: Degraded, unknownHealth: true})
	if want := `msg="collector has not reported health yet" collector=collect[0].haproxy`; log.count(want) != 1 {
		t.Errorf("the log is\n%swant once %s", log.text.String(), want)
	}
	if strings.Contains(log.text.String(), "ERROR") {
		t.Error("unknown health is an error")
	}
}
