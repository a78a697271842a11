package steer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func ids(f *Farm, p Pick) string {
	s := ""
	for i := range p.N {
		s += " " + f.Servers[p.Servers[i]].ID
	}
	return s
}

func client(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// shares returns how often each server came first in n lookups of n clients, as parts of 1.
func shares(f *Farm, q Query, n int) map[string]float64 {
	got := make(map[string]float64)
	for i := range n {
		q.Chance, q.Client = uint64(i), client(i)
		if p := Decide(f, &q); p.N > 0 {
			got[f.Servers[p.Servers[0]].ID] += 1 / float64(n)
		}
	}
	return got
}

func expectShares(t *testing.T, got, want map[string]float64, within float64) {
	t.Helper()
	for id, w := range want {
		if math.Abs(got[id]-w) > within {
			t.Errorf("Expected %s to get %.3f, got %.3f (all: %v)", id, w, got[id], got)
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("Expected %s to get nothing, got %.3f", id, got[id])
		}
	}
}

func admin(m Member, s AdminState) Member { m.Admin = Admin{State: s, Since: 1}; return m }
func down(m Member) Member                { m.Report.Health, m.Reported = Down, true; return m }
func silent(m Member) Member              { m.Reported, m.LeaseEnd = true, 1; return m }
func left(m Member) Member                { m.Left = true; return m }

func TestLadder(t *testing.T) {
	fallback := Service{Name: "www.example.org.", Fallback: []string{"sorry.example.net."}}
	for _, tc := range []struct {
		name    string
		service Service
		members []Member
		rung    Rung
		want    map[string]float64
	}{
		{"no servers", Service{}, nil, Nothing, nil},
		{"no servers but a fallback", fallback, nil, Fallback, nil},
		{"one server", Service{}, []Member{quiet(server(1))}, Normal, map[string]float64{"s1": 1}},
		{"one of two is down", Service{}, []Member{down(quiet(server(1))), quiet(server(2))}, Normal, map[string]float64{"s2": 1}},
		{"full is better than drained, silent and down", Service{},
			[]Member{reporting(server(1), 1.2), silent(quiet(server(2))), down(quiet(server(3)))}, LastResort, map[string]float64{"s1": 1}},
		{"all are full: by headroom that is left, which is the least for each", Service{},
			[]Member{reporting(server(1), 1), reporting(server(2), 3)}, LastResort, map[string]float64{"s1": .5, "s2": .5}},
		{"drained lives", Service{}, []Member{admin(quiet(server(1)), Drain), down(quiet(server(2)))}, LastResort, map[string]float64{"s1": 1}},
		{"old reports", Service{}, []Member{silent(quiet(server(1))), down(quiet(server(2)))}, OldReports, map[string]float64{"s1": 1}},
		{"old reports keep priorities", Service{},
			[]Member{silent(quiet(server(1))), silent(quiet(server(2, func(s *Server) { s.Priority = 1 })))}, OldReports, map[string]float64{"s1": 1}},
		{"all but maint", Service{}, []Member{down(quiet(server(1))), down(quiet(server(2))), admin(quiet(server(3)), Maint)}, All,
			map[string]float64{"s1": .5, "s2": .5}},
		{"one of two has left", Service{}, []Member{left(quiet(server(1))), quiet(server(2))}, Normal, map[string]float64{"s2": 1}},
		{"full is given, who has left is not", Service{}, []Member{left(quiet(server(1))), reporting(server(2), 1.2)}, LastResort, map[string]float64{"s2": 1}},
		{"silent is given, who has left is not", Service{}, []Member{left(quiet(server(1))), silent(quiet(server(2)))}, OldReports, map[string]float64{"s2": 1}},
		{"down is given, who has left is not", Service{}, []Member{left(quiet(server(1))), down(quiet(server(2)))}, All, map[string]float64{"s2": 1}},
		{"all have left", fallback, []Member{left(quiet(server(1))), left(quiet(server(2)))}, Fallback, nil},
		{"all have left, no fallback", Service{}, []Member{left(quiet(server(1))), left(quiet(server(2)))}, Nothing, nil},
		{"all in maint", fallback, []Member{admin(quiet(server(1)), Maint)}, Fallback, nil},
		{"all in maint, no fallback", Service{}, []Member{admin(quiet(server(1)), Maint)}, Nothing, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := Build(Input{Service: tc.service, Members: tc.members, Now: 1_000_000})
			q := Query{Family: V4}
			p := Decide(f, &q)
			if p.Rung != tc.rung || (p.Rung == Fallback) != (p.Fallback != "") {
				t.Errorf("Expected rung %v, got %v (%q)", tc.rung, p.Rung, p.Fallback)
			}
			expectShares(t, shares(f, q, 1000), tc.want, 0.01)
		})
	}
}

