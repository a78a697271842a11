package farm

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// signed adds what *dnssec* does to a reply: a signature of 64 octets for each set of records.
func signed(m *dns.Msg, zone string) {
	sign := func(rrs []dns.RR) []dns.RR {
		out := rrs
		for i, rr := range rrs {
			if rr.Header().Rrtype != dns.TypeOPT && (i == 0 || !sameSet(rr, rrs[i-1])) {
				h := dns.RR_Header{Name: rr.Header().Name, Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: rr.Header().Ttl}
				out = append(out, &dns.RRSIG{Hdr: h, TypeCovered: rr.Header().Rrtype, SignerName: zone, Signature: strings.Repeat("A", 86) + "=="})
			}
		}
		return out
	}
	m.Answer, m.Extra = sign(m.Answer), sign(m.Extra)
}

// A reply is truncated only if its answer does not fit, and no set of additional records is cut in two.
func TestAdditionalThatDoesNotFit(t *testing.T) {
	var b strings.Builder
	for i := range steer.MaxAnswers {
		fmt.Fprintf(&b, "server s%d 192.0.2.%d 192.0.2.%d 2001:db8::%d port 8%d\n", i, i, i+100, i+1, i)
	}
	f := newTestFarm(t, "farm example.org {\nns ns1.example.org 192.0.2.1 2001:db8::1\nns ns2.example.org 192.0.2.2 2001:db8::2\n"+
		"service big.example.org {\nanswers 8\npolicy roundrobin\nalpn h2\n"+strings.ReplaceAll(b.String(), "192.0.2.0 ", "192.0.2.99 ")+
		"}\nservice alias.example.org {\nserver a big.example.org\n}\n}")
	for _, tc := range []struct {
		name   string
		qtype  uint16
		size   uint16 // 0 is without EDNS
		signs  bool
		tcp    bool
		tc     bool
		answer int // records, without signatures
		sets   int // additional sets
	}{
		{"big.example.org.", dns.TypeSRV, 0, false, false, false, 8, 5},
		{"big.example.org.", dns.TypeSRV, 1232, false, false, false, 8, 16},
		{"big.example.org.", dns.TypeSRV, 1232, true, false, false, 8, 5},
		{"big.example.org.", dns.TypeSRV, 4096, true, false, false, 8, 16},
		{"big.example.org.", dns.TypeSRV, 512, true, true, false, 8, 16},
		{"big.example.org.", dns.TypeSRV, 512, true, false, false, 8, 0},
		{"alias.example.org.", dns.TypeSRV, 512, false, false, false, 9, 4},
		{"alias.example.org.", dns.TypeSRV, 1232, true, false, false, 9, 4},
		{"big.example.org.", dns.TypeHTTPS, 1232, true, false, false, 8, 3},
		{"example.org.", dns.TypeNS, 0, true, false, false, 2, 4},
		{"example.org.", dns.TypeNS, 512, true, false, false, 2, 2},
	} {
		t.Run(fmt.Sprintf("%s %s %d signed %t", tc.name, dns.TypeToString[tc.qtype], tc.size, tc.signs), func(t *testing.T) {
			f.signs = tc.signs
			q := question(tc.name, tc.qtype)
			if tc.size > 0 {
				q.SetEdns0(tc.size, tc.signs)
			}
			w := newSink()
			if tc.tcp {
				w.remote = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 200), Port: 4053}
			}
			f.ServeDNS(t.Context(), w, q)
			m := w.last.Copy()
			if tc.signs && tc.size > 0 {
				signed(m, "example.org.")
			}
			state := request.Request{W: w, Req: q}
			state.SizeAndDo(m)
			before := len(m.Extra)
			state.Scrub(m)
			wire, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if m.Truncated != tc.tc || len(m.Extra) != before || len(wire) > state.Size() {
				t.Errorf("Got tc %t, %d of %d additional records, %d octets of %d", m.Truncated, len(m.Extra), before, len(wire), state.Size())
			}
			if got := len(w.last.Answer); got != tc.answer {
				t.Errorf("Got %d records, want %d", got, tc.answer)
			}
			if got := setsOf(w.last.Extra); got != tc.sets {
				t.Errorf("Got %d additional sets, want %d; %d octets", got, tc.sets, len(wire))
			}
		})
	}
}
