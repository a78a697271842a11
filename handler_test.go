package farm

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// everything is a block with each kind of service.
const everything = `farm example.org sub.example.org {
	policy first
	ttl 20
	explain 10.240.0.0/16
	service www.example.org {
		answers 2
		policy roundrobin
		alpn h2 http/1.1
		server a 192.0.2.1 2001:db8::1 port 8443
		server b 192.0.2.2 2001:db8::2 port 8443
	}
	service v4.example.org {
		server a 192.0.2.10
	}
	service v6.example.org {
		server a 2001:db8::10
	}
	service many.example.org {
		server a 192.0.2.30 192.0.2.31 2001:db8::30
	}
	service named.example.org {
		server cdn www.example.net port 5060 priority 1
		server cdn2 other.example.net priority 2
	}
	service mixed.example.org {
		server a 192.0.2.40 priority 1
		server cdn www.example.net priority 2
	}
	service down.example.org {
		server gone 192.0.2.50
	}
	service back.example.org {
		fallback sorry.example.net
		server gone 192.0.2.51
	}
	service *.wild.example.org {
		server w 192.0.2.60
	}
	service *.example.org {
		server w 192.0.2.61
	}
	service deep.er.example.org {
		server a 192.0.2.70
	}
	service tls.example.org {
		answers 3
		policy roundrobin
		server plain 192.0.2.70 port 80
		server secure 192.0.2.71 port 443
		server other 192.0.2.72 port 8443
	}
	service mail.example.org {
		server a 192.0.2.72 port 25
	}
	service _http._tcp.typed.example.org {
		policy weighted
		server big 192.0.2.80 port 80 weight 4
		server small 2001:db8::80 port 81 weight 1
	}
	service example.org {
		server a 192.0.2.90
	}
}`

