package steer

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// back makes a member that is well again since so many seconds before the time of build.
func back(m Member, secondsAgo int64) Member {
	m.Back = 1_000_000 - 1000*secondsAgo
	return m
}

func TestFailback(t *testing.T) {
	const minute = 60
	one, two, three := reporting(server(1), 0.2), reporting(server(2), 0.2), reporting(server(3), 0.2)
	passive := func(i int) Member { return reporting(server(i, priority(1)), 0.2) }
	full := func(m Member) Member { m.Report.Utilization = 1; return m }
	half := func(m Member) Member { m.Report.Utilization = 0.95; return m }
	draining := func(m Member, secondsAgo int64) Member {
		m.Admin = Admin{State: Drain, Since: 1_000_000 - 1000*secondsAgo}
		return m
	}
	for _, tc := range []struct {
		name     string
		policy   Policy
		failback float64
		members  []Member
		want     map[string]float64
	}{
		{"none: used at once", First, 0, []Member{back(one, 1), passive(9)}, map[string]float64{"s1": 1}},
		{"always well", First, minute, []Member{one, passive(9)}, map[string]float64{"s1": 1}},
		{"back, too lately", First, minute, []Member{back(one, 1), passive(9)}, map[string]float64{"s9": 1}},
		{"back, a moment too lately", First, minute, []Member{back(one, 59), passive(9)}, map[string]float64{"s9": 1}},
		{"back for long enough", First, minute, []Member{back(one, 60), passive(9)}, map[string]float64{"s1": 1}},
		{"by hand, an hour ago", First, ByHand, []Member{back(one, 900), passive(9)}, map[string]float64{"s9": 1}},
		{"by hand, and an operator has it ready", First, ByHand, []Member{one, passive(9)}, map[string]float64{"s1": 1}},
		{"gone", First, minute, []Member{down(one), passive(9)}, map[string]float64{"s9": 1}},
		{"back, and the others are gone", First, minute, []Member{back(one, 1), down(passive(9))}, map[string]float64{"s1": 1}},
		{"back, and the others are full", First, minute, []Member{back(one, 1), full(passive(9))}, map[string]float64{"s1": 1}},
		{"back, and the others shed half", First, minute, []Member{back(one, 1), half(passive(9))}, map[string]float64{"s1": .5, "s9": .5}},
		{"back, and the others drain", First, minute, []Member{back(one, 1), draining(passive(9), 15)}, map[string]float64{"s1": .5, "s9": .5}},
		{"both back, together", First, minute, []Member{back(one, 1), back(passive(9), 5)}, map[string]float64{"s1": 1}},
		{"both back, the first first", First, minute, []Member{back(one, 40), back(passive(9), 5)}, map[string]float64{"s1": 1}},
		{"both back, the passive one first", First, minute, []Member{back(one, 5), back(passive(9), 40)}, map[string]float64{"s9": 1}},
		{"by hand: the passive one failed since, and is back", First, ByHand, []Member{back(one, 900), back(passive(9), 5)}, map[string]float64{"s1": 1}},
		{"first, of one priority", First, minute, []Member{back(one, 1), two, three}, map[string]float64{"s2": 1}},
		{"first, of one priority, the second as well", First, minute, []Member{back(one, 1), back(two, 1), three}, map[string]float64{"s3": 1}},
		{"one of a tier stayed: no other took over", RoundRobin, minute, []Member{back(one, 1), two, passive(9)}, map[string]float64{"s1": .5, "s2": .5}},
		{"all of a tier came back", RoundRobin, minute, []Member{back(one, 1), back(two, 30), passive(9)}, map[string]float64{"s9": 1}},
		{"the first of a tier is back for long enough", RoundRobin, minute, []Member{back(one, 1), back(two, 60), passive(9)},
			map[string]float64{"s1": .5, "s2": .5}},
		{"one tier alone", RoundRobin, ByHand, []Member{back(one, 1), back(two, 900)}, map[string]float64{"s1": .5, "s2": .5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := Build(Input{
				Service: Service{Name: "www.example.org.", Policy: tc.policy, Failback: &tc.failback}, Members: tc.members, Now: 1_000_000,
			})
			expectShares(t, shares(f, Query{Family: V4}, 2000), tc.want, 0.005)
		})
	}
}

// Failback is a matter of time alone: the farm says when it is to be built anew, and explanations say whom it holds.
func TestFailbackIsExplained(t *testing.T) {
	minute := 60.0
	f := Build(Input{
		Service: Service{Name: "www.example.org.", Policy: First, Failback: &minute},
		Members: []Member{back(reporting(server(1), 0.2), 20), reporting(server(9, priority(1)), 0.2)}, Now: 1_000_000,
	})
	if want := int64(1_040_000); f.Next != want {
		t.Errorf("Expected the farm to be built anew at %d, got %d", want, f.Next)
	}
	c := Explain(f, nil, &Query{Family: V4}).Candidates
	if c[0].State.Gate != Held || c[0].State.Back != 980_000 || c[0].Tier != 1 || c[0].Share != 0 {
		t.Errorf("Expected s1 to be held behind the other, got %+v", c[0])
	}
	if c[1].State.Gate != Open || c[1].Tier != 0 || c[1].Share != 1 {
		t.Errorf("Expected s9 to have taken over, got %+v", c[1])
	}
	if f.State[0].Gate != Open {
		t.Errorf("Expected s1 to be open, for others than those that failback concerns, got %v", f.State[0].Gate)
	}
}

// Where servers stand in regions, those of another region take over, and go on.
func TestFailbackOfARegion(t *testing.T) {
	regions, err := NewRegions([]Region{
		{"eu", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, {"us", []netip.Prefix{netip.MustParsePrefix("11.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	minute := 60.0
	f := Build(Input{
		Service: Service{Name: "www.example.org.", Policy: RoundRobin, Failback: &minute},
		Members: []Member{back(reporting(server(1, region("eu")), 0.2), 20), reporting(server(2, region("us")), 0.2)},
		Regions: regions, Now: 1_000_000,
	})
	for r, want := range []map[string]float64{{"s1": .5, "s2": .5}, {"s2": 1}, {"s2": 1}} {
		expectShares(t, shares(f, Query{Family: V4, Region: r}, 1000), want, 0.005)
	}
}

// Whatever a farm is made of, failback takes no server out: it changes the order of tiers, and the last resort not at all.
func TestFailbackKeepsEveryServer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		var members []Member
		for i := range 1 + rnd.IntN(8) {
			m := randomMember(rnd, i+1)
			if rnd.IntN(2) == 0 {
				m.Back = 1_000_000 - rnd.Int64N(100_000)
			}
			members = append(members, m)
		}
		build := func(failback float64) *Farm {
			return Build(Input{Service: Service{Name: "www.example.org.", Policy: Policies[round%len(Policies)], Failback: &failback}, Members: members, Now: 1_000_000})
		}
		held, plain := build(60).views[0], build(0).views[0]
		if held.rung != plain.rung || len(held.tiers) != len(plain.tiers) {
			t.Fatalf("round %d: Expected rung %v and %d tiers, got %v and %d", round, plain.rung, len(plain.tiers), held.rung, len(held.tiers))
		}
		if len(held.tiers) > 0 && held.tiers[0].held {
			t.Fatalf("round %d: Expected the first tier not to be held", round)
		}
		last := 0.0
		for _, tier := range held.tiers {
			if tier.upto < last {
				t.Fatalf("round %d: Expected tiers to share the clients, got %v", round, tiersOf(held))
			}
			last = tier.upto
		}
	}
}
