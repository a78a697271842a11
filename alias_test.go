package farm

import (
	"strings"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// aliased is a block with each kind of alias.
const aliased = `farm example.org example.com {
	policy first
	ns ns1.example.org 192.0.2.53
	service www.example.org {
		ttl 30
		alpn h2
		server a 192.0.2.1 2001:db8::1 port 443
	}
	service in.example.org {
		ttl 60
		server x www.example.org port 443
	}
	service two.example.org {
		server x in.example.org
	}
	service other.example.org {
		server x www.example.com
	}
	service www.example.com {
		server a 192.0.2.2
	}
	service host.example.org {
		server x a.www.example.org
	}
	service ns.example.org {
		server x ns1.example.org
	}
	service shop.example.org {
		server x shop.wild.example.org
	}
	service *.wild.example.org {
		server w 192.0.2.3
	}
	service *.all.example.org {
		server x www.example.org
	}
	service apex.example.org {
		server x example.org
	}
	service gone.example.org {
		server x nosuch.example.org
	}
	service out.example.org {
		server cdn www.example.net
	}
	service loop1.example.org {
		fallback loop2.example.org
	}
	service loop2.example.org {
		fallback loop1.example.org
	}
	service back.example.org {
		fallback www.example.org
		server down 192.0.2.4
	}
	service full.example.org {
		fallback www.example.org
		server a 192.0.2.5
	}
	service _sip._tcp.example.org {
		server x www.example.org port 5060
	}
	service _acme-challenge.example.org {
		server x acme.example.net
	}
	service mixed.example.org {
		server a 192.0.2.6
		server x www.example.org priority 1
	}
}`

const aliasSOA = "NS example.org. 5 IN SOA ns1.example.org. hostmaster.example.org. 7 14400 3600 1209600 5\n"

func TestAliasIsFollowed(t *testing.T) {
	const www = "AN www.example.org. 30 IN A 192.0.2.1\n"
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"in.example.org.", dns.TypeA, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + www},
		{"iN.example.org.", dns.TypeA, 0, "AN iN.example.org. 60 IN CNAME www.example.org.\n" + www},
		{"in.example.org.", dns.TypeAAAA, 0, "AN in.example.org. 60 IN CNAME www.example.org.\nAN www.example.org. 30 IN AAAA 2001:db8::1\n"},
		{"two.example.org.", dns.TypeA, 0, "AN two.example.org. 20 IN CNAME in.example.org.\nAN in.example.org. 60 IN CNAME www.example.org.\n" + www},
		{"other.example.org.", dns.TypeA, 0, "AN other.example.org. 20 IN CNAME www.example.com.\nAN www.example.com. 20 IN A 192.0.2.2\n"},
		{"host.example.org.", dns.TypeA, 0, "AN host.example.org. 20 IN CNAME a.www.example.org.\nAN a.www.example.org. 30 IN A 192.0.2.1\n"},
		{"x.in.example.org.", dns.TypeA, 0, "AN x.in.example.org. 60 IN CNAME www.example.org.\n" + www},
		{"ns.example.org.", dns.TypeA, 0, "AN ns.example.org. 20 IN CNAME ns1.example.org.\nAN ns1.example.org. 300 IN A 192.0.2.53\n"},
		{"shop.example.org.", dns.TypeA, 0, "AN shop.example.org. 20 IN CNAME shop.wild.example.org.\nAN shop.wild.example.org. 20 IN A 192.0.2.3\n"},
		{"y.all.example.org.", dns.TypeA, 0, "AN y.all.example.org. 20 IN CNAME www.example.org.\n" + www},
		{"back.example.org.", dns.TypeA, 0, "AN back.example.org. 20 IN CNAME www.example.org.\n" + www},
		{"full.example.org.", dns.TypeA, 0, "AN full.example.org. 20 IN A 192.0.2.5\n"},
		{"mixed.example.org.", dns.TypeA, 0, "AN mixed.example.org. 20 IN A 192.0.2.6\n"},
		// What the target has not, its zone denies (RFC 2308 section 2), with the target's rcode (RFC 6604).
		{"shop.example.org.", dns.TypeAAAA, 0, "AN shop.example.org. 20 IN CNAME shop.wild.example.org.\n" + aliasSOA},
		{"other.example.org.", dns.TypeAAAA, 0, "AN other.example.org. 20 IN CNAME www.example.com.\n" +
			"NS example.com. 5 IN SOA ns1.example.org. hostmaster.example.com. 7 14400 3600 1209600 5\n"},
		{"gone.example.org.", dns.TypeA, dns.RcodeNameError, "AN gone.example.org. 20 IN CNAME nosuch.example.org.\n" + aliasSOA},
		// The CNAME alone, where the target is not ours, or where that is what was asked for.
		{"out.example.org.", dns.TypeA, 0, "AN out.example.org. 20 IN CNAME www.example.net.\n"},
		{"in.example.org.", dns.TypeCNAME, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n"},
		{"in.example.org.", dns.TypeANY, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n"},
		{"loop1.example.org.", dns.TypeA, 0, "AN loop1.example.org. 20 IN CNAME loop2.example.org.\nAN loop2.example.org. 20 IN CNAME loop1.example.org.\n"},
		// Every type is answered with the CNAME.
		{"in.example.org.", dns.TypeMX, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"in.example.org.", dns.TypeTXT, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"in.example.org.", dns.TypeCAA, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"in.example.org.", dns.TypeSOA, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"in.example.org.", dns.TypeDS, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"in.example.org.", 65280, 0, "AN in.example.org. 60 IN CNAME www.example.org.\n" + aliasSOA},
		{"out.example.org.", dns.TypeSRV, 0, "AN out.example.org. 20 IN CNAME www.example.net.\n"},
		{"out.example.org.", dns.TypeHTTPS, 0, "AN out.example.org. 20 IN CNAME www.example.net.\n"},
		{"out.example.org.", dns.TypeSVCB, 0, "AN out.example.org. 20 IN CNAME www.example.net.\n"},
		{"out.example.org.", dns.TypeNS, 0, "AN out.example.org. 20 IN CNAME www.example.net.\n"},
		{"apex.example.org.", dns.TypeNS, 0, "AN apex.example.org. 20 IN CNAME example.org.\n" +
			"AN example.org. 300 IN NS ns1.example.org.\nAR ns1.example.org. 300 IN A 192.0.2.53\n"},
		{"cdn.out.example.org.", dns.TypeMX, 0, "AN cdn.out.example.org. 20 IN CNAME www.example.net.\n"},
		{"y.all.example.org.", dns.TypeTXT, 0, "AN y.all.example.org. 20 IN CNAME www.example.org.\n" + aliasSOA},
		{"back.example.org.", dns.TypeMX, 0, "AN back.example.org. 20 IN CNAME www.example.org.\n" + aliasSOA},
		{"full.example.org.", dns.TypeMX, 0, aliasSOA},
		{"mixed.example.org.", dns.TypeMX, 0, aliasSOA},
		{"_acme-challenge.example.org.", dns.TypeTXT, 0, "AN _acme-challenge.example.org. 20 IN CNAME acme.example.net.\n"},
		// But for the types that DNSSEC puts beside it.
		{"in.example.org.", dns.TypeRRSIG, 0, aliasSOA},
		{"in.example.org.", dns.TypeNSEC, 0, aliasSOA},
		// A service with a type in its name has SRV records, and so no CNAME.
		{"_sip._tcp.example.org.", dns.TypeSRV, 0, "AN _sip._tcp.example.org. 20 IN SRV 0 65535 5060 www.example.org.\n"},
		{"_sip._tcp.example.org.", dns.TypeMX, 0, aliasSOA},
		{"_sip._tcp.example.org.", dns.TypeCNAME, 0, aliasSOA},
		{"_sip._tcp.example.org.", dns.TypeA, 0, aliasSOA},
	} {
		t.Run(tc.name+" "+dns.TypeToString[tc.qtype], func(t *testing.T) {
			m := mustAsk(t, newTestFarm(t, aliased, down("down")), tc.name, tc.qtype)
			if got := sections(m); got != tc.want || m.Rcode != tc.rcode {
				t.Errorf("Got %s\n%swant %s\n%s", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tc.rcode], tc.want)
			}
			if !m.Authoritative || m.Question[0].Name != tc.name {
				t.Errorf("Got the header %v of %q", m.MsgHdr, m.Question[0].Name)
			}
		})
	}
}