const (
	soa    = "NS example.org. 5 IN SOA ns.example.org. hostmaster.example.org. 7 14400 3600 1209600 5\n"
	subSOA = "NS sub.example.org. 5 IN SOA ns.sub.example.org. hostmaster.sub.example.org. 7 14400 3600 1209600 5\n"
)

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"v4.example.org.", dns.TypeA, 0, "AN v4.example.org. 20 IN A 192.0.2.10\n"},
		{"v6.example.org.", dns.TypeAAAA, 0, "AN v6.example.org. 20 IN AAAA 2001:db8::10\n"},
		{"many.example.org.", dns.TypeA, 0, "AN many.example.org. 20 IN A 192.0.2.30\nAN many.example.org. 20 IN A 192.0.2.31\n"},
		// The question's letters come back.
		{"V4.eXample.ORG.", dns.TypeA, 0, "AN V4.eXample.ORG. 20 IN A 192.0.2.10\n"},
		// What the name has not.
		{"v6.example.org.", dns.TypeA, 0, soa},
		{"v4.example.org.", dns.TypeAAAA, 0, soa},
		{"V4.example.org.", dns.TypeMX, 0, soa},
		{"v4.example.org.", dns.TypeTXT, 0, soa},
		// Something, but not everything (RFC 8482).
		{"v4.example.org.", dns.TypeANY, 0, "AN v4.example.org. 3600 IN HINFO \"RFC8482\" \"\"\n"},
		{"a.v4.example.org.", dns.TypeANY, 0, "AN a.v4.example.org. 3600 IN HINFO \"RFC8482\" \"\"\n"},
		{"example.org.", dns.TypeANY, 0, "AN example.org. 3600 IN HINFO \"RFC8482\" \"\"\n"},
		{"ns.example.org.", dns.TypeANY, 0, "AN ns.example.org. 3600 IN HINFO \"RFC8482\" \"\"\n"},
		{"er.example.org.", dns.TypeANY, 0, soa},
		{"v4.example.org.", dns.TypeDS, 0, soa},
		{"v4.example.org.", dns.TypeCNAME, 0, soa},
		{"v4.example.org.", dns.TypeHTTPS, 0, soa},
		// Nothing says that https is spoken at any port but 443; where ports differ, each server has a record.
		{"tls.example.org.", dns.TypeHTTPS, 0, `AN tls.example.org. 20 IN HTTPS 1 secure.tls.example.org. ipv4hint="192.0.2.71"
AR secure.tls.example.org. 20 IN A 192.0.2.71
`},
		{"mail.example.org.", dns.TypeHTTPS, 0, soa},
		{"mail.example.org.", dns.TypeSVCB, 0, "AN mail.example.org. 20 IN SVCB 1 . port=\"25\" ipv4hint=\"192.0.2.72\"\n"},
		{"v4.example.org.", 65280, 0, soa},
		// Names that are not.
		{"a.b.sub.example.org.", dns.TypeA, dns.RcodeNameError, subSOA},
		{"nosuch.v4.example.org.", dns.TypeA, dns.RcodeNameError, soa},
		{"_farm.nosuch.sub.example.org.", dns.TypeTXT, dns.RcodeNameError, subSOA},
		// Empty non-terminals.
		{"er.example.org.", dns.TypeA, 0, soa},
		{"_tcp.typed.example.org.", dns.TypeSRV, 0, soa},
		{"typed.example.org.", dns.TypeA, 0, soa},
		{"wild.example.org.", dns.TypeA, 0, soa},
		// Names of servers.
		{"a.v4.example.org.", dns.TypeA, 0, "AN a.v4.example.org. 20 IN A 192.0.2.10\n"},
		{"a.v4.example.org.", dns.TypeAAAA, 0, soa},
		{"a.v4.example.org.", dns.TypeTXT, 0, soa},
		{"cdn.named.example.org.", dns.TypeA, 0, "AN cdn.named.example.org. 20 IN CNAME www.example.net.\n"},
		{"big.typed.example.org.", dns.TypeA, 0, "AN big.typed.example.org. 20 IN A 192.0.2.80\n"},
		{"w.wild.example.org.", dns.TypeA, 0, "AN w.wild.example.org. 20 IN A 192.0.2.60\n"},
		// Aliases.
		{"named.example.org.", dns.TypeA, 0, "AN named.example.org. 20 IN CNAME www.example.net.\n"},
		{"named.example.org.", dns.TypeAAAA, 0, "AN named.example.org. 20 IN CNAME www.example.net.\n"},
		{"named.example.org.", dns.TypeCNAME, 0, "AN named.example.org. 20 IN CNAME www.example.net.\n"},
		{"mixed.example.org.", dns.TypeA, 0, "AN mixed.example.org. 20 IN A 192.0.2.40\n"},
		// Wildcards.
		{"x.wild.example.org.", dns.TypeA, 0, "AN x.wild.example.org. 20 IN A 192.0.2.60\n"},
		{"x.y.wild.example.org.", dns.TypeA, 0, "AN x.y.wild.example.org. 20 IN A 192.0.2.60\n"},
		{"x.wild.example.org.", dns.TypeAAAA, 0, soa},
		{"other.example.org.", dns.TypeA, 0, "AN other.example.org. 20 IN A 192.0.2.61\n"},
		// A wildcard does not reach into a zone of its own, nor below a name server.
		{"x.sub.example.org.", dns.TypeA, dns.RcodeNameError, subSOA},
		{"sub.example.org.", dns.TypeA, 0, subSOA},
		{"x.ns.example.org.", dns.TypeA, dns.RcodeNameError, soa},
		// Nor below the name of a server, which exists.
		{"x.w.wild.example.org.", dns.TypeA, dns.RcodeNameError, soa},
		{"x.y.w.wild.example.org.", dns.TypeAAAA, dns.RcodeNameError, soa},
		// A dot inside a label ends none: these are names of one label below example.org.
		{`x\.wild.example.org.`, dns.TypeA, 0, "AN x\\.wild.example.org. 20 IN A 192.0.2.61\n"},
		{`a\.v4.example.org.`, dns.TypeA, 0, "AN a\\.v4.example.org. 20 IN A 192.0.2.61\n"},
		{`x\.ns.example.org.`, dns.TypeA, 0, "AN x\\.ns.example.org. 20 IN A 192.0.2.61\n"},
		{`x\\.wild.example.org.`, dns.TypeA, 0, "AN x\\\\.wild.example.org. 20 IN A 192.0.2.60\n"},
		// The top of a zone.
		{"example.org.", dns.TypeA, 0, "AN example.org. 20 IN A 192.0.2.90\n"},
		{"Example.org.", dns.TypeSOA, 0, "AN E" + soa[len("NS e"):]},
		{"example.org.", dns.TypeNS, 0, "AN example.org. 300 IN NS ns.example.org.\nAR ns.example.org. 300 IN A 127.0.0.1\n"},
		{"sub.example.org.", dns.TypeNS, 0, "AN sub.example.org. 300 IN NS ns.sub.example.org.\nAR ns.sub.example.org. 300 IN A 127.0.0.1\n"},
		{"ns.example.org.", dns.TypeA, 0, "AN ns.example.org. 300 IN A 127.0.0.1\n"},
		{"ns.example.org.", dns.TypeAAAA, 0, soa},
		{"ns.example.org.", dns.TypeMX, 0, soa},
		{"example.org.", dns.TypeMX, 0, soa},
		{"v4.example.org.", dns.TypeSOA, 0, soa},
		{"v4.example.org.", dns.TypeNS, 0, soa},
		// Of a zone that is delegated within the block, the upper one speaks.
		{"sub.example.org.", dns.TypeDS, 0, soa},
		{"example.org.", dns.TypeDS, 0, soa},
		// No server left.
		{"down.example.org.", dns.TypeA, 0, soa},
		{"back.example.org.", dns.TypeA, 0, "AN back.example.org. 20 IN CNAME sorry.example.net.\n"},
		{"back.example.org.", dns.TypeSRV, 0, "AN back.example.org. 20 IN CNAME sorry.example.net.\n"},
		{"back.example.org.", dns.TypeSVCB, 0, "AN back.example.org. 20 IN CNAME sorry.example.net.\n"},
		// Services and their weights.
		{"_http._tcp.typed.example.org.", dns.TypeSRV, 0, `AN _http._tcp.typed.example.org. 20 IN SRV 0 65535 80 big.typed.example.org.
AR big.typed.example.org. 20 IN A 192.0.2.80
`},
		{"named.example.org.", dns.TypeSRV, 0, "AN named.example.org. 20 IN CNAME www.example.net.\n"},
		{"v4.example.org.", dns.TypeSRV, 0, soa}, // nobody says which port
		{"www.example.org.", dns.TypeHTTPS, 0,
			`AN www.example.org. 20 IN HTTPS 1 . alpn="h2,http/1.1" port="8443" ipv4hint="192.0.2.1,192.0.2.2" ipv6hint="2001:db8::1,2001:db8::2"
`},
		{"v4.example.org.", dns.TypeSVCB, 0, "AN v4.example.org. 20 IN SVCB 1 . ipv4hint=\"192.0.2.10\"\n"},
		{"down.example.org.", dns.TypeSRV, 0, soa},
		{"down.example.org.", dns.TypeSVCB, 0, soa},
	} {
		t.Run(tc.name+" "+dns.TypeToString[tc.qtype], func(t *testing.T) {
			f := newTestFarm(t, everything, down("gone"))
			m, rcode := ask(t, f, question(tc.name, tc.qtype), "")
			if m == nil {
				t.Fatalf("No reply, rcode %s", dns.RcodeToString[rcode])
			}
			if got := sections(m); got != tc.want || m.Rcode != tc.rcode || rcode != dns.RcodeSuccess {
				t.Errorf("Got %s\n%swant %s\n%s", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tc.rcode], tc.want)
			}
			if !m.Authoritative || !m.Response || m.RecursionAvailable || m.Question[0].Name != tc.name {
				t.Errorf("Header: got %v", m)
			}
		})
	}
}

