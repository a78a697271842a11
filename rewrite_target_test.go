package farm

import (
	"testing"

	"github.com/miekg/dns"
)

// zoned is a next plugin that has records, and puts the addresses of targets beside answers if it is to.
type zoned struct {
	scripted
	records []dns.RR
	beside  bool
}

func zoneOf(beside bool, lines ...string) *zoned {
	z := &zoned{records: records(lines...), beside: beside}
	z.change = func(m *dns.Msg) {
		z.add(&m.Answer, m.Question[0].Name, m.Question[0].Qtype)
		for _, rr := range m.Answer {
			name, ok := pointsTo(rr)
			if mx, is := rr.(*dns.MX); is {
				name, ok = mx.Mx, true
			}
			if ok && z.beside {
				z.add(&m.Extra, name, dns.TypeA)
				z.add(&m.Extra, name, dns.TypeAAAA)
			}
		}
	}
	return z
}

func (z *zoned) add(to *[]dns.RR, name string, qtype uint16) {
	for _, rr := range z.records {
		if rr.Header().Name == name && rr.Header().Rrtype == qtype {
			*to = append(*to, rr)
		}
	}
}

// A server that is out is nowhere: not behind a target, not in a hint, not beside the answer. What would be left with nothing stays.
func TestRewriteTargets(t *testing.T) {
	zone := []string{
		"_http._tcp.www.example.org. 300 IN SRV 1 5 80 host1.example.org.",
		"_http._tcp.www.example.org. 300 IN SRV 1 5 80 b.www.example.org.",
		"_http._tcp.www.example.org. 300 IN SRV 2 5 80 other.example.org.",
		"host1.example.org. 300 IN A 192.0.2.1",
		"host1.example.org. 300 IN AAAA 2001:db8::1",
		"b.www.example.org. 300 IN A 192.0.2.2",
		"other.example.org. 300 IN A 198.51.100.1",
		"both.example.org. 300 IN A 192.0.2.1",
		"both.example.org. 300 IN A 192.0.2.2",
		"www.example.org. 300 IN MX 1 both.example.org.",
		"www.example.org. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1",
		"_8443._https.www.example.org. 300 IN HTTPS 1 host1.example.org. ipv4hint=192.0.2.1",
		"_8443._https.www.example.org. 300 IN HTTPS 2 b.www.example.org. alpn=h2",
		"alias.example.org. 300 IN HTTPS 0 www.example.org.",
		"_own._https.www.example.org. 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1,192.0.2.2",
		"_own._https.www.example.org. 300 IN HTTPS 2 host1.example.org. alpn=h3 ipv4hint=192.0.2.1",
		"_smtp._tcp.www.example.org. 300 IN MX 10 host1.example.org.",
		"_smtp._tcp.www.example.org. 300 IN MX 20 b.www.example.org.",
		"_far._tcp.www.example.org. 300 IN MX 10 host1.example.org.",
		"_far._tcp.www.example.org. 300 IN MX 20 mail.example.net.",
		"far.example.org. 300 IN SRV 1 5 80 both.example.org.",
	}
	const (
		srvHost1 = "AN _http._tcp.www.example.org. 20 IN SRV 1 65535 80 host1.example.org.\n"
		srvB     = "AN _http._tcp.www.example.org. 20 IN SRV 1 65535 80 b.www.example.org.\n"
		srvOther = "AN _http._tcp.www.example.org. 20 IN SRV 2 5 80 other.example.org.\n"
		host1    = "AR host1.example.org. 20 IN A 192.0.2.1\nAR host1.example.org. 20 IN AAAA 2001:db8::1\n"
		hostB    = "AR b.www.example.org. 20 IN A 192.0.2.2\n"
		other    = "AR other.example.org. 20 IN A 198.51.100.1\n"
	)
	for _, tc := range []struct {
		what   string
		name   string
		qtype  uint16
		beside bool
		down   []string
		want   string
	}{
		{"SRV", "_http._tcp.www.example.org.", dns.TypeSRV, true, nil, srvHost1 + srvB + srvOther + host1 + hostB + other},
		{"SRV without a server at an address", "_http._tcp.www.example.org.", dns.TypeSRV, true, []string{"a"}, srvB + srvOther + hostB + other},
		{"SRV without a server by its name", "_http._tcp.www.example.org.", dns.TypeSRV, true, []string{"b"}, srvHost1 + srvOther + host1 + other},
		{"SRV, no addresses beside", "_http._tcp.www.example.org.", dns.TypeSRV, false, []string{"a"}, srvB + srvOther},
		{"HTTPS", "www.example.org.", dns.TypeHTTPS, false, []string{"b"},
			"AN www.example.org. 20 IN HTTPS 1 . alpn=\"h2\" ipv4hint=\"192.0.2.1\" ipv6hint=\"2001:db8::1\"\n"},
		{"HTTPS, nothing left of a hint", "www.example.org.", dns.TypeHTTPS, false, []string{"a"},
			"AN www.example.org. 20 IN HTTPS 1 . alpn=\"h2\" ipv4hint=\"192.0.2.2\"\n"},
		{"HTTPS of several targets", "_8443._https.www.example.org.", dns.TypeHTTPS, false, []string{"a"},
			"AN _8443._https.www.example.org. 20 IN HTTPS 2 b.www.example.org. alpn=\"h2\"\n"},
		{"HTTPS of several targets, all out", "_8443._https.www.example.org.", dns.TypeHTTPS, false, []string{"a", "b"},
			"AN _8443._https.www.example.org. 20 IN HTTPS 1 host1.example.org. ipv4hint=\"192.0.2.1\"\n" +
				"AN _8443._https.www.example.org. 20 IN HTTPS 2 b.www.example.org. alpn=\"h2\"\n"},
		{"an alias has no hints", "alias.example.org.", dns.TypeHTTPS, false, []string{"a"},
			"AN alias.example.org. 300 IN HTTPS 0 www.example.org.\n"},
		{"beside MX", "www.example.org.", dns.TypeMX, true, []string{"a"},
			"AN www.example.org. 20 IN MX 1 both.example.org.\nAR both.example.org. 20 IN A 192.0.2.2\n"},
		{"HTTPS, a record of the name itself remains", "_own._https.www.example.org.", dns.TypeHTTPS, true, []string{"a"},
			"AN _own._https.www.example.org. 20 IN HTTPS 1 . alpn=\"h2\" ipv4hint=\"192.0.2.2\"\n"},
		{"beside MX, another target", "_smtp._tcp.www.example.org.", dns.TypeMX, true, []string{"a"},
			"AN _smtp._tcp.www.example.org. 20 IN MX 10 host1.example.org.\nAN _smtp._tcp.www.example.org. 20 IN MX 20 b.www.example.org.\n" + hostB},
		{"beside MX, all out", "_smtp._tcp.www.example.org.", dns.TypeMX, true, []string{"a", "b"},
			"AN _smtp._tcp.www.example.org. 20 IN MX 10 host1.example.org.\nAN _smtp._tcp.www.example.org. 20 IN MX 20 b.www.example.org.\n" + host1 + hostB},
		{"beside MX, another target elsewhere", "_far._tcp.www.example.org.", dns.TypeMX, true, []string{"a"},
			"AN _far._tcp.www.example.org. 20 IN MX 10 host1.example.org.\nAN _far._tcp.www.example.org. 20 IN MX 20 mail.example.net.\n"},
		{"not a service", "far.example.org.", dns.TypeSRV, true, []string{"a"},
			"AN far.example.org. 300 IN SRV 1 5 80 both.example.org.\nAR both.example.org. 300 IN A 192.0.2.1\nAR both.example.org. 300 IN A 192.0.2.2\n"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			f := newTestFarm(t, `farm example.org {
				rewrite
				service www.example.org {
					policy weighted
					answers 2
					ttl 20
					server a 192.0.2.1 2001:db8::1
					server b 192.0.2.2
				}
			}`, down(tc.down...))
			next := zoneOf(tc.beside, zone...)
			f.Next = next
			m, _ := ask(t, f, question(tc.name, tc.qtype), "")
			if got := sections(m); got != tc.want {
				t.Errorf("Got\n%swant\n%s", got, tc.want)
			}
		})
	}
	// The zone's own records were not changed.
	next := zoneOf(true, zone...)
	f := newTestFarm(t, "farm example.org {\nrewrite\nservice www.example.org {\nserver a 192.0.2.1\n}\n}")
	f.Next = next
	ask(t, f, question("www.example.org.", dns.TypeHTTPS), "")
	for i, rr := range records(zone...) {
		if rr.String() != next.records[i].String() {
			t.Errorf("%v became %v", rr, next.records[i])
		}
	}
}

// What is signed stays as it is.
func TestRewriteSignedTargets(t *testing.T) {
	f := newTestFarm(t, "farm example.org {\nrewrite\nservice www.example.org {\nserver a 192.0.2.1\nserver b 192.0.2.2\n}\n}", down("a"))
	lines := []string{
		"www.example.org. 300 IN HTTPS 1 . ipv4hint=192.0.2.1,192.0.2.2",
		"www.example.org. 300 IN RRSIG HTTPS 8 3 300 20300101000000 20200101000000 1 example.org. AAAA",
	}
	f.Next = &scripted{answer: records(lines...)}
	m, _ := ask(t, f, question("www.example.org.", dns.TypeHTTPS), "")
	if got := len(hintsOf(m.Answer[0])); got != 2 {
		t.Errorf("Got %v, want the answer as it was signed", m.Answer)
	}
}
