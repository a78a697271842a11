package steer

import (
	"fmt"
	"math"
	"testing"
)

// 0 is 0, and absent is absent.

func TestWeightZero(t *testing.T) {
	weight := func(w float64) func(*Server) { return func(s *Server) { s.Weight = &w } }
	for _, policy := range Policies {
		old, next := reporting(server(1, weight(0)), 0.2), reporting(server(2, weight(1)), 0.2)
		for _, tc := range []struct {
			name    string
			members []Member
			rung    Rung
			want    map[string]float64
		}{
			{"no share while another server is open", []Member{old, next}, Normal, map[string]float64{"s2": 1}},
			{"nor while one of a later priority is", []Member{old, reporting(server(2, func(s *Server) { s.Priority = 1 }), 0.2)}, Normal,
				map[string]float64{"s2": 1}},
			{"it serves when the others are down", []Member{old, down(next)}, LastResort, map[string]float64{"s1": 1}},
			{"it serves when the others are drained, and so do they", []Member{old, admin(next, Drain)}, LastResort, nil},
			{"all have weight 0: all serve", []Member{old, reporting(server(2, weight(0)), 0.2)}, LastResort, nil},
			{"a silent one does not", []Member{silent(old), down(next)}, OldReports, map[string]float64{"s1": 1}},
		} {
			t.Run(fmt.Sprintf("%s %s", policy, tc.name), func(t *testing.T) {
				f := build(policy, tc.members...)
				if p := Decide(f, &Query{Family: V4}); p.Rung != tc.rung {
					t.Errorf("Expected rung %v, got %v", tc.rung, p.Rung)
				}
				got := sharesOfClients(f, 1000)
				if tc.want != nil {
					expectShares(t, got, tc.want, 0)
				} else if len(got) != 2 && policy != First {
					t.Errorf("Expected both servers, got %v", got)
				}
			})
		}
	}
}

// sharesOfClients are the shares of first addresses that many clients are given.
func sharesOfClients(f *Farm, n int) map[string]float64 {
	got := make(map[string]float64)
	for i := range n {
		p := Decide(f, &Query{Family: V4, Client: client(i), Chance: uint64(i)})
		got[f.Servers[p.Servers[0]].ID] += 1 / float64(n)
	}
	for id, s := range got {
		got[id] = math.Round(s*1e9) / 1e9
	}
	return got
}

// A weight of 0 says nothing of what a server can do.
func TestWeightZeroKeepsCapacities(t *testing.T) {
	weight := func(w, c float64) func(*Server) { return func(s *Server) { s.Weight, s.Capacity = &w, c } }
	for _, tc := range []struct {
		name string
		zero *Server
		want float64
	}{
		{"unknown", server(1, weight(0, 0)), 100},
		{"declared", server(1, weight(0, 300)), 300},
	} {
		f := build(Predict, quiet(tc.zero), quiet(server(2, weight(1, 100))), quiet(server(3, weight(1, 100))))
		if got := f.State[0].Capacity; math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestRampsOfZero(t *testing.T) {
	service := func(s Service) *Farm {
		s.Name, s.Policy = "www.example.org.", Weighted
		return Build(Input{Service: s, Now: 1_000_000, Members: []Member{
			joined(reporting(server(1), 0.2), 0), admin(reporting(server(2), 0.2), Drain), reporting(server(3), 0.2),
		}})
	}
	f := service(Service{SlowStart: new(0.0)})
	if f.State[0].Ramp != 1 {
		t.Errorf("slow_start 0: expected the full share at once, got %v of it", f.State[0].Ramp)
	}
	f = service(Service{})
	if f.State[0].Ramp != 0.1 {
		t.Errorf("slow_start absent: expected the least share, got %v", f.State[0].Ramp)
	}
	f = service(Service{Drain: new(0.0)})
	if f.State[1].Ramp != 0 || f.State[1].Gate != Drained {
		t.Errorf("drain 0: expected nothing at once, got %v of its share, gate %v", f.State[1].Ramp, f.State[1].Gate)
	}
	for _, at := range []int64{1_000_000, 1_000_001} { // in the very millisecond, too
		m := admin(reporting(server(2), 0.2), Drain)
		m.Admin.Since = at
		f := Build(Input{Service: Service{Drain: new(0.0)}, Now: at, Members: []Member{m}})
		if f.State[0].Gate != Drained || f.Next != 0 && f.Next < farFuture {
			t.Errorf("drain 0 set at %d: got %v, built anew at %d", at, f.State[0].Gate, f.Next)
		}
	}
}

func TestTTLZero(t *testing.T) {
	for _, tc := range []struct {
		name      string
		service   Service
		ttl, upTo uint32
	}{
		{"absent", Service{}, 20, 20},
		{"0", Service{TTL: new(uint32(0))}, 0, 0},
		{"0 to 60", Service{TTL: new(uint32(0)), MaxTTL: new(uint32(60))}, 0, 60},
		{"the longest alone", Service{MaxTTL: new(uint32(60))}, 20, 60},
	} {
		f := Build(Input{Service: tc.service})
		if f.Settings.TTL != tc.ttl || f.Settings.MaxTTL != tc.upTo {
			t.Errorf("%s: got %d to %d, want %d to %d", tc.name, f.Settings.TTL, f.Settings.MaxTTL, tc.ttl, tc.upTo)
		}
	}
}

// From a soft limit of 0 on, a server is given to fewer clients the more it is used.
func TestSoftZero(t *testing.T) {
	f := Build(Input{Service: Service{Soft: new(0.0)}, Members: []Member{reporting(server(1), 0.25)}})
	if got := f.State[0].Admit; got != 0.75 {
		t.Errorf("The service's: got %v, want 0.75", got)
	}
	f = Build(Input{Members: []Member{reporting(server(1, func(s *Server) { s.Soft = new(0.0) }), 0.25)}})
	if got := f.State[0].Admit; got != 0.75 {
		t.Errorf("The server's own: got %v, want 0.75", got)
	}
}