// A chain of any length is answered with at most maxHops aliases that were followed.
func TestAliasChainIsBounded(t *testing.T) {
	var block strings.Builder
	block.WriteString("farm example.org {\n")
	for i := range 20 {
		block.WriteString("service s" + string(rune('a'+i)) + ".example.org {\nserver x s" + string(rune('b'+i)) + ".example.org\n}\n")
	}
	block.WriteString("}")
	m := mustAsk(t, newTestFarm(t, block.String()), "sa.example.org.", dns.TypeA)
	if len(m.Answer) != maxHops+1 || m.Rcode != dns.RcodeSuccess {
		t.Errorf("Got %d records and %s, want %d aliases", len(m.Answer), dns.RcodeToString[m.Rcode], maxHops+1)
	}
}

// A and AAAA of one lookup lead to one server of the target, as if the client had asked for that.
func TestAliasedLookupIsOfOnePiece(t *testing.T) {
	f := newTestFarm(t, `farm example.org {
		service www.example.org {
			policy roundrobin
			answers 1
			server a 192.0.2.1 2001:db8::1
			server b 192.0.2.2 2001:db8::2
			server c 192.0.2.3 2001:db8::3
		}
		service in.example.org {
			server x www.example.org
		}
	}`)
	seen := make(map[string]int)
	for range 30 {
		a, aaaa := mustAsk(t, f, "in.example.org.", dns.TypeA), mustAsk(t, f, "in.example.org.", dns.TypeAAAA)
		v4, v6 := a.Answer[1].(*dns.A).A.String(), aaaa.Answer[1].(*dns.AAAA).AAAA.String()
		if v4[len(v4)-1] != v6[len(v6)-1] {
			t.Fatalf("A is %s, AAAA is %s: want those of one server", v4, v6)
		}
		seen[v4]++
	}
	for _, n := range seen {
		if len(seen) != 3 || n != 10 {
			t.Fatalf("Got %v, want each server ten times", seen)
		}
	}
}

