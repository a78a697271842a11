package steer

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

// server makes a server with one IPv4 address and the given changes.
func server(i int, change ...func(*Server)) *Server {
	s := &Server{ID: fmt.Sprintf("s%d", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}}
	for _, c := range change {
		c(s)
	}
	return s
}

// quiet makes a member that nobody reports on.
func quiet(s *Server) Member { return Member{Server: s, Report: NoReport} }

// reporting makes a member with a live report of a utilisation.
func reporting(s *Server, util float64) Member {
	m := quiet(s)
	m.Reported, m.LeaseEnd, m.Report.Utilization = true, farFuture, util
	return m
}

const farFuture = 1 << 50

func build(policy Policy, members ...Member) *Farm {
	return Build(Input{Service: Service{Name: "www.example.org.", Policy: policy}, Members: members, Now: 1_000_000})
}

func TestGateOf(t *testing.T) {
	const now = 1000
	for _, tc := range []struct {
		name     string
		admin    AdminState
		health   Health
		reported bool
		leaseEnd int64
		ramp     float64
		admit    float64
		weight   float64
		want     Gate
	}{
		{"never reported on", Ready, "", false, 0, 1, 1, 1, Open},
		{"reported, lease lives", Ready, Up, true, now + 1, 1, 1, 1, Open},
		{"lease ends now", Ready, Up, true, now, 1, 1, 1, Silent},
		{"degraded serves", Ready, Degraded, true, now + 1, 1, 1, 1, Open},
		{"down", Ready, Down, true, now + 1, 1, 1, 1, IsDown},
		{"down is known for longer than the lease", Ready, Down, true, now, 1, 1, 1, IsDown},
		{"draining", Drain, Up, true, now + 1, 0.5, 1, 1, Open},
		{"drained", Drain, Up, true, now + 1, 0, 1, 1, Drained},
		{"drained and silent", Drain, Up, true, now, 0, 1, 1, Silent},
		{"full", Ready, Up, true, now + 1, 1, 0, 1, Full},
		{"full and drained", Drain, Up, true, now + 1, 0, 0, 1, Drained},
		{"weight 0", Ready, Up, true, now + 1, 1, 1, 0, Standby},
		{"weight 0 and full", Ready, Up, true, now + 1, 1, 0, 0, Standby},
		{"weight 0 and drained", Drain, Up, true, now + 1, 0, 1, 0, Drained},
		{"weight 0 and silent", Ready, Up, true, now, 1, 1, 0, Silent},
		{"maint wins over all", Maint, Down, true, now, 0, 0, 1, InMaint},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := Member{Server: &Server{Weight: &tc.weight}, Admin: Admin{State: tc.admin}, Report: Report{Health: tc.health}, Reported: tc.reported, LeaseEnd: tc.leaseEnd}
			if got := gateOf(&m, &State{Ramp: tc.ramp, Admit: tc.admit}, now); got != tc.want {
				t.Errorf("Expected %v, got %v", tc.want, got)
			}
			want := HasLeft
			if tc.want == InMaint {
				want = InMaint
			}
			if got := gateOf(new(left(m)), &State{Ramp: tc.ramp, Admit: tc.admit}, now); got != want {
				t.Errorf("Expected %v once it has left, got %v", want, got)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	for _, tc := range []struct{ util, soft, hard, want float64 }{
		{0, 0.8, 1, 1},
		{0.8, 0.8, 1, 1},
		{0.9, 0.8, 1, 0.5},
		{1, 0.8, 1, 0},
		{7, 0.8, 1, 0},
		{0.9, 0.9, 0.9, 0}, // nothing between equal limits
		{0.89, 0.9, 0.9, 1},
	} {
		if got := admit(tc.util, tc.soft, tc.hard); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("admit(%v, %v, %v): expected %v, got %v", tc.util, tc.soft, tc.hard, tc.want, got)
		}
	}
}

func TestUnknownUtilisation(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members []Member
		want    float64
	}{
		{"nothing is known", []Member{quiet(server(1))}, 0.5},
		{"one hot server does not speak for all", []Member{quiet(server(1)), reporting(server(2), 1.5)}, 1},
		{"many do", []Member{quiet(server(1)), reporting(server(2), .9), reporting(server(3), .9), reporting(server(4), .9)}, 0.8},
	} {
		f := build(Headroom, tc.members...)
		if s := f.State[0]; s.Known || math.Abs(s.Util-tc.want) > 1e-9 || s.Admit != 1 || s.Gate != Open {
			t.Errorf("%s: expected an estimate of %v that no limit applies to, got %+v", tc.name, tc.want, s)
		}
	}
}

func TestRamp(t *testing.T) {
	f := &Farm{Settings: Settings{SlowStart: 60, Drain: 30}}
	const now = 1_000_000
	for _, tc := range []struct {
		name          string
		joined, since int64
		admin         AdminState
		want          float64
	}{
		{"long ago", 0, 0, Ready, 1},
		{"just joined", now, 0, Ready, 0.1},
		{"half way up", now - 30_000, 0, Ready, 0.5},
		{"up", now - 60_000, 0, Ready, 1},
		{"the clock went back", now + 5_000, 0, Ready, 0.1},
		{"drain begins", 0, now, Drain, 1},
		{"half way down", 0, now - 15_000, Drain, 0.5},
		{"down", 0, now - 30_000, Drain, 0},
		{"long drained", 0, 1, Drain, 0},
		{"joining and draining", now - 30_000, now - 15_000, Drain, 0.25},
	} {
		m := Member{Joined: tc.joined, Reported: true, Admin: Admin{State: tc.admin, Since: tc.since}}
		if got := f.slowStart(&m, now) * f.undrained(&m, now); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: expected %v, got %v", tc.name, tc.want, got)
		}
	}
}