func TestNotAnswered(t *testing.T) {
	notify := question("v4.example.org.", dns.TypeSOA)
	notify.Opcode = dns.OpcodeNotify
	chaos := question("v4.example.org.", dns.TypeA)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	for _, tc := range []struct {
		name  string
		m     *dns.Msg
		rcode int
	}{
		{"foreign name", question("www.example.net.", dns.TypeA), dns.RcodeRefused},
		{"name that ends alike", question("www.badexample.org.", dns.TypeA), dns.RcodeRefused},
		{"name with a dot inside a label", question(`www\.example.org.`, dns.TypeA), dns.RcodeRefused},
		{"root", question(".", dns.TypeNS), dns.RcodeRefused},
		{"another class", chaos, dns.RcodeRefused},
		{"AXFR", question("example.org.", dns.TypeAXFR), dns.RcodeRefused},
		{"IXFR", question("example.org.", dns.TypeIXFR), dns.RcodeRefused},
		{"NOTIFY", notify, dns.RcodeNotImplemented},
	} {
		f := newTestFarm(t, everything)
		if m, rcode := ask(t, f, tc.m, ""); m != nil || rcode != tc.rcode {
			t.Errorf("%s: got %s %v, want %s", tc.name, dns.RcodeToString[rcode], m, dns.RcodeToString[tc.rcode])
		}
	}
}

