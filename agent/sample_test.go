package agent

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	tests := []struct {
		name string
		in   []Sample
		want string
	}{
		{"nothing", nil, ""},
		{"the scarcest counts", []Sample{
			{Utilization: new(0.3), CPU: new(0.3), Mem: new(0.1)},
			{Utilization: new(0.7), InFlight: new(7.0)},
			{Utilization: new(0.5), CPU: new(0.6)},
		}, "utilization=0.7 cpu=0.6 mem=0.1 in_flight=7"},
		{"zero is said", []Sample{{}, {Utilization: new(0.0)}, {}}, "utilization=0"},
		{"the first rate counts", []Sample{
			{RPS: new(10.0), EPS: new(1.0)},
			{RPS: new(20.0), Latency: new(0.5)},
			{Latency: new(0.1), InFlight: new(3.0)},
		}, "rps=10 eps=1 in_flight=3 latency=0.5"},
		{"no other steps in for a missing rate", []Sample{
			{RPS: new(10.0), missing: []string{"in_flight"}},
			{RPS: new(20.0), InFlight: new(3.0), Latency: new(0.1)},
		}, "rps=10 latency=0.1"},
		{"the worst health counts", []Sample{
			{Health: Up},
			{Health: Down, Reason: "a"},
			{Health: Degraded, Reason: "b"},
		}, `health=down reason="a; b"`},
		{"reasons are cut and made printable", []Sample{{Reason: "a\x1b[31m\n" + strings.Repeat("x", 300)}},
			`reason="a [31m ` + strings.Repeat("x", maxReason-7) + `"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantSample(t, merge(tt.in), tt.want) })
	}
}

// What cannot be meant is absent, by name; what stands beside it is kept.
func TestDropUnusable(t *testing.T) {
	for _, tt := range []struct {
		in   Sample
		want string
	}{
		{Sample{Utilization: new(1.5), Health: Degraded}, "utilization=1.5 health=degraded"},
		{Sample{CPU: new(math.NaN()), Mem: new(0.5)}, "mem=0.5 (cpu: is NaN, expected 0 to 1000)"},
		{Sample{Mem: new(-0.1)}, "(mem: is -0.1, expected 0 to 1000)"},
		{Sample{RPS: new(math.Inf(1)), EPS: new(0.0)}, "eps=0 (rps: is +Inf, expected 0 to 1e+12)"},
		{Sample{Latency: new(1e6)}, "(latency: is 1e+06, expected 0 to 3600)"},
		{Sample{Utilization: new(4218.7)}, "(utilization: is 4218.7, expected 0 to 1000)"},
		{Sample{Health: "fine", RPS: new(2.0)}, `rps=2 (health: is "fine", expected up, degraded or down)`},
	} {
		tt.in.dropUnusable()
		wantSample(t, tt.in, tt.want)
	}
}

type fakeCollector struct {
	sample Sample
	err    error
	hang   bool
}

func (f fakeCollector) collect(ctx context.Context, _ time.Time) (Sample, error) {
	if f.hang {
		<-ctx.Done()
		return Sample{}, ctx.Err()
	}
	return f.sample, f.err
}

// A collector that fails or hangs costs its own numbers, and a number that makes no sense costs itself.
func TestCollectAllKeepsTheRest(t *testing.T) {
	out := collectAll(soon(t), []source{
		{name: "hangs", timeout: 10 * time.Millisecond, collector: fakeCollector{hang: true}},
		{name: "fails", timeout: time.Second, collector: fakeCollector{err: errors.New("no such thing")}},
		{name: "lies", timeout: time.Second, collector: fakeCollector{sample: Sample{RPS: new(math.NaN()), EPS: new(1.0)}}},
		{name: "works", timeout: time.Second, collector: fakeCollector{sample: Sample{RPS: new(5.0)}}},
	}, epoch)
	for i, want := range []struct{ err, sample string }{
		{"hangs: context deadline exceeded", ""},
		{"fails: no such thing", ""},
		{"", `eps=1 reason="lies: rps: is NaN, expected 0 to 1e+12" (rps: is NaN, expected 0 to 1e+12)`},
		{"", "rps=5"},
	} {
		wantError(t, out[i].err, want.err)
		wantSample(t, out[i].sample, want.sample)
	}
}
