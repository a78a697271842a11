package steer

import (
	"math"
	"net/netip"
	"testing"
)

// gold keeps a fifth of its servers free, which are of the class fast; silver may have any.
var (
	gold   = Level{Name: "gold", Rank: 20, Unit: 0.1, Share: 0.3, Keep: 0.2, Ceiling: 0.95, Classes: []string{"fast"}, Requires: RequiresServer}
	silver = Level{Name: "silver", Rank: 10, Unit: 0.05}
)

func fast(s *Server) { s.Classes = []string{"fast", "near"} }

func withUse(m Member, uses ...Use) Member {
	m.Used = uses
	return m
}

func buildWith(policy Policy, levels []Level, members ...Member) *Farm {
	return Build(Input{Service: Service{Name: "www.example.org.", Policy: policy, Levels: levels}, Members: members, Now: 1_000_000})
}

func TestLevelGate(t *testing.T) {
	lenient := gold
	lenient.Requires = ""
	for _, tc := range []struct {
		name  string
		level Level
		m     Member
		was   Gate
		want  Gate
	}{
		{"fits", gold, quiet(server(1, fast)), Open, Open},
		{"another class", gold, quiet(server(1)), Open, Unfit},
		{"any class", silver, quiet(server(1)), Open, Open},
		{"what everybody sees comes first", gold, quiet(server(1)), IsDown, IsDown},
		{"room for one more", gold, withUse(quiet(server(1, fast)), Use{"gold", 0.2}), Open, Open},
		{"its share is taken", gold, withUse(quiet(server(1, fast)), Use{"gold", 0.21}), Open, Taken},
		{"others' share is not its own", gold, withUse(quiet(server(1, fast)), Use{"silver", 0.5}), Open, Open},
		{"the server is taken", gold, withUse(quiet(server(1, fast)), Use{"silver", 0.95}), Open, Taken},
		{"not required", lenient, withUse(quiet(server(1, fast)), Use{"gold", 0.3}), Open, Open},
		{"no share said is all of it", silver, withUse(quiet(server(1)), Use{"silver", 0.95}), Open, Open},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.level.gate(&tc.m, tc.was); got != tc.want {
				t.Errorf("Expected %v, got %v", tc.want, got)
			}
		})
	}
}

// Whoever explains sees the gates of a level also where its clients are given a lower one.
func TestAt(t *testing.T) {
	f := buildWith(RoundRobin, []Level{silver, gold}, quiet(server(1)), withUse(quiet(server(2, fast)), Use{"gold", 0.3}))
	for level, want := range map[string][2]Gate{"gold": {Unfit, Taken}, "silver": {Open, Open}} {
		if g := f.At(level); g.State[0].Gate != want[0] || g.State[1].Gate != want[1] {
			t.Errorf("at %s: Expected %v, got %v", level, want, g.State)
		}
	}
	if f.At("bronze") != nil {
		t.Error("Expected nothing of a level that there is not")
	}
}

// A client is given the best level that it may have and that a server is open for.
func TestLevels(t *testing.T) {
	levels := []Level{silver, gold}
	for _, tc := range []struct {
		name    string
		members []Member
		level   uint8
		want    uint8
		server  int32 // the only one that may be given; -1 is any
	}{
		{"best effort", []Member{quiet(server(1)), quiet(server(2, fast))}, 0, 0, -1},
		{"gold goes to the fast one", []Member{quiet(server(1)), quiet(server(2, fast))}, 20, 20, 1},
		{"more than the best is the best", []Member{quiet(server(1)), quiet(server(2, fast))}, 255, 20, 1},
		{"between the ranks", []Member{quiet(server(1)), quiet(server(2, fast))}, 19, 10, -1},
		{"below the ranks", []Member{quiet(server(1)), quiet(server(2, fast))}, 9, 0, -1},
		{"no fast one: the next lower level", []Member{quiet(server(1)), quiet(server(2))}, 20, 10, -1},
		{"the fast one is down", []Member{quiet(server(1)), {Server: server(2, fast), Report: Report{Health: Down}}}, 20, 10, 0},
		{"gold above its ceiling", []Member{reporting(server(1), 0.5), reporting(server(2, fast), 0.95)}, 20, 10, 0},
		{"gold below its ceiling where best effort is full", []Member{reporting(server(1), 2), reporting(server(2, fast), 0.9)}, 20, 20, 1},
		{"all granted to others", []Member{withUse(quiet(server(1, fast)), Use{"gold", 0.3}), quiet(server(2))}, 20, 10, -1},
		{"nobody is open for any level", []Member{{Server: server(1), Report: Report{Health: Down}}}, 20, 0, 0},
	} {
		for _, policy := range Policies {
			t.Run(tc.name+" "+string(policy), func(t *testing.T) {
				f := buildWith(policy, levels, tc.members...)
				for turn := range uint64(20) {
					p := Decide(f, &Query{Client: client(1), Family: AnyFamily, Level: tc.level, Chance: turn})
					if p.Level != tc.want || p.N == 0 || tc.server >= 0 && (p.N != 1 || p.Servers[0] != tc.server) {
						t.Fatalf("Expected level %d and server %d, got %+v", tc.want, tc.server, p)
					}
				}
			})
		}
	}
}