func TestFallthrough(t *testing.T) {
	for _, tc := range []struct {
		prop, name string
		qtype      uint16
		next       bool
	}{
		{"fallthrough", "nosuch.example.org.", dns.TypeA, true},
		{"fallthrough", "v4.example.org.", dns.TypeA, false},
		{"fallthrough", "v4.example.org.", dns.TypeAAAA, false},
		{"fallthrough", "v4.example.org.", dns.TypeSRV, false},
		{"fallthrough", "v4.example.org.", dns.TypeHTTPS, false},
		{"fallthrough", "v4.example.org.", dns.TypeSOA, false},
		{"fallthrough", "v4.example.org.", dns.TypeNS, false},
		{"fallthrough", "v4.example.org.", dns.TypeDS, false},
		{"fallthrough", "v4.example.org.", dns.TypeCNAME, false},
		{"fallthrough", "v4.example.org.", dns.TypeRRSIG, false},
		{"fallthrough", "nosuch.example.org.", dns.TypeDS, true},
		{"fallthrough", "example.org.", dns.TypeNS, false},
		{"fallthrough", "v4.example.org.", dns.TypeMX, true},
		{"fallthrough", "a.v4.example.org.", dns.TypeMX, true},
		{"fallthrough", "ns.example.org.", dns.TypeTXT, true},
		{"fallthrough", "er.example.org.", dns.TypeMX, true},
		{"fallthrough", "example.org.", dns.TypeMX, true},
		{"fallthrough in.example.org", "v4.example.org.", dns.TypeMX, false},
		{"", "v4.example.org.", dns.TypeMX, false},
		{"fallthrough in.example.org", "x.in.example.org.", dns.TypeA, true},
		{"fallthrough in.example.org", "nosuch.example.org.", dns.TypeA, false},
		{"", "nosuch.example.org.", dns.TypeA, false},
	} {
		f := newTestFarm(t, `farm example.org {
			`+tc.prop+`
			service v4.example.org {
				server a 192.0.2.1
			}
			service deep.er.example.org
		}`)
		next := &scripted{}
		f.Next = next
		ask(t, f, question(tc.name, tc.qtype), "")
		if got := next.asked > 0; got != tc.next {
			t.Errorf("%q, %s: next plugin asked: %t, want %t", tc.prop, tc.name, got, tc.next)
		}
	}
}

// The questions of one lookup get the same servers; the next lookup the next ones.
func TestLookupIsOfOnePiece(t *testing.T) {
	f := newTestFarm(t, everything)
	last := ""
	for range 4 {
		a, _ := ask(t, f, question("www.example.org.", dns.TypeA), "")
		aaaa, _ := ask(t, f, question("www.example.org.", dns.TypeAAAA), "")
		v4, v6 := a.Answer[0].(*dns.A).A.String(), aaaa.Answer[0].(*dns.AAAA).AAAA.String()
		if v4[len(v4)-1] != v6[len(v6)-1] {
			t.Errorf("A is %s, AAAA is %s: want those of one server", v4, v6)
		}
		if v4 == last {
			t.Errorf("Two lookups in a row begin with %s", v4)
		}
		last = v4
	}
}