func TestPolicies(t *testing.T) {
	weight := func(w float64) func(*Server) { return func(s *Server) { s.Weight = &w } }
	capacity := func(c float64) func(*Server) { return func(s *Server) { s.Capacity = c } }
	three := []Member{
		reporting(server(1, weight(1), capacity(100)), 0.5),
		reporting(server(2, weight(2), capacity(100)), 0.25),
		reporting(server(3, weight(5), capacity(200)), 0.5),
	}
	for _, tc := range []struct {
		policy Policy
		want   map[string]float64
		within float64
	}{
		{Headroom, map[string]float64{"s1": 50. / 225, "s2": 75. / 225, "s3": 100. / 225}, 0.002},
		{Weighted, map[string]float64{"s1": 1. / 8, "s2": 2. / 8, "s3": 5. / 8}, 0.002},
		{RoundRobin, map[string]float64{"s1": 1. / 3, "s2": 1. / 3, "s3": 1. / 3}, 0.002},
		{Sticky, map[string]float64{"s1": 1. / 4, "s2": 1. / 4, "s3": 2. / 4}, 0.03},
		{First, map[string]float64{"s1": 1}, 0.001},
	} {
		t.Run(string(tc.policy), func(t *testing.T) {
			expectShares(t, shares(build(tc.policy, three...), Query{Family: V4}, 10_000), tc.want, tc.within)
		})
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	f := build(RoundRobin, quiet(server(1)), quiet(server(2)), quiet(server(3)))
	for turn, want := range []string{" s1 s2 s3", " s2 s3 s1", " s3 s1 s2", " s1 s2 s3"} {
		if got := ids(f, Decide(f, &Query{Family: V4, Chance: uint64(turn)})); got != want {
			t.Errorf("Expected turn %d to give%s, got%s", turn, want, got)
		}
	}
}

func TestLimitsShedInProportion(t *testing.T) {
	half := reporting(server(1), 0.95) // half way between 0.9 and 1
	f := build(Weighted, half, reporting(server(2), 0.5))
	expectShares(t, shares(f, Query{Family: V4}, 10_000), map[string]float64{"s1": 1. / 3, "s2": 2. / 3}, 0.002)
}

func TestDegradedGetsHalf(t *testing.T) {
	ill := reporting(server(1), 0.5)
	ill.Report.Health = Degraded
	for _, policy := range []Policy{Headroom, Weighted, RoundRobin, Sticky} {
		f := build(policy, ill, reporting(server(2), 0.5))
		expectShares(t, shares(f, Query{Family: V4}, 10_000), map[string]float64{"s1": 1. / 3, "s2": 2. / 3}, 0.02)
	}
}

func TestTiersSpillOverInProportion(t *testing.T) {
	backup := func(s *Server) { s.Priority = 1 }
	last := func(s *Server) { s.Priority = 2 }
	for _, tc := range []struct {
		name         string
		first, other float64
		want         map[string]float64
	}{
		{"the first has room", 0.5, 0.5, map[string]float64{"s1": 1}},
		{"the first is over its soft limit", 0.92, 0.5, map[string]float64{"s1": 0.8, "s2": 0.2}},
		{"nearly full", 0.99, 0.5, map[string]float64{"s1": 0.1, "s2": 0.9}},
		{"both are over: the third takes the rest", 0.95, 0.95, map[string]float64{"s1": 0.5, "s2": 0.25, "s3": 0.25}},
		{"full", 1, 0.5, map[string]float64{"s2": 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := build(Headroom, reporting(server(1), tc.first), reporting(server(2, backup), tc.other), reporting(server(3, last), 0.1))
			expectShares(t, shares(f, Query{Family: V4}, 10_000), tc.want, 0.005)
		})
	}
	f := build(Headroom, reporting(server(1), 0.95), reporting(server(2, backup), 0.975))
	expectShares(t, shares(f, Query{Family: V4}, 10_000), map[string]float64{"s1": .5 / .625, "s2": .125 / .625}, 0.005)
}

func TestDrainOfAWholeTierRampsOver(t *testing.T) {
	draining := reporting(server(1), 0.2)
	draining.Admin = Admin{State: Drain, Since: 1_000_000 - 22_500} // three quarters of the 30 s
	f := build(Headroom, draining, reporting(server(2, func(s *Server) { s.Priority = 1 }), 0.2))
	expectShares(t, shares(f, Query{Family: V4}, 10_000), map[string]float64{"s1": 0.25, "s2": 0.75}, 0.005)
}

func TestRegions(t *testing.T) {
	r, err := NewRegions([]Region{
		{"eu", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{"us", []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}},
		{"asia", nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		addr   string
		region string
		scope  int
	}{
		{"10.2.3.4", "eu", 15}, // 10.2.0.0/15 is the largest block around it without 10.1.0.0/16
		{"10.0.0.1", "eu", 16}, // its neighbour is 10.1.0.0/16
		{"10.1.2.3", "us", 16}, //
		{"11.0.0.1", "", 8},    //
		{"192.0.2.1", "", 1},   //
		{"2001:db8::1", "us", 32},
		{"2001:db9::1", "", 32},
		{"::ffff:10.1.2.3", "us", 16},
	} {
		i, scope := r.Find(netip.MustParseAddr(tc.addr))
		name := ""
		if i > 0 {
			name = r.Name(i)
		}
		if name != tc.region || scope != tc.scope {
			t.Errorf("%s: expected %q /%d, got %q /%d", tc.addr, tc.region, tc.scope, name, scope)
		}
	}
	if i, scope := (*Regions)(nil).Find(netip.MustParseAddr("10.0.0.1")); i != 0 || scope != 0 {
		t.Error("Expected no regions to know nothing")
	}

	in := func(name string) func(*Server) { return func(s *Server) { s.Region = name } }
	f := Build(Input{Service: Service{Name: "a."}, Regions: r, Members: []Member{
		reporting(server(1, in("eu")), .92), reporting(server(2, in("us")), .5), reporting(server(3, in("moon")), .5)}})
	expectShares(t, shares(f, Query{Family: V4, Region: r.Number("eu")}, 10_000), map[string]float64{"s1": .8, "s2": .1, "s3": .1}, 0.005)
	expectShares(t, shares(f, Query{Family: V4, Region: r.Number("us")}, 1000), map[string]float64{"s2": 1}, 0.005)
	for _, region := range []int{0, r.Number("asia"), 99} {
		if got := shares(f, Query{Family: V4, Region: region}, 1000); len(got) != 3 {
			t.Errorf("Expected clients of region %d to be given all servers, got %v", region, got)
		}
	}
}

// TestScopesDoNotOverlap asks for every address of a /20 around a nest of regions: two addresses of which one stands in
// the scope of the other have the same scope and the same region (RFC 7871 section 7.2.1).
func TestScopesDoNotOverlap(t *testing.T) {
	r, err := NewRegions([]Region{
		{"a", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/20")}},
		{"b", []netip.Prefix{netip.MustParsePrefix("10.0.3.0/24"), netip.MustParsePrefix("10.0.3.128/27")}},
		{"c", []netip.Prefix{netip.MustParsePrefix("10.0.3.64/26")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	type answer struct{ region, scope int }
	said := make(map[netip.Prefix]answer)
	for i := range 1 << 12 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		region, scope := r.Find(a)
		p, _ := a.Prefix(scope)
		if old, ok := said[p]; ok && old != (answer{region, scope}) {
			t.Fatalf("Expected one answer for %v, got %v and %v", p, old, answer{region, scope})
		}
		said[p] = answer{region, scope}
	}
	for p := range said {
		for bits := p.Bits() - 1; bits >= 0; bits-- {
			if wider, _ := p.Addr().Prefix(bits); said[wider] != (answer{}) {
				t.Fatalf("Expected scopes apart, got %v within %v", p, wider)
			}
		}
	}
}

func TestTooManyRegions(t *testing.T) {
	var many []Region
	for i := range MaxRegions + 1 {
		many = append(many, Region{Name: fmt.Sprint(i)})
	}
	if _, err := NewRegions(many[:MaxRegions]); err != nil {
		t.Error(err)
	}
	if _, err := NewRegions(many); err != ErrRegions {
		t.Errorf("Expected ErrRegions, got %v", err)
	}
}

// TestSameServersForBothFamilies: of a farm with servers of one family and of both, A and AAAA of one lookup are given
// the same servers, each family those that have it; and every family gets an answer while a server has it.
func TestSameServersForBothFamilies(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::1")
	dual := func(s *Server) { s.Addresses = append(s.Addresses, six) }
	only6 := func(s *Server) { s.Addresses = []netip.Addr{six} }
	for _, policy := range Policies {
		f := build(policy, quiet(server(1)), quiet(server(2, dual)), quiet(server(3, dual)), quiet(server(4, only6)), quiet(server(5)))
		apart := 0
		for i := range 1000 {
			a := Decide(f, &Query{Family: V4, Chance: uint64(i), Client: client(i)})
			aaaa := Decide(f, &Query{Family: V6, Chance: uint64(i), Client: client(i)})
			if a.N == 0 || aaaa.N == 0 {
				t.Fatalf("%s: expected an answer in both families at turn %d", policy, i)
			}
			common := false
			for j := range a.N {
				common = common || aaaa.has(a.Servers[j])
			}
			both := f.State[a.Servers[0]].Family == V4|V6 || f.State[aaaa.Servers[0]].Family == V4|V6
			if !common && both && policy != First && policy != Sticky && a.N > 1 {
				apart++
			}
		}
		if apart > 0 {
			t.Errorf("%s: expected pairs of answers with a server in common, %d of 1000 had none", policy, apart)
		}
	}
	allDual := build(Headroom, quiet(server(1, dual)), quiet(server(2, dual)), quiet(server(3, dual)))
	for i := range 100 {
		a, aaaa := Decide(allDual, &Query{Family: V4, Chance: uint64(i)}), Decide(allDual, &Query{Family: V6, Chance: uint64(i)})
		if ids(allDual, a) != ids(allDual, aaaa) {
			t.Fatalf("Expected the same servers, got%s and%s", ids(allDual, a), ids(allDual, aaaa))
		}
	}
	if p := Decide(build(Headroom, quiet(server(1))), &Query{Family: V6}); p.N != 0 || p.Rung != Normal {
		t.Errorf("Expected no server, on no rung of the ladder, in a family that nobody has, got %+v", p)
	}
	backup6 := build(Headroom, quiet(server(1)), quiet(server(2, only6, func(s *Server) { s.Priority = 1 })))
	if p := Decide(backup6, &Query{Family: V6}); p.N != 1 || p.Tier != 1 {
		t.Errorf("Expected the other tier to help out in a family that the first has not, got %+v", p)
	}
}

// TestSharesFollowWeights is the property of every policy that draws: over many lookups each server comes first, and
// appears at all, in proportion to its weight, as long as no weight is above one address's part.
func TestSharesFollowWeights(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n := 2 + rnd.IntN(60)
		members := make([]Member, n)
		for i := range members {
			members[i] = reporting(server(i, func(s *Server) { s.Weight = new(math.Exp(rnd.NormFloat64())) }), 0.5)
		}
		f := build(Weighted, members...)
		var sum, most float64
		for i := range f.State {
			sum += f.State[i].Weight
			most = max(most, f.State[i].Weight)
		}
		const turns = 20_000
		start := rnd.Uint64N(1 << 32)
		first, seen := make([]float64, n), make([]float64, n)
		k := 0
		for i := range uint64(turns) {
			p := Decide(f, &Query{Family: V4, Chance: start + i})
			k = p.N
			first[p.Servers[0]]++
			for j := range p.N {
				seen[p.Servers[j]]++
				for l := range j {
					if p.Servers[l] == p.Servers[j] {
						t.Fatal("Expected no server twice in an answer")
					}
				}
			}
		}
		if want := min(int(sum/most), MaxAnswers, n); k != want {
			t.Fatalf("Expected %d addresses an answer, got %d", want, k)
		}
		for i := range n {
			want := f.State[i].Weight / sum
			if math.Abs(first[i]/turns-want) > 0.001 || math.Abs(seen[i]/turns-want*float64(k)) > 0.001*float64(k) {
				t.Fatalf("Expected share %.4f of %d addresses, got %.4f first, %.4f in all", want, k, first[i]/turns, seen[i]/turns)
			}
		}
	}
}

// TestStickyMovesFew: a server that comes or goes moves its own clients and few others.
func TestStickyMovesFew(t *testing.T) {
	var members []Member
	for i := range 10 {
		members = append(members, reporting(server(i), 0.5))
	}
	all, without := build(Sticky, members...), build(Sticky, members[1:]...)
	moved := 0
	const clients = 10_000
	for i := range clients {
		q := Query{Family: V4, Client: client(i), Chance: uint64(i)}
		before, after := Decide(all, &q), Decide(without, &q)
		was, is := all.Servers[before.Servers[0]].ID, without.Servers[after.Servers[0]].ID
		if !before.Personal {
			t.Fatal("Expected a sticky pick to be the client's own")
		}
		if was != is && was != "s0" {
			t.Fatalf("Expected a client of %s to stay, it went to %s", was, is)
		}
		if was != is {
			moved++
		}
	}
	if moved < clients/15 || moved > clients/7 {
		t.Errorf("Expected about a tenth of the clients to move, %d of %d did", moved, clients)
	}
}

// TestStickyBoundsLoad: a server above the bound sheds a part of its clients, the same ones each time, and those with
// room for all keep theirs.
func TestStickyBoundsLoad(t *testing.T) {
	calm := build(Sticky, reporting(server(1), 0.5), reporting(server(2), 0.5), reporting(server(3), 0.5))
	hot := build(Sticky, reporting(server(1), 0.8), reporting(server(2), 0.5), reporting(server(3), 0.5))
	shed := 0
	for i := range 3000 {
		q := Query{Family: V4, Client: client(i)}
		was, is := ids(calm, Decide(calm, &q)), ids(hot, Decide(hot, &q))
		if was != " s1" && was != is {
			t.Fatalf("Expected a client of%s to stay, it went to%s", was, is)
		}
		if was == " s1" && is != " s1" {
			shed++
		}
	}
	// The mean is 0.6: s1 holds 1-(0.8-0.75)/0.15 = 2/3 of its thousand.
	if shed < 250 || shed > 420 {
		t.Errorf("Expected about a third of the thousand clients of s1 to be shed, %d were", shed)
	}
}

func TestNothingStarves(t *testing.T) {
	for _, policy := range []Policy{Headroom, Weighted, RoundRobin, Sticky} {
		var members []Member
		for i := range 40 {
			members = append(members, reporting(server(i), 0.4+0.007*float64(i)))
		}
		if got := shares(build(policy, members...), Query{Family: V4}, 20_000); len(got) != 40 {
			t.Errorf("%s: expected all 40 servers to be given, got %d", policy, len(got))
		}
	}
}

func TestTTL(t *testing.T) {
	service := Service{Name: "a.", TTL: new(uint32(5)), MaxTTL: new(uint32(60))}
	calm := Build(Input{Service: service, Members: []Member{quiet(server(1))}})
	if p := Decide(calm, &Query{Family: V4}); p.TTL != 60 {
		t.Errorf("Expected the long TTL while nothing changes, got %d", p.TTL)
	}
	for name, m := range map[string]Member{"hot": reporting(server(2), 0.95), "down": down(quiet(server(2))), "silent": silent(quiet(server(2)))} {
		f := Build(Input{Service: service, Members: []Member{quiet(server(1)), m}, Now: 1000})
		if p := Decide(f, &Query{Family: V4}); p.TTL != 5 {
			t.Errorf("Expected the short TTL while a server is %s, got %d", name, p.TTL)
		}
	}
	longer := Build(Input{Service: Service{Name: "a.", MaxTTL: new(uint32(5))}})
	if longer.Settings.MaxTTL != Defaults.TTL {
		t.Errorf("Expected the longest TTL to be no less than the shortest, got %d", longer.Settings.MaxTTL)
	}
}

func TestReplay(t *testing.T) {
	f := build(Headroom, reporting(server(1), .2), reporting(server(2), .4), reporting(server(3), .6))
	for i := range 100 {
		p := Decide(f, &Query{Family: V4, Chance: f.Turn()})
		if again := Decide(f, &Query{Family: V4, Chance: p.Chance}); again != p {
			t.Fatalf("Expected turn %d to give %+v again, got %+v", i, p, again)
		}
	}
}

func TestTurnsGoOnThroughGenerations(t *testing.T) {
	in := Input{Service: Service{Name: "a."}, Seed: 41}
	f := Build(in)
	f.Turn()
	in.Prev = f
	if got := Build(in).Turn(); got != 42 {
		t.Errorf("Expected the next generation to go on with turn 42, got %d", got)
	}
}

func TestExplain(t *testing.T) {
	r, _ := NewRegions([]Region{{Name: "eu"}})
	f := Build(Input{Service: Service{Name: "a.", Policy: Headroom}, Regions: r, Members: []Member{
		reporting(server(1), .92), reporting(server(2, func(s *Server) { s.Priority = 1 }), .2), down(quiet(server(3)))}, Now: 1})
	e := Explain(f, r, &Query{Family: V4, Region: 1, Chance: 7})
	if e.Pick != Decide(f, &Query{Family: V4, Region: 1, Chance: 7}) || e.Region != "eu" || e.Policy != Headroom {
		t.Errorf("Expected the pick of Decide, got %+v", e)
	}
	sum := 0.0
	for _, c := range e.Candidates {
		sum += c.Share
		if (c.Tier < 0) != (c.State.Gate != Open) {
			t.Errorf("Expected open servers, and those alone, to have a tier: %+v", c)
		}
	}
	if math.Abs(sum-1) > 1e-9 || math.Abs(e.Candidates[0].Share-.8) > 1e-9 {
		t.Errorf("Expected the shares to add up to 1, and s1 to keep 0.8, got %v", e.Candidates)
	}
	if got := e.Candidates[e.Pick.Servers[0]].Rank; got != 1 {
		t.Errorf("Expected the first of the pick to have rank 1, got %d", got)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	f := manyServers(Headroom, 1000)
	l := NewLearned(10, 1)
	q := Query{Family: V4, Client: client(1)}
	if n := testing.AllocsPerRun(100, func() {
		q.Chance = l.Chance(f, q.Client, KindA, 1)
		Decide(f, &q)
	}); n != 0 {
		t.Errorf("Expected no allocation, got %v", n)
	}
}

func manyServers(policy Policy, n int) *Farm {
	members := make([]Member, n)
	for i := range members {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		members[i] = reporting(&Server{ID: fmt.Sprintf("s%d", i), Addresses: []netip.Addr{a}}, float64(i%100)/120)
	}
	return build(policy, members...)
}

func BenchmarkDecide(b *testing.B) {
	for _, policy := range Policies {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				f := manyServers(policy, n)
				q := Query{Family: V4, Client: client(1), Answers: 3}
				b.ReportAllocs()
				for b.Loop() {
					q.Chance++
					Decide(f, &q)
				}
			})
		}
	}
}

func BenchmarkChance(b *testing.B) {
	f, l := manyServers(Headroom, 10), NewLearned(16, 1)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Chance(f, client(i), KindA, int64(i))
		i++
	}
}

// BenchmarkBuild builds the next generation of a farm of which one server reported anew.
func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := Input{Service: Service{Name: "www.example.org."}, Members: make([]Member, n)}
			for i := range in.Members {
				in.Members[i] = reporting(&Server{ID: fmt.Sprintf("s%06d", i)}, .5)
			}
			b.ReportAllocs()
			for b.Loop() {
				in.Prev = Build(in)
			}
		})
	}
}