func TestCapacities(t *testing.T) {
	capacity := func(c float64) func(*Server) { return func(s *Server) { s.Capacity = c } }
	weight := func(w float64) func(*Server) { return func(s *Server) { s.Weight = &w } }
	measured := func(s *Server, c float64) Member { m := reporting(s, 0.5); m.Measured.Capacity = c; return m }
	for _, tc := range []struct {
		name    string
		members []Member
		want    []float64
	}{
		{"nothing is known", []Member{quiet(server(1)), quiet(server(2))}, []float64{1, 1}},
		{"weights alone", []Member{quiet(server(1, weight(2))), quiet(server(2))}, []float64{2, 1}},
		{"declared", []Member{quiet(server(1, capacity(100))), quiet(server(2, capacity(300)))}, []float64{100, 300}},
		{"declared for one", []Member{quiet(server(1, capacity(100))), quiet(server(2, weight(3)))}, []float64{100, 300}},
		{"measured wins", []Member{measured(server(1, capacity(100)), 70), quiet(server(2))}, []float64{70, 70}},
		{"declared is scaled by what was measured", []Member{measured(server(1, capacity(100)), 50), quiet(server(2, capacity(100)))},
			[]float64{50, 50}},
		{"measured without any declared", []Member{measured(server(1), 80), quiet(server(2, weight(2)))}, []float64{80, 160}},
	} {
		f := build(Headroom, tc.members...)
		for i, want := range tc.want {
			if got := f.State[i].Capacity; math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: server %d: expected %v, got %v", tc.name, i, want, got)
			}
		}
	}
}

func TestNextIsTheEarliestChange(t *testing.T) {
	m := reporting(server(1), 0.5)
	m.LeaseEnd = 1_010_000
	n := reporting(server(2), 0.5)
	n.LeaseEnd = 1_005_000
	if f := build(Headroom, m, n); f.Next != 1_005_000 || f.Busy {
		t.Errorf("Expected the earlier end of lease and a calm farm, got %d, busy %v", f.Next, f.Busy)
	}
	n.Joined = 999_000
	if f := build(Headroom, m, n); f.Next != 1_001_000 || !f.Busy {
		t.Errorf("Expected a step of the ramp in a busy farm, got %d, busy %v", f.Next, f.Busy)
	}
	if f := build(Headroom, quiet(server(1))); f.Next != 0 || f.Busy {
		t.Errorf("Expected a farm that time alone does not change, got %d, busy %v", f.Next, f.Busy)
	}
}

func TestObserve(t *testing.T) {
	at := func(util, rps float64) Report { return Report{Utilization: util, RPS: rps} }
	var m Measured
	for now := int64(1000); now < 11_000; now += 2000 {
		if m = m.Observe(at(0.5, 50), now, 60_000); m.Capacity != 0 {
			t.Fatalf("Expected nothing to be believed in the first 10 s, got %v at %d", m.Capacity, now)
		}
	}
	if m = m.Observe(at(0.5, 50), 11_000, 60_000); m.Capacity != 100 {
		t.Fatalf("Expected the first sample as it is, got %v", m.Capacity)
	}
	for _, r := range []Report{at(0.01, 50), at(-1, 50), at(0.5, -1), at(0.5, 0)} {
		if got := m.Observe(r, 13_000, 60_000); got.Capacity != 100 {
			t.Errorf("Expected %v to change nothing, got %v", r, got.Capacity)
		}
	}
	next := m.Observe(at(0.5, 100), 13_000, 60_000)
	if want := 100 + (1-math.Exp(-0.2))*100; math.Abs(next.Capacity-want) > 1e-9 {
		t.Errorf("Expected %v after a report of twice the capacity, got %v", want, next.Capacity)
	}
	if late := m.Observe(at(0.5, 100), 100_000, 60_000); late.Capacity != 100 || late.Since != 100_000 {
		t.Errorf("Expected a server that was away to start its blackout anew, got %+v", late)
	}
	if back := m.Observe(at(0.5, 100), 5_000, 60_000); back.Capacity != 100 || back.Since != 5_000 {
		t.Errorf("Expected a clock that went back to start the blackout anew, got %+v", back)
	}
}

func TestByIDAndByAddress(t *testing.T) {
	f := Build(Input{
		Service: Service{Name: "www.example.org."},
		Members: []Member{quiet(server(3)), quiet(server(1, func(s *Server) { s.Priority = 9 })), quiet(server(2))},
		Indexed: true,
	})
	for _, id := range []string{"s1", "s2", "s3"} {
		i := f.ByID(id)
		if i < 0 || f.Servers[i].ID != id {
			t.Errorf("Expected %s to be found, got %d", id, i)
		}
		if j := f.ByAddress(f.Servers[i].Addresses[0]); j != i {
			t.Errorf("Expected the address of %s to lead to it, got %d", id, j)
		}
	}
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	if f.ByAddress(mapped) != f.ByID("s1") {
		t.Error("Expected an IPv4 address in IPv6 form to be the same address")
	}
	if f.ByID("s") != -1 || f.ByAddress(netip.MustParseAddr("192.0.2.9")) != -1 {
		t.Error("Expected strangers not to be found")
	}
}