// What an answer holds for is what the alias hung on, also where the target has nothing.
func TestAliasScope(t *testing.T) {
	f := newTestFarm(t, `farm example.org {
		ecs 10.240.0.0/16
		region eu 192.0.2.0/24
		service in.example.org {
			server x v4.example.org region eu
			server y nosuch.example.org
		}
		service v4.example.org {
			server a 192.0.2.1
		}
	}`)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, _ := ask(t, f, withSubnet(question("in.example.org.", qtype), "192.0.2.128/25"), "")
		if got := scopeIn(m); got != 24 {
			t.Errorf("%s: got scope %d, want 24\n%v", dns.TypeToString[qtype], got, m)
		}
	}
}

// Before all of the database was read, a target that may be in it is not denied.
func TestAliasOfUnread(t *testing.T) {
	f := newTestFarm(t, aliased)
	next := *f.source.Load()
	next.Stale, next.Unread = true, true
	f.source = &fixed{&next, at}
	for _, m := range []*dns.Msg{question("gone.example.org.", dns.TypeA), withOption(question("gone.example.org.", dns.TypeA))} {
		got, _ := ask(t, f, m, "")
		if got == nil || got.Rcode != dns.RcodeServerFailure || len(got.Answer) != 1 {
			t.Errorf("Got %v, want SERVFAIL and the CNAME", got)
		}
	}
}

// The client's level is of the service that it asked for, not of the target.
func TestAliasOfLevelled(t *testing.T) {
	f, s := withShelf(t, strings.Replace(levelled, "service ", "service in.example.org {\nserver x www.example.org\n}\nservice ", 1))
	token := s.sign(t, claim())
	m := mustAsk(t, f, label(token)+asAlice+"in.example.org.", dns.TypeA)
	if len(m.Answer) < 2 || m.Answer[1].Header().Name != "www.example.org." || m.Answer[1].Header().Rrtype != dns.TypeA {
		t.Errorf("Got %v, want the addresses of www.example.org", m)
	}
}

func TestIsAlias(t *testing.T) {
	f := newTestFarm(t, aliased)
	for name, want := range map[string]bool{
		"in.example.org.": true, "mixed.example.org.": false, "www.example.org.": false,
		"_sip._tcp.example.org.": false, "_acme-challenge.example.org.": true, "back.example.org.": false,
	} {
		if got := f.source.Load().Farm(name).IsAlias(); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
	if steer.Build(steer.Input{}).IsAlias() {
		t.Error("A service without servers is taken for an alias")
	}
}

// Queries that follow aliases at once share nothing that they write to.
func TestAliasesAreFollowedAtOnce(t *testing.T) {
	f := newTestFarm(t, aliased)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				for _, name := range []string{"two.example.org.", "www.example.org.", "other.example.org."} {
					f.ServeDNS(t.Context(), newSink(), question(name, dns.TypeA))
				}
			}
		})
	}
	clients.Wait()
}

// What a client of a level is given of an alias, one server where it is granted, does not bind the target.
func TestAliasLevelIsNotTheTargets(t *testing.T) {
	f, _ := withShelf(t, `farm example.org {
		qos {
			client subnet 10.240.0.0/16 gold
		}
		level gold {
			rank 20
			unit 0.1
		}
		service in.example.org {
			server x www.example.org
		}
		service www.example.org {
			answers 2
			policy roundrobin
			server a 192.0.2.1
			server b 192.0.2.2
		}
	}`)
	m := mustAsk(t, f, "in.example.org.", dns.TypeA)
	if len(m.Answer) != 3 {
		t.Errorf("Got %v, want the alias and both servers", m.Answer)
	}
}
