package main

import (
	"io"
	"math"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store"
)

// TestReal measures for a moment, on real processes. Of the figures it expects that they can be, and nothing more. It is
// left out where dnsperf is not installed: the benchmarks have a set-up of their own.
func TestReal(t *testing.T) {
	if _, err := findProgram("dnsperf"); err != nil {
		t.Skipf("%v: scripts/bench-setup.sh installs it", err)
	}
	l, err := newLab(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	t.Run("compare", func(t *testing.T) { testCompare(t, l) })
	t.Run("profile", func(t *testing.T) { testProfile(t, l) })
	t.Run("freshness", func(t *testing.T) { testFreshness(t, l) })
	t.Run("size", func(t *testing.T) { testSize(t, l) })
	t.Run("fanout", func(t *testing.T) { testFanout(t, l) })
	if len(l.running) > 0 {
		t.Errorf("Expected every process to have ended, got %d", len(l.running))
	}
}

// testCompare: every kind of row answers, and a handle that did not hold would be refused.
func testCompare(t *testing.T, l *lab) {
	chosen, err := chooseRows("file-loadbalance,farm-rewrite,farm-prometheus,farm-handle-label,farm-handle-option,gdnsd,powerdns")
	if err != nil {
		t.Fatal(err)
	}
	results, err := compare(t.Context(), l, chosen, 1, .2)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.absent != "" {
			t.Logf("%s: %s", r.row.name, r.absent)
			continue
		}
		if !(r.ratio.Median > 0) || !(r.qps.Median > 0) || r.failed > 0 {
			t.Errorf("%s: expected answers, none of them an error, got %+v", r.row.name, r)
		}
	}
}

// testProfile: what the kinds take adds up to what the process took.
func testProfile(t *testing.T, l *lab) {
	chosen, err := chooseRows(headline)
	if err != nil {
		t.Fatal(err)
	}
	results, err := profileRows(t.Context(), l, profiledOf(chosen, headline), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range results {
		sum := 0.0
		for _, f := range s.kinds {
			sum += f.Median
		}
		if !(s.cpu.Median > 0) || math.Abs(sum-s.cpu.Median) > s.cpu.Median/1e6 || s.kinds[sending].Median == 0 {
			t.Errorf("%s: expected that the kinds add up, and that something is sent, got %+v", s.row.name, s)
		}
	}
}

func testFreshness(t *testing.T, l *lab) {
	results, err := freshnessOf(t.Context(), l, 20, .5)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Servers != 20 || r.Samples == 0 || !(r.P50 <= r.P99 && r.P99 <= r.Max) || !(r.Busy > 0) {
			t.Errorf("Expected 20 servers and figures that can be, got %+v", r)
		}
	}
}

func testSize(t *testing.T, l *lab) {
	s, err := measureSize(t.Context(), l, farm{services: 20, servers: 200}, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]float64{
		"heap": s.Heap, "resident": s.Resident, "start": s.Start, "complete read": s.Resync, "reports": s.Reports,
		"replica's cost": s.ReplicaCost, "Redis's cost": s.RedisCost, "octets": s.RedisOctets, "streams": s.StreamOctets, "query": s.QueryCost,
	} {
		if !(x > 0) {
			t.Errorf("%s: expected a figure, got %v", what, x)
		}
	}
	if s.Commands < 5 || s.Commands > 30 {
		t.Errorf("Expected a report to be some commands, got %v", s.Commands)
	}
}

func testFanout(t *testing.T, l *lab) {
	results, err := measureFanout(t.Context(), l, .5)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !(r.Write > 0) || !(r.Octets > 100) || !(r.Reports > 0) {
			t.Errorf("Expected reports to be passed on, got %+v", r)
		}
	}
}

// TestFarm: every server belongs to one service, and every report can be taken.
func TestFarm(t *testing.T) {
	f := farm{services: 3, servers: 10}
	seen := make(map[string]bool)
	for service := range f.services {
		f.of(service, func(i int) {
			if f.service(i) != f.service(service) || seen[f.service(i)+f.id(i)] {
				t.Errorf("Expected server %d once, in service %d", i, service)
			}
			seen[f.service(i)+f.id(i)] = true
			s := f.record(i)
			if err := store.CheckServer(&s); err != nil {
				t.Error(err)
			}
		})
	}
	if len(seen) != f.servers {
		t.Errorf("Expected %d servers, got %d", f.servers, len(seen))
	}
}