// What a level keeps is not for those below it; what its grants have reserved of that shows in the utilisation.
func TestKeep(t *testing.T) {
	for _, tc := range []struct {
		used           []Use
		kept           float64
		below, atLevel Gate
		util           float64
	}{
		{nil, 0.2, Open, Open, 0.75},
		{nil, 0.2, Full, Open, 0.85},
		{[]Use{{"gold", 0.1}}, 0.1, Open, Open, 0.85},
		{[]Use{{"gold", 0.25}}, 0, Open, Taken, 0.85},
	} {
		f := buildWith(Headroom, []Level{silver, gold}, withUse(reporting(server(1, fast), tc.util), tc.used...))
		if got := f.State[0]; math.Abs(got.Kept-tc.kept) > 1e-9 || got.Gate != tc.below {
			t.Errorf("%v at %v: expected %v kept of best effort and %v, got %+v", tc.used, tc.util, tc.kept, tc.below, got)
		}
		if got := f.levels[1].State[0]; got.Kept != 0 || got.Gate != tc.atLevel {
			t.Errorf("%v at %v: expected that nothing is kept of gold and %v, got %+v", tc.used, tc.util, tc.atLevel, got)
		}
		if got := f.levels[0].State[0].Kept; math.Abs(got-tc.kept) > 1e-9 {
			t.Errorf("%v: expected %v kept of silver, got %v", tc.used, tc.kept, got)
		}
	}
	// A plain server keeps nothing for a level that it is not for, and gets the more of the others.
	f := buildWith(Headroom, []Level{gold}, reporting(server(1), 0.5), reporting(server(2, fast), 0.5))
	if f.State[0].Kept != 0 || f.State[0].Weight <= f.State[1].Weight {
		t.Errorf("Expected best effort to be steered away from what is kept free, got %+v", f.State)
	}
}

func TestGranted(t *testing.T) {
	v6 := func(s *Server) { s.Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::2")} }
	for _, tc := range []struct {
		name    string
		m       Member
		granted int32
		held    bool
	}{
		{"open", quiet(server(2, fast)), 2, true},
		{"full: it was reserved", reporting(server(2, fast), 3), 2, true},
		{"down", Member{Server: server(2, fast), Report: Report{Health: Down}}, 2, false},
		{"taken out", Member{Server: server(2, fast), Admin: Admin{State: Maint}}, 2, false},
		{"drained", Member{Server: server(2, fast), Admin: Admin{State: Drain, Since: 1}}, 2, false},
		{"silent", Member{Server: server(2, fast), Reported: true, LeaseEnd: 1}, 2, false},
		{"none", quiet(server(2, fast)), 0, false},
		{"a server that is gone", quiet(server(2, fast)), 3, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := buildWith(Predict, []Level{silver, gold}, quiet(server(1, fast)), tc.m)
			p := Decide(f, &Query{Client: client(1), Family: V4, Level: 20, Granted: tc.granted})
			if held := p.By == ByGrant; held != tc.held || held && (p.N != 1 || p.Servers[0] != 1 || p.Level != 20) {
				t.Errorf("Expected held %v, got %+v", tc.held, p)
			}
		})
	}
	f := buildWith(Predict, []Level{gold}, quiet(server(1, fast)), quiet(server(2, fast, v6)))
	if p := Decide(f, &Query{Client: client(1), Family: V4, Level: 20, Granted: 2}); p.By != ByGrant || p.N != 0 {
		t.Errorf("Expected no server of the family rather than another than granted, got %+v", p)
	}
}

// A client that is known by name is one of its own: what it is given moves nobody else's load.
func TestWho(t *testing.T) {
	b := newLab(t, 100, 100)
	b.all(.5)
	q := Query{Client: client(1), Family: V4, Now: b.now, Who: WhoIs([8]byte{1})}
	q.Chance = b.l.ChanceOf(b.f, q.Who, KindA, b.now)
	p := DecideWith(b.f, b.l, &q)
	b.l.Note(b.f, &q, &p)
	if b.l.find(b.l.key(b.f, hashPrefix(q.Client))) >= 0 || b.l.find(b.l.key(b.f, q.Who)) < 0 {
		t.Error("Expected the answer to be remembered of the client, not of its resolver")
	}
}

func TestLevelOf(t *testing.T) {
	s := Service{Levels: []Level{silver, gold}}
	for rank, want := range map[uint8]string{0: "", 9: "", 10: "silver", 19: "silver", 20: "gold", 255: "gold"} {
		got := ""
		if l := s.LevelAt(rank); l != nil {
			got = l.Name
		}
		if got != want {
			t.Errorf("rank %d: expected %q, got %q", rank, want, got)
		}
	}
	if s.Level("gold") != &s.Levels[1] || s.Level("lead") != nil {
		t.Error("Expected levels to be found by name")
	}
}
