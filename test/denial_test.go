package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// signedCorefile is a signed zone of farm, with names that only the zone file behind it has.
const signedCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    dnssec {
        key file KEY
    }
    template IN ANY none.example.org {
        rcode NXDOMAIN
        authority "example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 1209600 5"
    }
    farm {
        embedded 127.0.0.1:EMBEDDED
        fallthrough
        service www.example.org {
            server web1 192.0.2.1 port 443
            alpn h2
        }
        service both.example.org {
            server web1 192.0.2.1 2001:db8::1 port 443
            alpn h2
        }
        service *.apps.example.org {
            server app1 192.0.2.10
        }
        service a.b.example.org {
            server deep 192.0.2.11
        }
        service alias.example.org {
            server www www.example.org
        }
        service broken.example.org {
            server www nothing.example.org
        }
    }
    file ZONE
}
child.example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        embedded 127.0.0.1:EMBEDDED
        service www.child.example.org {
            server web1 192.0.2.31
        }
    }
}
`

const signedZone = `
$ORIGIN example.org.
@ 60 SOA ns hostmaster 1 7200 1800 1209600 5
@ 60 NS ns
static 60 A 192.0.2.20
to-static 60 CNAME static
inner.static2 60 A 192.0.2.21
*.wild 60 A 192.0.2.22
delegated 60 NS ns.delegated
ns.delegated 60 A 127.0.0.1
`

// startSigned starts a server of the signed zone. It returns the name of the key's files, too.
func startSigned(t *testing.T) (*coredns, string) {
	t.Helper()
	key, _ := signingKey(t, "example.org.")
	zone := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(zone, []byte(signedZone), 0o600); err != nil {
		t.Fatal(err)
	}
	return startCoreDNS(t, strings.NewReplacer("EMBEDDED", fmt.Sprint(freePort(t)), "KEY", key, "ZONE", zone).Replace(signedCorefile)), key
}

// TestUnsignedAnswersAreRefused: whoever stands between a validating resolver and the server, and replaces signed
// answers by unsigned ones of his own, gets none of them through, whether the zone has the name or not.
func TestUnsignedAnswersAreRefused(t *testing.T) {
	t.Parallel()
	names := []string{
		"www.example.org.",
		"web1.www.example.org.",
		"x.www.example.org.",
		"shop.apps.example.org.",
		"apps.example.org.",
		"b.example.org.",
		"nothing.example.org.",
		"a.nothing.example.org.",
		"example.org.",
		"static.example.org.",
		"static2.example.org.",
		"x.wild.example.org.",
		"to-static.example.org.",
		"alias.example.org.",
		"none.example.org.",
		"x.none.example.org.",
	}
	c, key := startSigned(t)
	forger := stubZone{"example.org", startForger(t, c.addr, names), key}
	for _, resolver := range []*resolvingServer{startUnbound(t, forger), startNamed(t, forger)} {
		t.Run(resolver.name, func(t *testing.T) {
			for _, name := range names {
				if r := resolver.resolve(name, dns.TypeA); r.Rcode != dns.RcodeServerFailure {
					t.Errorf("Expected SERVFAIL, got\n%v", r)
				}
			}
			if r := resolver.resolve("both.example.org", dns.TypeA); !r.AuthenticatedData || len(r.Answer) == 0 {
				t.Errorf("Expected a validated answer for a name that is left alone, got\n%v", r)
			}
		})
	}
}

// startForger starts a proxy of a name server that answers A of some names itself, without signatures.
func startForger(t *testing.T, server string, names []string) string {
	t.Helper()
	return serveDNS(t, func(w dns.ResponseWriter, r *dns.Msg) {
		q := r.Question[0]
		if q.Qtype == dns.TypeA && slices.Contains(names, strings.ToLower(q.Name)) {
			m := new(dns.Msg).SetReply(r)
			m.Authoritative = true
			m.SetEdns0(1232, true)
			m.Answer = []dns.RR{addressRecord(q.Name, net.IPv4(203, 0, 113, 66))}
			w.WriteMsg(m)
			return
		}
		m, _, err := (&dns.Client{Net: w.LocalAddr().Network(), Timeout: patience}).Exchange(r, server)
		if err == nil {
			w.WriteMsg(m)
		}
	})
}

func addressRecord(owner string, ip net.IP) dns.RR {
	return &dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: ip}
}

// TestEveryTypeStaysFound: a resolver that answers from cached proofs (RFC 8198) finds what there is, whatever was asked
// before.
func TestEveryTypeStaysFound(t *testing.T) {
	t.Parallel()
	c, key := startSigned(t)
	u := startUnbound(t, stubZone{"example.org", c.addr, key})
	absent := []uint16{dns.TypeMX, dns.TypeCAA, dns.TypeTXT, dns.TypeDS, dns.TypeNS, dns.TypeNAPTR, dns.TypeTLSA}
	for round := range 40 {
		for _, q := range []struct {
			name    string
			qtype   uint16
			present bool
		}{
			{"www.example.org", dns.TypeA, true},
			{"www.example.org", dns.TypeAAAA, false},
			{"www.example.org", absent[round%len(absent)], false},
			{"www.example.org", dns.TypeHTTPS, true},
			{"www.example.org", dns.TypeSVCB, true},
			{"www.example.org", dns.TypeSRV, true},
			{"static.example.org", dns.TypeMX, false},
			{"static.example.org", dns.TypeA, true},
		} {
			r := u.resolve(q.name, q.qtype)
			got := len(records(r.Answer, q.qtype)) > 0
			if r.Rcode != dns.RcodeSuccess || !r.AuthenticatedData || got != q.present {
				t.Fatalf("Round %d: %s %s: expected validated records: %t, got\n%v", round, q.name, dns.TypeToString[q.qtype], q.present, r)
			}
		}
	}
}

// TestProofs has a resolver validate denials of each kind, and shows what they say exists.
func TestProofs(t *testing.T) {
	t.Parallel()
	c, key := startSigned(t)
	u := startUnbound(t, stubZone{"example.org", c.addr, key})
	for _, tc := range []struct {
		name  string
		qtype uint16
		cut   bool
	}{
		{"www.example.org.", dns.TypeMX, false},
		{"www.example.org.", dns.TypeDS, false},
		{"x.www.example.org.", dns.TypeAAAA, false},
		{"x.www.example.org.", dns.TypeDS, false},
		{"web1.www.example.org.", dns.TypeHTTPS, false},
		{"b.example.org.", dns.TypeA, false},
		{"b.example.org.", dns.TypeDS, false},
		{"apps.example.org.", dns.TypeA, false},
		{"shop.apps.example.org.", dns.TypeAAAA, false},
		{"shop.apps.example.org.", dns.TypeDS, false},
		{"example.org.", dns.TypeMX, false},
		{"example.org.", dns.TypeCDS, false},
		{"static.example.org.", dns.TypeDS, false},
		{"static.example.org.", dns.TypeHTTPS, false},
		{"static2.example.org.", dns.TypeDS, false},
		{"x.wild.example.org.", dns.TypeDS, false},
		{"x.none.example.org.", dns.TypeDS, false},
		{"alias.example.org.", dns.TypeAAAA, false},
		{"alias.example.org.", dns.TypeDS, false},
		{"broken.example.org.", dns.TypeA, false},
		{"nothing.example.org.", dns.TypeDS, false},
		{"nothing.example.org.", dns.TypeA, false},
		{"a." + strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 47) + ".example.org.", dns.TypeA, false},
		{"delegated.example.org.", dns.TypeDS, true},
		{"child.example.org.", dns.TypeDS, true},
		{"x.child.example.org.", dns.TypeDS, false},
	} {
		t.Run(strings.TrimSuffix(tc.name, ".")+" "+dns.TypeToString[tc.qtype], func(t *testing.T) {
			r := u.resolve(tc.name, tc.qtype)
			if r.Rcode != dns.RcodeSuccess || !r.AuthenticatedData || len(records(r.Answer, tc.qtype)) > 0 {
				t.Errorf("Expected a validated denial, got\n%v", r)
			}
			m := question(tc.name, tc.qtype)
			m.IsEdns0().SetDo()
			r, err := exchange(c.addr, m)
			if err != nil {
				t.Fatal(err)
			}
			var proofs []*dns.NSEC
			for _, rr := range r.Ns {
				if n, ok := rr.(*dns.NSEC); ok {
					proofs = append(proofs, n)
				}
			}
			for i, rr := range r.Ns {
				if slices.ContainsFunc(r.Ns[:i], func(other dns.RR) bool { return dns.IsDuplicate(rr, other) }) {
					t.Errorf("Expected each record once, got\n%v", r)
				}
			}
			if len(proofs) != 1 {
				t.Fatalf("Expected one NSEC record, got\n%v", r)
			}
			has := func(qtype uint16) bool { return slices.Contains(proofs[0].TypeBitMap, qtype) }
			if has(tc.qtype) || has(dns.TypeCNAME) || has(dns.TypeDS) || has(dns.TypeHTTPS) == (tc.cut || tc.qtype == dns.TypeHTTPS) ||
				(has(dns.TypeNS) && !has(dns.TypeSOA)) != tc.cut {
				t.Errorf("Expected the types that may be at the name, got %v", proofs[0])
			}
		})
	}
}

// TestUnsignedZonesBelow: a zone that is delegated without DS, or that the same server serves unsigned, is answered
// unsigned.
func TestUnsignedZonesBelow(t *testing.T) {
	t.Parallel()
	c, key := startSigned(t)
	below := serveDNS(t, func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		m.Authoritative = true
		if r.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{addressRecord(r.Question[0].Name, net.IPv4(192, 0, 2, 30))}
		}
		w.WriteMsg(m)
	})
	u := startUnbound(t, stubZone{"example.org", c.addr, key}, stubZone{"delegated.example.org", below, ""})
	for name, want := range map[string]string{"www.delegated.example.org": "192.0.2.30", "www.child.example.org": "192.0.2.31"} {
		r := u.resolve(name, dns.TypeA)
		if got := addresses(r); !slices.Equal(got, []string{want}) || r.AuthenticatedData {
			t.Errorf("Expected %s without validation, got\n%v", want, r)
		}
	}
}

// serveDNS starts a name server inside the test, over UDP and TCP. It returns its address.
func serveDNS(t *testing.T, answer dns.HandlerFunc) string {
	t.Helper()
	addr := local(freePort(t))
	for _, network := range []string{"udp", "tcp"} {
		listening, ended := make(chan struct{}), make(chan error, 1)
		s := &dns.Server{Addr: addr, Net: network, Handler: answer, NotifyStartedFunc: func() { close(listening) }}
		go func() { ended <- s.ListenAndServe() }()
		select {
		case <-listening:
		case err := <-ended:
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Shutdown() })
	}
	return addr
}
