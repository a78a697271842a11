package farm

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// endpoint is what a browser makes of an HTTPS record.
type endpoint struct {
	protocols []string
	hints     []string
}

// chromiumEndpoints applies the rules of Chromium to an answer to HTTPS, as ExtractHttpsResults has them
// (net/dns/dns_response_result_extractor.cc): no alias, no target but the name itself, no port but that of the request, and
// http/1.1 unless it is ruled out. It also reports whether there is a record that has http:// upgraded to https://, which an
// endpoint is not needed for.
func chromiumEndpoints(m *dns.Msg, host string, port uint16) (endpoints []endpoint, upgrades bool) {
	for _, rr := range m.Answer {
		rr, ok := rr.(*dns.HTTPS)
		if !ok {
			continue
		}
		upgrades = true
		if rr.Priority == 0 || rr.Target != "." && !strings.EqualFold(rr.Target, host) && !strings.EqualFold(rr.Target, rr.Hdr.Name) {
			continue
		}
		var e endpoint
		otherPort, noDefault := false, false
		for _, kv := range rr.Value {
			switch kv := kv.(type) {
			case *dns.SVCBPort:
				otherPort = kv.Port != port
			case *dns.SVCBAlpn:
				e.protocols = slices.Clone(kv.Alpn)
			case *dns.SVCBNoDefaultAlpn:
				noDefault = true
			case *dns.SVCBIPv4Hint:
				e.hints = append(e.hints, texts(kv.Hint)...)
			case *dns.SVCBIPv6Hint:
				e.hints = append(e.hints, texts(kv.Hint)...)
			}
		}
		if otherPort {
			continue
		}
		if !noDefault && !slices.Contains(e.protocols, "http/1.1") {
			e.protocols = append(e.protocols, "http/1.1")
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, upgrades
}

func texts(ips []net.IP) (list []string) {
	for _, ip := range ips {
		list = append(list, ip.String())
	}
	return list
}

const webs = `farm example.org {
	policy roundrobin
	service www.example.org {
		answers 2
		alpn h3 h2
		server a 192.0.2.1 2001:db8::1 port 443
		server b 192.0.2.2 2001:db8::2
		server c 192.0.2.3 2001:db8::3 port 443
	}
	service _8443._https.www.example.org {
		server d 192.0.2.4 port 8443
	}
	service old.example.org {
		server a 192.0.2.5 port 8080
	}
	service mail.example.org {
		server a 192.0.2.6 port 25
	}
	service plain.example.org {
		server a 192.0.2.7
	}
	service secure.example.org {
		server a 192.0.2.8 port 443
	}
	service alt.example.org {
		alpn h2
		server a 192.0.2.9 port 8443
	}
	service mixed.example.org {
		answers 3
		alpn h2
		server a 192.0.2.10 2001:db8::10 port 443
		server b 192.0.2.11 port 8443
		server c 192.0.2.12 port 9443
	}
	service dup.example.org {
		answers 2
		alpn h2
		server a 192.0.2.13 port 443
		server b 192.0.2.13 port 443
		server c 192.0.2.14 port 443
	}
}`

// What browsers can use, and that nothing that is no https is upgraded to it.
func TestHTTPSForChromium(t *testing.T) {
	for _, tc := range []struct {
		qname, host string
		port        uint16
		protocols   string // of the one endpoint; empty is none
		hints       int
		upgrades    bool
	}{
		{"www.example.org.", "www.example.org.", 443, "h3 h2 http/1.1", 4, true},
		{"_8443._https.www.example.org.", "www.example.org.", 8443, "http/1.1", 1, true},
		{"secure.example.org.", "secure.example.org.", 443, "http/1.1", 1, true},
		{"old.example.org.", "old.example.org.", 443, "", 0, false},
		{"mail.example.org.", "mail.example.org.", 443, "", 0, false},
		{"plain.example.org.", "plain.example.org.", 443, "", 0, false},
		{"dup.example.org.", "dup.example.org.", 443, "h2 http/1.1", 2, true},
		// It is reached elsewhere than at 443: nothing that Chromium could use yet.
		{"alt.example.org.", "alt.example.org.", 443, "", 0, true},
	} {
		f := newTestFarm(t, webs)
		for range 4 {
			endpoints, upgrades := chromiumEndpoints(mustAsk(t, f, tc.qname, dns.TypeHTTPS), tc.host, tc.port)
			switch {
			case upgrades != tc.upgrades:
				t.Errorf("%s: upgrades to https: %t", tc.qname, upgrades)
			case tc.protocols == "" && len(endpoints) > 0:
				t.Errorf("%s: got %v, want nothing", tc.qname, endpoints)
			case tc.protocols != "" && len(endpoints) != 1:
				t.Errorf("%s: got %d endpoints, want 1", tc.qname, len(endpoints))
			case tc.protocols != "" && (strings.Join(endpoints[0].protocols, " ") != tc.protocols || len(endpoints[0].hints) != tc.hints):
				t.Errorf("%s: got %v, want %s and %d hints", tc.qname, endpoints[0], tc.protocols, tc.hints)
			}
		}
	}
}

// The hints are the addresses of A and AAAA of the same lookup, in their order.
func TestHintsAreTheAddresses(t *testing.T) {
	f := newTestFarm(t, webs)
	for range 6 {
		var addrs []string
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, rr := range mustAsk(t, f, "www.example.org.", qtype).Answer {
				a, _ := addressOf(rr)
				addrs = append(addrs, a.String())
			}
		}
		endpoints, _ := chromiumEndpoints(mustAsk(t, f, "www.example.org.", dns.TypeHTTPS), "www.example.org.", 443)
		if len(endpoints) != 1 || !slices.Equal(endpoints[0].hints, addrs) {
			t.Errorf("Got %v, want one endpoint with %v", endpoints, addrs)
		}
	}
}

func TestSVCB(t *testing.T) {
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		// Of another scheme than https the port is not known: it is always said.
		{"secure.example.org.", dns.TypeSVCB, "AN secure.example.org. 20 IN SVCB 1 . port=\"443\" ipv4hint=\"192.0.2.8\"\n"},
		{"plain.example.org.", dns.TypeSVCB, "AN plain.example.org. 20 IN SVCB 1 . ipv4hint=\"192.0.2.7\"\n"},
		{"_8443._https.www.example.org.", dns.TypeHTTPS, "AN _8443._https.www.example.org. 20 IN HTTPS 1 . ipv4hint=\"192.0.2.4\"\n"},
		// Where ports differ, each server has a record, of equal priority, and its addresses beside.
		{"mixed.example.org.", dns.TypeHTTPS, `AN mixed.example.org. 20 IN HTTPS 1 a.mixed.example.org. alpn="h2" ipv4hint="192.0.2.10" ipv6hint="2001:db8::10"
AN mixed.example.org. 20 IN HTTPS 1 b.mixed.example.org. alpn="h2" port="8443" ipv4hint="192.0.2.11"
AN mixed.example.org. 20 IN HTTPS 1 c.mixed.example.org. alpn="h2" port="9443" ipv4hint="192.0.2.12"
AR a.mixed.example.org. 20 IN A 192.0.2.10
AR a.mixed.example.org. 20 IN AAAA 2001:db8::10
AR b.mixed.example.org. 20 IN A 192.0.2.11
AR c.mixed.example.org. 20 IN A 192.0.2.12
`},
	} {
		f := newTestFarm(t, webs)
		if got := sections(mustAsk(t, f, tc.name, tc.qtype)); got != tc.want {
			t.Errorf("%s %s: got\n%swant\n%s", tc.name, dns.TypeToString[tc.qtype], got, tc.want)
		}
	}
}

