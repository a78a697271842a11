package linux

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

var testConfig = Config{Links: []Link{{"down", 20_000, TowardClients}, {"up", 10_000, TowardServers}}}.withDefaults()

func p(from, to string) pair { return pair{netip.MustParseAddr(from), netip.MustParseAddr(to)} }

func TestPlan(t *testing.T) {
	a, b := p("192.0.2.1", "198.51.100.1"), p("198.51.100.1", "192.0.2.1")
	six := p("2001:db8::1", "2001:db8:1::1")
	const soon = 100_000
	standing := func() *state {
		s := newState()
		s.note([]op{{do: setClass, at: classAt{1, 16}, rate: 1000}, {do: addFlow, pair: a, at: classAt{1, 16}, until: soon},
			{do: addValue, dscp: 46}, {do: addMark, pair: a, dscp: 46, until: soon}})
		return s
	}
	for _, c := range []struct {
		name string
		have *state
		want map[pair]flow
		ops  []string
	}{
		{"nothing", newState(), nil, nil},
		{"as it is", standing(), map[pair]flow{a: {link: 1, rate: 1000, dscp: 46, until: soon}}, nil},
		{"as it is, about", standing(), map[pair]flow{a: {link: 1, rate: 1000, dscp: 46, until: soon + untilSlack}}, nil},
		{"new, with a delay, in both directions", newState(),
			map[pair]flow{a: {link: 1, rate: 1000, delay: 20, dscp: 10, until: soon}, b: {link: 0, rate: 3000, until: soon}},
			[]string{
				"tc class replace dev up parent fa00:1 classid fa00:10 htb rate 1000kbit ceil 10000kbit; tc qdisc replace dev up parent fa00:10 pfifo limit 4",
				"tc class replace dev down parent fa00:1 classid fa00:11 htb rate 3000kbit ceil 20000kbit",
				"nft add element inet farm class4 { 192.0.2.1 . 198.51.100.1 timeout 105s : fa00:10 }",
				"nft add set inet farm dscp10_4, dscp10_6 and the rules that mark with 10",
				"nft add element inet farm dscp10_4 { 192.0.2.1 . 198.51.100.1 timeout 105s } # ip dscp set 10",
				"nft add element inet farm class4 { 198.51.100.1 . 192.0.2.1 timeout 105s : fa00:11 }",
			}},
		{"a rate that changes", standing(), map[pair]flow{a: {link: 1, rate: 1500, dscp: 46, until: soon}},
			[]string{"tc class replace dev up parent fa00:1 classid fa00:10 htb rate 1500kbit ceil 10000kbit"}},
		{"a renewal", standing(), map[pair]flow{a: {link: 1, rate: 1000, dscp: 46, until: 2 * soon}},
			[]string{
				"nft delete element inet farm class4 { 192.0.2.1 . 198.51.100.1 }",
				"nft add element inet farm class4 { 192.0.2.1 . 198.51.100.1 timeout 205s : fa00:10 }",
				"nft delete element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 }",
				"nft add element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 timeout 205s } # ip dscp set 46",
			}},
		{"another mark", standing(), map[pair]flow{a: {link: 1, rate: 1000, dscp: 34, until: soon}},
			[]string{
				"nft delete element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 }",
				"nft add set inet farm dscp34_4, dscp34_6 and the rules that mark with 34",
				"nft add element inet farm dscp34_4 { 192.0.2.1 . 198.51.100.1 timeout 105s } # ip dscp set 34",
			}},
		{"the end", standing(), nil,
			[]string{
				"nft delete element inet farm class4 { 192.0.2.1 . 198.51.100.1 }",
				"nft delete element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 }",
				"tc class del dev up classid fa00:10",
			}},
		{"another pair in its place takes another class", standing(), map[pair]flow{six: {link: 1, rate: 500, until: soon}},
			[]string{
				"tc class replace dev up parent fa00:1 classid fa00:11 htb rate 500kbit ceil 10000kbit",
				"nft add element inet farm class6 { 2001:db8::1 . 2001:db8:1::1 timeout 105s : fa00:11 }",
				"nft delete element inet farm class4 { 192.0.2.1 . 198.51.100.1 }",
				"nft delete element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 }",
				"tc class del dev up classid fa00:10",
			}},
		{"a class that nobody is in", func() *state { s := newState(); s.classes[classAt{0, 20}] = 7; return s }(), nil,
			[]string{"tc class del dev down classid fa00:14"}},
		{"two pairs in one class", func() *state {
			s := newState()
			s.classes[classAt{1, 16}] = 1000
			s.flows[a], s.flows[b] = classified{16, soon}, classified{16, soon}
			return s
		}(), map[pair]flow{a: {link: 1, rate: 1000, until: soon}, b: {link: 0, rate: 2000, until: soon}},
			[]string{
				"tc class replace dev down parent fa00:1 classid fa00:11 htb rate 2000kbit ceil 20000kbit",
				"nft delete element inet farm class4 { 198.51.100.1 . 192.0.2.1 }",
				"nft add element inet farm class4 { 198.51.100.1 . 192.0.2.1 timeout 105s : fa00:11 }",
			}},
	} {
		var got []string
		for _, o := range plan(c.have, c.want) {
			got = append(got, o.line(&testConfig, 0))
		}
		if !reflect.DeepEqual(got, c.ops) {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", c.name, strings.Join(got, "\n\t"), strings.Join(c.ops, "\n\t"))
		}
	}
}