func TestExtendedErrors(t *testing.T) {
	const nothingThere = "0 (Other): (no server available)"
	const staleAnswer = "3 (Stale Answer): (services database out of reach)"
	for _, tc := range []struct {
		what, block string
		stale       time.Duration // 0 is not
		name        string
		rcode       int
		ede, want   string
	}{
		{"fresh", "service a.example.org {\nserver x 192.0.2.1\n}", 0, "a.example.org.", 0, "",
			"AN a.example.org. 60 IN A 192.0.2.1\n"},
		{"no server", "service a.example.org", 0, "a.example.org.", 0, nothingThere, soa},
		{"no server at the top", "service example.org", 0, "example.org.", 0, nothingThere, soa},
		{"a name at the top", "service example.org {\nfallback sorry.example.net\n}", 0, "example.org.", dns.RcodeServerFailure,
			"14 (Not Ready): (target not resolved yet)", ""},
		{"stale", "service a.example.org {\nserver x 192.0.2.1\n}", time.Hour, "a.example.org.", 0, staleAnswer,
			"AN a.example.org. 30 IN A 192.0.2.1\n"},
		{"stale negative", "service a.example.org {\nserver x 192.0.2.1\n}", time.Hour, "b.example.org.", dns.RcodeNameError, staleAnswer, soa},
		{"not too stale", "max_stale 1h\nservice a.example.org {\nserver x 192.0.2.1\n}", time.Hour, "a.example.org.", 0, staleAnswer,
			"AN a.example.org. 30 IN A 192.0.2.1\n"},
		{"too stale", "max_stale 1h\nservice a.example.org {\nserver x 192.0.2.1\n}", time.Hour + time.Second, "a.example.org.",
			dns.RcodeServerFailure, "24 (Invalid Data): (services database out of reach for too long)", ""},
		{"nothing read", "", time.Second, "a.example.org.", dns.RcodeServerFailure,
			"14 (Not Ready): (services database not read yet)", ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			f := newTestFarm(t, "farm example.org {\nttl 60\n"+tc.block+"\n}")
			for _, farm := range f.source.Load().Farms() {
				farm.Settings.TTL, farm.Settings.MaxTTL = 60, 60
			}
			if tc.stale > 0 {
				stale(f, tc.stale)
			}
			m, _ := ask(t, f, withOption(question(tc.name, dns.TypeA)), "")
			if m == nil {
				t.Fatal("No reply")
			}
			if got := strings.Join(edeOf(m), "; "); got != tc.ede {
				t.Errorf("Got extended error %q, want %q", got, tc.ede)
			}
			if got := sections(m); got != tc.want || m.Rcode != tc.rcode {
				t.Errorf("Got %s\n%swant %s\n%s", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tc.rcode], tc.want)
			}
			// Without EDNS there is no place to say so.
			m, rcode := ask(t, f, question(tc.name, dns.TypeA), "")
			if m != nil && m.IsEdns0() != nil {
				t.Errorf("A query without OPT was answered with %v", m.IsEdns0())
			}
			if tc.rcode == dns.RcodeServerFailure && (m != nil || rcode != tc.rcode) {
				t.Errorf("Got rcode %d and %v, want SERVFAIL of the server", rcode, m)
			}
		})
	}
}

