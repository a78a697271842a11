package steer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func priority(p uint16) func(*Server)  { return func(s *Server) { s.Priority = p } }
func region(name string) func(*Server) { return func(s *Server) { s.Region = name } }

// joined makes a member that came into service so many seconds before the time of build.
func joined(m Member, secondsAgo int64) Member {
	m.Joined = 1_000_000 - 1000*secondsAgo
	return m
}

// A server that comes up slowly leaves its clients to the others of its tier, never to the next tier.
func TestSlowStartStaysInItsTier(t *testing.T) {
	passive := reporting(server(50, priority(1)), 0.1)
	fresh := func(secondsAgo int64) []Member {
		var list []Member
		for i := range 12 {
			list = append(list, joined(reporting(server(i+1), 0.1), secondsAgo))
		}
		return append(list, passive)
	}
	for _, tc := range []struct {
		name    string
		policy  Policy
		members []Member
		passive int // of 24 lookups
	}{
		{"first, just registered", First, []Member{joined(reporting(server(1), 0.1), 0), passive}, 0},
		{"first, 1 s ago", First, []Member{joined(reporting(server(1), 0.1), 1), passive}, 0},
		{"first, 30 s ago", First, []Member{joined(reporting(server(1), 0.1), 30), passive}, 0},
		{"first, two servers of one priority", First, []Member{joined(reporting(server(1), 0.1), 5), reporting(server(50), 0.1)}, 0},
		{"roundrobin, 12 fresh ones", RoundRobin, fresh(0), 0},
		{"roundrobin, 12 fresh ones, 30 s ago", RoundRobin, fresh(30), 0},
		{"weighted, 12 fresh ones", Weighted, fresh(0), 0},
		{"sticky, 12 fresh ones", Sticky, fresh(0), 0},
		{"headroom, 12 fresh ones", Headroom, fresh(0), 0},
		{"predict, 12 fresh ones", Predict, fresh(0), 0},
		{"first, joining and half over its soft limit", First, []Member{joined(reporting(server(1), 0.95), 1), passive}, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(tc.policy, tc.members...)
			got := 0
			for i := range 24 {
				p := Decide(f, &Query{Family: V4, Chance: uint64(i), Client: client(i), Now: 1_000_000})
				if f.Servers[p.Servers[0]].ID == "s50" {
					got++
				}
			}
			if got != tc.passive {
				t.Errorf("Expected %d of 24 lookups at the passive site, got %d", tc.passive, got)
			}
		})
	}
}

// When all of a tier come up side by side they share as if none did.
func TestSlowStartOfAWholeTierSharesAsIfNoneDid(t *testing.T) {
	for _, policy := range []Policy{RoundRobin, Weighted, Headroom, Predict, Sticky} {
		one, two := reporting(server(1, func(s *Server) { s.Weight, s.Capacity = new(1.0), 100 }), 0.2), reporting(server(2, func(s *Server) { s.Weight, s.Capacity = new(3.0), 300 }), 0.2)
		want := shares(build(policy, one, two), Query{Family: V4}, 10_000)
		expectShares(t, shares(build(policy, joined(one, 6), joined(two, 6)), Query{Family: V4}, 10_000), want, 0.02)
	}
}

// A drain is an operator's wish: it goes to the next tier, when nobody of its own tier stays.
func TestDrainGoesToTheNextTier(t *testing.T) {
	draining := func(i int, secondsAgo int64) Member {
		m := reporting(server(i), 0.2)
		m.Admin = Admin{State: Drain, Since: 1_000_000 - 1000*secondsAgo}
		return m
	}
	passive := reporting(server(50, priority(1)), 0.2)
	for _, tc := range []struct {
		name    string
		policy  Policy
		members []Member
		want    map[string]float64
	}{
		{"the first of first, a third drained", First, []Member{draining(1, 10), passive}, map[string]float64{"s1": 2. / 3, "s50": 1. / 3}},
		{"one of two: the other takes all of it", RoundRobin, []Member{draining(1, 15), reporting(server(2), 0.2), passive},
			map[string]float64{"s1": 1. / 3, "s2": 2. / 3}},
		{"one of two, and the other joins", RoundRobin, []Member{draining(1, 15), joined(reporting(server(2), 0.2), 0), passive},
			map[string]float64{"s1": 5. / 6, "s2": 1. / 6}},
		{"both: the one that has come less far decides", RoundRobin, []Member{draining(1, 15), draining(2, 24), passive},
			map[string]float64{"s1": 0.5 * 5 / 7, "s2": 0.5 * 2 / 7, "s50": 0.5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expectShares(t, shares(build(tc.policy, tc.members...), Query{Family: V4}, 20_000), tc.want, 0.005)
		})
	}
}

// Whatever a farm is made of, slow start changes no tier and no tier's part of the clients.
func TestSlowStartNeverMovesClientsBetweenTiers(t *testing.T) {
	regions, err := NewRegions([]Region{
		{"eu", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, {"us", []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 2000 {
		policy := Policies[rnd.IntN(len(Policies))]
		var cold, warm []Member
		for i := range 1 + rnd.IntN(8) {
			m := randomMember(rnd, i+1)
			warm = append(warm, m)
			m.Joined = 1_000_000 - rnd.Int64N(80_000)
			cold = append(cold, m)
		}
		farmOf := func(members []Member) *Farm {
			return Build(Input{Service: Service{Name: "www.example.org.", Policy: policy}, Members: members, Regions: regions, Now: 1_000_000})
		}
		a, b := farmOf(cold), farmOf(warm)
		for r := range a.views {
			if got, want := tiersOf(a.views[r]), tiersOf(b.views[r]); !slices.Equal(got, want) {
				t.Fatalf("round %d, %s, region %d: expected tiers %v, got %v", round, policy, r, want, got)
			}
		}
	}
}

func randomMember(rnd *rand.Rand, i int) Member {
	m := reporting(server(i, priority(uint16(rnd.IntN(3))), region([]string{"", "eu", "us"}[rnd.IntN(3)])), rnd.Float64()*1.1)
	switch rnd.IntN(8) {
	case 0:
		m = down(m)
	case 1:
		m = silent(m)
	case 2:
		m.Admin = Admin{State: Drain, Since: 1_000_000 - rnd.Int64N(40_000)}
	case 3:
		m.Admin = Admin{State: Maint, Since: 1}
	}
	return m
}

// tiersOf shows the tiers of a view: who stands in each, and which part of the clients go to it.
func tiersOf(v *view) []string {
	list := []string{v.rung.String()}
	for _, t := range v.tiers {
		list = append(list, fmt.Sprintf("%v up to %.9f", t.servers, t.upto))
	}
	return list
}