// Whatever stood before, what is planned leads to what is wanted, and then nothing more is to be done.
func TestPlanLeadsThere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	have := newState()
	for round := range 2000 {
		want := make(map[pair]flow)
		for range random.IntN(8) {
			n, m := random.IntN(6)+1, random.IntN(3)+1
			want[p(fmt.Sprintf("192.0.2.%d", n), fmt.Sprintf("198.51.100.%d", m))] = flow{
				link: random.IntN(2), rate: uint32(random.IntN(4) * 1000), dscp: uint8(random.IntN(3) * 10), until: int64(random.IntN(3)) * 60_000,
			}
		}
		have.note(plan(have, want))
		if more := plan(have, want); len(more) > 0 {
			t.Fatalf("round %d: expected nothing more to do, got %s", round, more[0].line(&testConfig, 0))
		}
		seen := make(map[uint16]bool)
		for pr, f := range want {
			c, there := have.flows[pr]
			if there != (f.rate > 0) || there && (seen[c.minor] || have.classes[classAt{f.link, c.minor}] != f.rate) {
				t.Fatalf("round %d: %v wants %+v: got class %+v", round, pr, f, c)
			}
			seen[c.minor] = there
			if got := have.marks[pr].dscp; got != f.dscp {
				t.Fatalf("round %d: %v wants DSCP %d: got %d", round, pr, f.dscp, got)
			}
		}
	}
}

func TestFlows(t *testing.T) {
	route := func(toward string, _ netip.Addr) (int, error) {
		if toward == TowardClients {
			return 0, nil
		}
		return 1, nil
	}
	up, down := p("192.0.2.1", "198.51.100.1"), p("198.51.100.1", "192.0.2.1")
	for _, c := range []struct {
		name    string
		change  func(*qos.Grant)
		want    holding
		refused string
	}{
		{"both directions", func(*qos.Grant) {}, holding{
			up:   {link: 1, rate: 1000, delay: 20, dscp: 46, until: 7},
			down: {link: 0, rate: 2000, delay: 20, dscp: 46, until: 7}}, ""},
		{"down alone, unmarked", func(g *qos.Grant) { g.Up, g.DSCP = 0, 0 }, holding{down: {link: 0, rate: 2000, delay: 20, until: 7}}, ""},
		{"a mark alone", func(g *qos.Grant) { g.Up, g.Down, g.Delay = 0, 0, 0 }, holding{
			up: {link: -1, dscp: 46, until: 7}, down: {link: -1, dscp: 46, until: 7}}, ""},
		{"an IPv4 address in IPv6's form", func(g *qos.Grant) { g.ClientAddr = netip.MustParseAddr("::ffff:192.0.2.1"); g.Up, g.DSCP = 0, 0 },
			holding{down: {link: 0, rate: 2000, delay: 20, until: 7}}, ""},
		{"no client", func(g *qos.Grant) { g.ClientAddr = netip.Addr{} }, nil, "addresses of client and server are not known"},
		{"no server", func(g *qos.Grant) { g.ServerAddr = netip.Addr{} }, nil, "addresses of client and server are not known"},
		{"two families", func(g *qos.Grant) { g.ServerAddr = netip.MustParseAddr("2001:db8::1") }, nil, "one family"},
		{"a zone", func(g *qos.Grant) {
			g.ClientAddr, g.ServerAddr = netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("2001:db8::1")
		}, nil, "one family"},
		{"nothing to grant", func(g *qos.Grant) { g.Up, g.Down, g.DSCP, g.Delay = 0, 0, 0, 0 }, nil, "nothing to grant here"},
		{"a delay alone", func(g *qos.Grant) { g.Up, g.Down = 0, 0 }, nil, "a delay without a rate"},
		{"a DSCP that is none", func(g *qos.Grant) { g.DSCP = 64 }, nil, "above 63"},
	} {
		g := grantOf(1, "192.0.2.1", "198.51.100.1", 1000, 2000)
		c.change(g)
		got, err := flows(g, 7, route)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got %+v, %v, want %+v, %q", c.name, got, err, c.want, c.refused)
		}
	}
}

