package broker

import (
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

func TestActOf(t *testing.T) {
	for _, c := range []struct {
		state   qos.State
		network bool
		want    act
	}{
		{qos.Requested, true, ask},
		{qos.Granted, true, extend}, {qos.GrantedLower, true, extend},
		{qos.Granted, false, release}, // the server's part alone stands
		{qos.Refused, true, release}, {qos.Ended, true, release}, {qos.NoGrant, false, release},
	} {
		g := qos.Grant{State: c.state, Offer: qos.Offer{Network: c.network}}
		if got := actOf(&g); got != c.want {
			t.Errorf("%s, network %t: got %s, want %s", c.state, c.network, got, c.want)
		}
	}
}

var (
	gold   = qos.Offer{Level: "gold", Unit: 100, Network: true, Down: 8000, Duration: 300}
	silver = qos.Offer{Level: "silver", Unit: 50, Network: true, Down: 2000, Duration: 300}
)

func TestAnswers(t *testing.T) {
	must := gold
	must.NeedsNetwork = true
	bare := gold
	bare.Unit = 0
	alone := gold
	alone.Network = false
	no := element.Outcome{State: qos.Refused, Reason: qos.ByElement, Detail: "full"}
	requested := func(o qos.Offer) *qos.Grant {
		return &qos.Grant{Asked: "gold", Offer: o, State: qos.Requested, End: 60, Version: 3}
	}
	granted := func(o qos.Offer) *qos.Grant {
		return &qos.Grant{Asked: "gold", Offer: o, State: qos.Granted, End: 60, Session: "s", Version: 3}
	}
	for _, c := range []struct {
		name string
		got  qos.Grant
		want qos.Grant
	}{
		{"granted as asked", answerOf(requested(gold), gold, element.Outcome{State: qos.Granted, Session: "x"}),
			qos.Grant{Asked: "gold", Offer: gold, State: qos.Granted, Session: "x", End: 60, Version: 3}},
		{"granted for another time", answerOf(requested(gold), gold, element.Outcome{State: qos.Granted, End: 99}),
			qos.Grant{Asked: "gold", Offer: gold, State: qos.Granted, End: 99, Version: 3}},
		{"granted lower", answerOf(requested(gold), silver, element.Outcome{State: qos.Granted}),
			qos.Grant{Asked: "gold", Offer: silver, State: qos.GrantedLower, End: 60, Version: 3}},
		{"to be told later", answerOf(requested(gold), gold, element.Outcome{State: qos.Requested, Session: "x"}),
			qos.Grant{Asked: "gold", Offer: gold, State: qos.Requested, Session: "x", End: 60, Version: 3}},
		{"refused, the server's part stands alone", without(requested(gold), no),
			qos.Grant{Asked: "gold", Offer: alone, State: qos.Granted, Reason: qos.ByElement, Detail: "full", End: 60, Version: 3}},
		{"refused, the network is needed", without(requested(must), no),
			qos.Grant{Asked: "gold", Offer: must, State: qos.Refused, Reason: qos.ByElement, Detail: "full", End: 60, Version: 3}},
		{"refused, there is no server's part", without(requested(bare), no),
			qos.Grant{Asked: "gold", Offer: bare, State: qos.Refused, Reason: qos.ByElement, Detail: "full", End: 60, Version: 3}},
		{"ended", without(granted(must), element.Outcome{State: qos.Ended}),
			qos.Grant{Asked: "gold", Offer: must, State: qos.Ended, Reason: qos.ByElement, End: 60, Version: 3}},
		{"ended, the server's part goes on", without(granted(gold), element.Outcome{State: qos.Ended, Reason: qos.Expired}),
			qos.Grant{Asked: "gold", Offer: alone, State: qos.Granted, Reason: qos.Expired, End: 60, Version: 3}},
	} {
		if !same(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, c.got, c.want)
		}
	}
	for _, c := range []struct {
		name string
		out  element.Outcome
		end  int64
		news bool
	}{
		{"as it was asked", element.Outcome{State: qos.Granted, Session: "s"}, 60, false},
		{"for a shorter time", element.Outcome{State: qos.Granted, Session: "s", End: 50}, 50, true},
		{"as it stood", element.Outcome{State: qos.Refused}, 60, false},
		{"not at all", element.Outcome{State: qos.Ended}, 60, true},
	} {
		got, news := extended(granted(gold), c.out)
		if news != c.news || got.End != c.end {
			t.Errorf("extended %s: got %+v, news %t, want end %d, news %t", c.name, got, news, c.end, c.news)
		}
	}
}

func same(a, b qos.Grant) bool {
	return a.Asked == b.Asked && a.Offer == b.Offer && a.State == b.State && a.Reason == b.Reason && a.Detail == b.Detail &&
		a.Session == b.Session && a.End == b.End && a.Version == b.Version && len(a.Lower) == len(b.Lower)
}

// A request for a lower offer carries nothing of the session that a better one was refused with.
func TestWith(t *testing.T) {
	g := qos.Grant{Offer: gold, Lower: []qos.Offer{silver}, Session: "x"}
	if got := with(&g, gold); got.Session != "x" || got.Level != "gold" {
		t.Errorf("the same offer: got %+v", got)
	}
	if got := with(&g, silver); got.Session != "" || got.Level != "silver" || len(got.Lower) != 0 {
		t.Errorf("a lower offer: got %+v", got)
	}
}

func TestLocalEnd(t *testing.T) {
	const now = 1_000_000
	for _, c := range []struct {
		name  string
		state qos.State
		left  int64
		want  int64
	}{
		{"as it is", qos.Granted, 200_000, 200_000},
		{"just over", qos.Granted, -1000, 0},
		{"our clock is an hour ahead", qos.Granted, -3_500_000, 300_000},
		{"our clock is an hour behind", qos.Granted, 3_800_000, 300_000},
		{"a request", qos.Requested, 59_000, 59_000},
		{"a request, our clock is an hour ahead", qos.Requested, -3_540_000, 60_000},
	} {
		g := qos.Grant{State: c.state, Offer: gold, End: now + c.left}
		if got := localEnd(&g, now); got != now+c.want {
			t.Errorf("%s: got %d ms left, want %d", c.name, got-now, c.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		failures  int
		low, high time.Duration
	}{
		{1, 125 * time.Millisecond, 250 * time.Millisecond},
		{3, 500 * time.Millisecond, time.Second},
		{6, 4 * time.Second, 8 * time.Second},
		{1000, 4 * time.Second, 8 * time.Second},
	} {
		if low, high := backoff(c.failures, 0), backoff(c.failures, 1); low != c.low || high != c.high {
			t.Errorf("after %d failures: got %v to %v, want %v to %v", c.failures, low, high, c.low, c.high)
		}
	}
}

func TestSites(t *testing.T) {
	one, two := &site{name: "one"}, &site{name: "two"}
	for _, c := range []struct {
		all  sites
		name string
		want *site
	}{
		{sites{one}, "", one}, {sites{one}, "one", one}, {sites{one}, "two", nil},
		{sites{one, two}, "two", two}, {sites{one, two}, "", nil}, {nil, "", nil},
	} {
		if got := c.all.of(c.name); got != c.want {
			t.Errorf("%q of %d: got %+v, want %+v", c.name, len(c.all), got, c.want)
		}
	}
}