// Where only some servers speak https, every lookup is answered with these, whichever are drawn.
func TestHTTPSOfTheServersThatSpeakIt(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{"server p 192.0.2.50 port 443\nserver q 192.0.2.51", "AN one.example.org. 20 IN HTTPS 1 . ipv4hint=\"192.0.2.50\"\n"},
		{"answers 1\nserver p 192.0.2.50 port 443\nserver q 192.0.2.51", "AN one.example.org. 20 IN HTTPS 1 . ipv4hint=\"192.0.2.50\"\n"},
		{"answers 1\nserver p 192.0.2.50 port 443\nserver q 192.0.2.51 port 8080",
			"AN one.example.org. 20 IN HTTPS 1 p.one.example.org. ipv4hint=\"192.0.2.50\"\nAR p.one.example.org. 20 IN A 192.0.2.50\n"},
		{"answers 1\nserver p 192.0.2.50 port 8443\nserver q 192.0.2.51", "NS example.org. 5 IN SOA ns.example.org. hostmaster.example.org. 7 14400 3600 1209600 5\n"},
	} {
		for _, policy := range steer.Policies {
			f := newTestFarm(t, "farm example.org {\nservice one.example.org {\npolicy "+string(policy)+"\n"+tc.lines+"\n}\n}")
			for range 12 {
				if got := sections(mustAsk(t, f, "one.example.org.", dns.TypeHTTPS)); got != tc.want {
					t.Fatalf("%s, %s: got\n%swant\n%s", tc.lines, policy, got, tc.want)
				}
			}
		}
	}
}

// No record stands twice in an answer, and one that does not stand twice leaves room for another server.
func TestServersAtOneAddress(t *testing.T) {
	for _, policy := range steer.Policies {
		f := newTestFarm(t, `farm example.org {
			policy `+string(policy)+`
			service dup.example.org {
				answers 2
				server d1 192.0.2.71 2001:db8::71 port 8080
				server d2 192.0.2.71 2001:db8::71 port 8081
				server d3 192.0.2.72 2001:db8::72 port 8080
			}
			service both.example.org {
				answers 2
				server d1 192.0.2.71 192.0.2.72 port 8080
				server d2 192.0.2.72 192.0.2.71 port 8081
			}
			service overlap.example.org {
				answers 2
				server d1 192.0.2.71 192.0.2.72 port 8080
				server d2 192.0.2.73 192.0.2.72 port 8080
			}
		}`)
		count := map[string]int{"dup.example.org.": 2, "both.example.org.": 2, "overlap.example.org.": 3}
		if policy == steer.First { // its tiers are of one server
			count = map[string]int{"dup.example.org.": 1, "both.example.org.": 2, "overlap.example.org.": 2}
		}
		for name, want := range count {
			for range 5 {
				m := mustAsk(t, f, name, dns.TypeA)
				if got := len(dns.Dedup(slices.Clone(m.Answer), nil)); got != want || got != len(m.Answer) {
					t.Errorf("%s, %s: got %v, want %d addresses", policy, name, m.Answer, want)
				}
			}
		}
		if m := mustAsk(t, f, "both.example.org.", dns.TypeSRV); policy != steer.First && len(m.Answer) != 2 {
			t.Errorf("%s: got %v, want a record for each port", policy, m.Answer)
		}
	}
}