// Two clients behind one address share what both are granted.
func TestWantsAreSummedUp(t *testing.T) {
	pr := p("192.0.2.1", "198.51.100.1")
	b := book{
		element.GrantOf{ID: qos.GrantID{1}}: {pr: {link: 1, rate: 100, delay: 30, dscp: 10, until: 5}},
		element.GrantOf{ID: qos.GrantID{2}}: {pr: {link: 1, rate: 200, dscp: 46, until: 9}},
		element.GrantOf{ID: qos.GrantID{3}}: {pr: {link: -1, dscp: 12, until: 3}},
	}
	want := flow{link: 1, rate: 300, delay: 30, dscp: 46, until: 9}
	if got := b.wants()[pr]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	b.prune(5)
	if len(b) != 1 {
		t.Errorf("got %d grants after two have ended, want 1", len(b))
	}
}

// A link is never granted beyond its part, whatever comes and goes.
func TestNeverOverCommitted(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	e := &Element{cfg: testConfig, net: newPaper(&testConfig, io.Discard), log: quiet, book: make(book)}
	refused := 0
	for range 5000 {
		n := byte(random.IntN(40))
		g := grantOf(n, fmt.Sprintf("192.0.2.%d", n/2+1), "198.51.100.1", uint32(random.IntN(3000)), uint32(random.IntN(3000)+1))
		if random.IntN(3) == 0 {
			if err := e.Release(t.Context(), g); err != nil {
				t.Fatal(err)
			}
		} else if out, err := e.Grant(t.Context(), g); err != nil {
			t.Fatal(err)
		} else if out.State == qos.Refused {
			refused++
		}
		sums := make(map[int]uint64)
		for at, rate := range e.have.classes {
			sums[at.link] += uint64(rate)
		}
		for link, sum := range sums {
			if sum > testConfig.grantable(link) {
				t.Fatalf("link %d: %d kbit/s are granted, want at most %d", link, sum, testConfig.grantable(link))
			}
		}
	}
	if refused == 0 {
		t.Error("expected that some were refused")
	}
}

func TestCheck(t *testing.T) {
	good := Config{Links: []Link{{"eth0", 1000, TowardClients}}}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Links = nil }, "links: expected 1 to 64"},
		{func(c *Config) { c.Links[0].Interface = "eth 0" }, "links[0].interface: expected the name"},
		{func(c *Config) { c.Links = append(c.Links, c.Links[0]) }, "links[1].interface: expected every interface once"},
		{func(c *Config) { c.Links[0].Rate = 1 }, "links[0].rate: expected 64 to"},
		{func(c *Config) { c.Links[0].Toward = "north" }, "links[0].toward: expected clients or servers"},
		{func(c *Config) { c.Table = "a b" }, "table: expected"},
		{func(c *Config) { c.Handle = "0" }, "handle: expected"},
		{func(c *Config) { c.Handle = "ffff" }, "handle: expected"},
		{func(c *Config) { c.Handle = "12345" }, "handle: expected"},
		{func(c *Config) { c.Part = 1 }, "part: expected"},
		{func(c *Config) { c.Part = -1 }, "part: expected"},
	} {
		cfg := good
		cfg.Links = append([]Link(nil), good.Links...)
		c.change(&cfg)
		err := cfg.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", cfg, err, c.want)
		}
	}
}

// A dry run says what it would do, and does nothing.
func TestDryRun(t *testing.T) {
	var out strings.Builder
	cfg := testConfig
	cfg.DryRun = true
	e, err := New(cfg, quiet, &out)
	if err != nil {
		t.Fatal(err)
	}
	g := grantOf(1, "192.0.2.1", "198.51.100.1", 0, 8000)
	mustGrant(t, e, g)
	if err := e.Release(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `tc qdisc replace dev down root handle fa00: htb default 2
tc class replace dev down parent fa00: classid fa00:1 htb rate 20000kbit
tc class replace dev down parent fa00:1 classid fa00:2 htb rate 4000kbit ceil 20000kbit
tc qdisc replace dev up root handle fa00: htb default 2
tc class replace dev up parent fa00: classid fa00:1 htb rate 10000kbit
tc class replace dev up parent fa00:1 classid fa00:2 htb rate 2000kbit ceil 10000kbit
nft add table inet farm, its maps class4 and class6, and its chain mark
tc class replace dev down parent fa00:1 classid fa00:10 htb rate 8000kbit ceil 20000kbit; tc qdisc replace dev down parent fa00:10 pfifo limit 13
nft add set inet farm dscp46_4, dscp46_6 and the rules that mark with 46
nft add element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 timeout Ns } # ip dscp set 46
nft add element inet farm class4 { 198.51.100.1 . 192.0.2.1 timeout Ns : fa00:10 }
nft add element inet farm dscp46_4 { 198.51.100.1 . 192.0.2.1 timeout Ns } # ip dscp set 46
nft delete element inet farm class4 { 198.51.100.1 . 192.0.2.1 }
nft delete element inet farm dscp46_4 { 192.0.2.1 . 198.51.100.1 }
nft delete element inet farm dscp46_4 { 198.51.100.1 . 192.0.2.1 }
tc class del dev down classid fa00:10
nft delete table inet farm
tc qdisc del dev down root
tc qdisc del dev up root
`
	if got := regexp.MustCompile(`[0-9]+s `).ReplaceAllString(out.String(), "Ns "); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
