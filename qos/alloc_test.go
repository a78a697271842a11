//go:build !race

package qos_test

import (
	"net/netip"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// lookup is what the query path does with a signed handle.
type lookup struct {
	name, around string
	option       []byte
	token        []byte
	ring         *qos.Keyring
	record       *qos.HandleRecord
	limiter      *qos.Limiter
}

func newLookup(tb testing.TB) *lookup {
	l := &lookup{ring: ringOf(tb, qos.Key{ID: 7, Secret: secret}), limiter: qos.NewLimiter(1<<14, 10, 5, 1)}
	l.token = sign(tb, l.ring, forAlice(nil))
	a := with(handle(string(l.token)), needs(qos.Needs{Delay: 20, Down: 8000}))
	l.option = qos.AppendOption(nil, &a, []byte("a client id as long as they come: 37."))
	labels, err := qos.AppendLabels(nil, &a, []byte("a client id as long as they come: 37."))
	if err != nil {
		tb.Fatal(err)
	}
	l.name = "_grant." + string(labels) + video
	l.around = "_8443._https." + string(labels) + video
	l.record = recordOf(func(r *qos.HandleRecord) { r.Address = "192.0.2.7" })
	return l
}

// TestAllocations: nothing on the query path allocates, but what there is no other way to hand out.
func TestAllocations(t *testing.T) {
	l := newLookup(t)
	leveled := append(qos.AppendOption(nil, &qos.Asked{Level: "gold"}, nil), l.option[2:40]...)
	claim, err := l.ring.Verify(l.token, noon)
	if err != nil {
		t.Fatal(err)
	}
	bound := forAlice(func(c *qos.Claim) { c.Bound = true })
	reply := make([]byte, 0, 512)
	for _, c := range []struct {
		name string
		want float64
		do   func()
	}{
		{"a name without parameters", 0, func() { qos.StripLabels("www.example.org.", new(qos.Asked)) }},
		{"a type of service without parameters", 0, func() { qos.StripLabels("_http._tcp.www.example.org.", new(qos.Asked)) }},
		{"labels", 0, func() { qos.StripLabels(l.name, new(qos.Asked)) }},
		{"labels after a type of service", 1, func() { qos.StripLabels(l.around, new(qos.Asked)) }}, // the name, put together
		{"option", 0, func() { qos.ParseOption(l.option, new(qos.Asked)) }},
		{"option with a level", 1, func() { qos.ParseOption(leveled, new(qos.Asked)) }}, // its name
		{"verify", 0, func() { l.ring.Verify(l.token, noon) }},
		{"verify, and it is forged", 0, func() { l.ring.Verify(l.token[:36:36], end) }},
		{"fits", 0, func() { claim.Fits(video, alice, true, home) }},
		{"fits, bound", 0, func() { bound.Fits(video, alice, false, home) }},
		{"fits, bound to an IPv6 network", 0, func() { bound.Fits(video, alice, false, netip.MustParseAddr("2001:db8::1%eth0")) }},
		{"record", 0, func() { l.record.Claim(claim.ID, noon) }},
		{"reply", 0, func() { qos.AppendReply(reply, qos.Shown{State: qos.Granted, Level: "gold", Server: "web1"}) }},
		{"limit", 0, func() { l.limiter.Allow(1, noon) }},
	} {
		if got := testing.AllocsPerRun(100, c.do); got > c.want {
			t.Errorf("%s: got %v allocations, want %v", c.name, got, c.want)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	l := newLookup(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.ring.Verify(l.token, noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyUnknownKey(b *testing.B) {
	l := newLookup(b)
	l.token[1] = 99
	b.ReportAllocs()
	for b.Loop() {
		l.ring.Verify(l.token, noon)
	}
}

func BenchmarkFits(b *testing.B) {
	c := forAlice(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Fits(video, alice, true, home); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStripLabels(b *testing.B) {
	l := newLookup(b)
	for _, c := range []struct{ name, of string }{{"none", "www.example.org."}, {"signed", l.name}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var a qos.Asked
			for b.Loop() {
				if _, _, err := qos.StripLabels(c.of, &a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseOption(b *testing.B) {
	l := newLookup(b)
	b.ReportAllocs()
	for b.Loop() {
		var a qos.Asked
		if err := qos.ParseOption(l.option, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	l := newLookup(b).limiter
	b.ReportAllocs()
	for now := noon; b.Loop(); now++ {
		l.Allow(42, now)
	}
}
