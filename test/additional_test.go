package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestSignedSRVOverUDP: a signed SRV answer of eight servers with addresses of both families is whole in 1232 octets. What does not
// fit of the additional section is left out in whole sets, with their signatures.
func TestSignedSRVOverUDP(t *testing.T) {
	t.Parallel()
	key, _ := signingKey(t, "example.org.")
	var servers strings.Builder
	for i := 1; i <= 8; i++ {
		fmt.Fprintf(&servers, "server s%d 192.0.2.%d 2001:db8::%d port 443\n", i, i, i)
	}
	c := startCoreDNS(t, fmt.Sprintf("example.org:PORT {\nbind 127.0.0.1\nerrors\ndnssec {\nkey file %s\n}\nfarm {\nembedded 127.0.0.1:%d\n"+
		"service www.example.org {\nanswers 8\n%s}\n}\n}\n", key, freePort(t), servers.String()))
	q := question("www.example.org.", dns.TypeSRV)
	q.SetEdns0(1232, true)
	r, err := exchange(c.addr, q)
	if err != nil {
		t.Fatal(err)
	}
	type set struct {
		name   string
		rrtype uint16
	}
	sets, signatures := make(map[set]int), make(map[set]int)
	for _, rr := range r.Extra {
		h := rr.Header()
		if sig, ok := rr.(*dns.RRSIG); ok {
			signatures[set{h.Name, sig.TypeCovered}]++
		} else if h.Rrtype != dns.TypeOPT {
			sets[set{h.Name, h.Rrtype}]++
		}
	}
	if r.Truncated || len(r.Answer) != 9 {
		t.Errorf("Expected 8 records and their signature, not truncated, got tc %t and %d", r.Truncated, len(r.Answer))
	}
	if len(sets) == 0 {
		t.Error("Expected some addresses")
	}
	for s := range sets {
		if signatures[s] != 1 {
			t.Errorf("Expected a signature of %s %s, got %d", s.name, dns.TypeToString[s.rrtype], signatures[s])
		}
	}
}