// Before all of the database was read, what is in the Corefile is answered, and nothing else denied.
func TestUnread(t *testing.T) {
	const block = `farm example.org {
		service a.example.org {
			server x 192.0.2.1
		}
		service b.example.org
		service c.example.org {
			fallback sorry.example.net
		}
	}`
	for name, want := range map[string]int{
		"a.example.org.": dns.RcodeSuccess, "b.example.org.": dns.RcodeServerFailure, "c.example.org.": dns.RcodeSuccess,
		"d.example.org.": dns.RcodeServerFailure, "y.a.example.org.": dns.RcodeServerFailure, "example.org.": dns.RcodeSuccess,
	} {
		f := newTestFarm(t, block)
		next := *f.source.Load()
		next.Stale, next.Unread = true, true
		f.source = &fixed{&next, at}
		m, _ := ask(t, f, withOption(question(name, dns.TypeA)), "")
		if m == nil || m.Rcode != want {
			t.Errorf("%s: got %v, want %s", name, m, dns.RcodeToString[want])
			continue
		}
		if got := strings.Join(edeOf(m), "; "); want == dns.RcodeServerFailure && got != "14 (Not Ready): (services database not read yet)" {
			t.Errorf("%s: got extended error %q", name, got)
		}
	}
}

// Under predict it says what is known of whoever asks, and what was predicted.
func TestExplainPrediction(t *testing.T) {
	f := taught(t, 3)
	f.conf.explain, _ = newPrefixes([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	got := sections(mustAsk(t, f, "_farm.www.example.org.", dns.TypeTXT))
	for _, want := range []string{"policy=predict", "method=predict", "resolver=10.240.0.1/32 known=false load=", "predicted=", "score="} {
		if !strings.Contains(got, want) {
			t.Errorf("Got\n%swant %q in it", got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	f := newTestFarm(t, everything, func(m *steer.Member) {
		if m.Server.ID == "a" {
			m.Reported, m.LeaseEnd, m.Report.Utilization = true, at+1000, 0.25
		}
	})
	before := sections(mustAsk(t, f, "www.example.org.", dns.TypeA))
	m := mustAsk(t, f, "_farm.www.example.org.", dns.TypeTXT)
	want := `AN _farm.www.example.org. 0 IN TXT "policy=roundrobin rung=normal region=- revision=7 stale=false servers=2"
AN _farm.www.example.org. 0 IN TXT "id=a gate=open tier=1 utilization=0.25 share=0.500 rank=1"
AN _farm.www.example.org. 0 IN TXT "id=b gate=open tier=1 utilization=? share=0.500 rank=2"
`
	if got := sections(m); got != want {
		t.Errorf("Got\n%swant\n%s", got, want)
	}
	if after := sections(mustAsk(t, f, "www.example.org.", dns.TypeA)); after == before {
		t.Error("Explaining took a turn")
	}
	for _, name := range []string{"_farm._http._tcp.typed.example.org.", "_farm.x.wild.example.org."} {
		if m := mustAsk(t, f, name, dns.TypeTXT); len(m.Answer) < 2 {
			t.Errorf("%s: got %v", name, m)
		}
	}
	if m := mustAsk(t, f, "_farm.www.example.org.", dns.TypeA); sections(m) != soa || m.Rcode != 0 {
		t.Errorf("Another type: got %v", m)
	}
	// To others the name is as any other: below www there is nothing.
	m, _ = ask(t, f, question("_farm.www.example.org.", dns.TypeTXT), "10.241.0.1")
	if m.Rcode != dns.RcodeNameError {
		t.Errorf("From elsewhere: got %v", m)
	}
}

func mustAsk(t *testing.T, f *Farm, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m, rcode := ask(t, f, question(name, qtype), "")
	if m == nil {
		t.Fatalf("%s: no reply, rcode %s", name, dns.RcodeToString[rcode])
	}
	return m
}

func TestExplainIsBounded(t *testing.T) {
	var block strings.Builder
	block.WriteString("farm example.org {\nexplain 0.0.0.0/0\nservice a.example.org {\n")
	for i := range 200 {
		block.WriteString("server s" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + " 192.0.2.1\n")
	}
	block.WriteString("}\n}")
	m := mustAsk(t, newTestFarm(t, block.String()), "_farm.a.example.org.", dns.TypeTXT)
	if len(m.Answer) != maxExplained+1 {
		t.Errorf("Got %d records, want %d", len(m.Answer), maxExplained+1)
	}
}
