package farm

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// flat is a block with each kind of flattened name.
const flat = `farm example.org {
	policy first
	ns ns1.example.org 192.0.2.53
	service example.org {
		alpn h2
		server cdn www.example.net port 443
	}
	service flat.example.org {
		ttl 60
		flatten
		server x cdn.example.net
	}
	service two.example.org {
		flatten
		answers 2
		policy roundrobin
		server a one.example.net
		server b 192.0.2.10 2001:db8::10
	}
	service new.example.org {
		flatten
		server x new.example.net
	}
	service gone.example.org {
		flatten
		server x gone.example.net
	}
	service www.example.org {
		ttl 30
		server a 192.0.2.1 2001:db8::1
	}
	service in.example.org {
		flatten
		server x www.example.org
	}
	service chain.example.org {
		flatten
		server x alias.example.org
	}
	service alias.example.org {
		server x www.example.net
	}
	service host.example.org {
		flatten
		server x cdn.example.org
	}
	service ns.example.org {
		flatten
		server x ns1.example.org
	}
	service nowhere.example.org {
		flatten
		server x nosuch.example.org
	}
	service loop1.example.org {
		flatten
		fallback loop2.example.org
	}
	service loop2.example.org {
		fallback loop1.example.org
	}
	service back.example.org {
		flatten
		fallback sorry.example.net
		server down 192.0.2.4
	}
	service outside.example.org {
		server x flat.example.org
	}
	service _http._tcp.example.org {
		flatten
		server x www.example.net port 80
	}
}`

const flatSOA = "NS example.org. 5 IN SOA ns1.example.org. hostmaster.example.org. 7 14400 3600 1209600 5\n"

// resolvedTo gives a block what a resolver would have found: NAME ADDRESS..., which stand for so many more seconds.
func resolvedTo(f *Farm, seconds int64, lines ...string) {
	set := make(targetSet)
	for _, line := range lines {
		words := strings.Fields(line)
		for _, family := range []steer.Family{steer.V4, steer.V6} {
			t := &target{known: true, until: at + seconds*1000}
			for _, w := range words[1:] {
				if a := netip.MustParseAddr(w); steer.FamilyOf(a) == family {
					t.addrs = append(t.addrs, a)
				}
			}
			set[targetKey{words[0], family}] = t
		}
	}
	f.targets.current.Store(&set)
}

func TestFlatten(t *testing.T) {
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"example.org.", dns.TypeA, 0, "AN example.org. 10 IN A 198.51.100.1\nAN example.org. 10 IN A 198.51.100.2\n"},
		{"eXample.org.", dns.TypeAAAA, 0, "AN eXample.org. 10 IN AAAA 2001:db8:1::1\n"},
		{"example.org.", dns.TypeHTTPS, 0, "AN example.org. 20 IN HTTPS 0 www.example.net.\n"},
		{"example.org.", dns.TypeSVCB, 0, "AN example.org. 20 IN SVCB 0 www.example.net.\n"},
		{"example.org.", dns.TypeMX, 0, flatSOA},
		{"example.org.", dns.TypeCNAME, 0, flatSOA},
		{"flat.example.org.", dns.TypeA, 0, "AN flat.example.org. 10 IN A 198.51.100.3\n"},
		{"flat.example.org.", dns.TypeAAAA, 0, flatSOA},
		{"flat.example.org.", dns.TypeTXT, 0, flatSOA},
		{"flat.example.org.", dns.TypeCNAME, 0, flatSOA},
		// Nothing says that it speaks https, where an HTTPS record would send browsers.
		{"flat.example.org.", dns.TypeHTTPS, 0, flatSOA},
		{"two.example.org.", dns.TypeA, 0, "AN two.example.org. 10 IN A 198.51.100.4\nAN two.example.org. 10 IN A 192.0.2.10\n"},
		{"two.example.org.", dns.TypeAAAA, 0, "AN two.example.org. 10 IN AAAA 2001:db8::10\n"},
		// What is not known yet is not denied, what is known not to be there is.
		{"new.example.org.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"gone.example.org.", dns.TypeA, 0, flatSOA},
		// Targets of ours are decided on, with no CNAME left.
		{"in.example.org.", dns.TypeA, 0, "AN in.example.org. 20 IN A 192.0.2.1\n"},
		{"in.example.org.", dns.TypeAAAA, 0, "AN in.example.org. 20 IN AAAA 2001:db8::1\n"},
		{"chain.example.org.", dns.TypeA, 0, "AN chain.example.org. 10 IN A 198.51.100.1\nAN chain.example.org. 10 IN A 198.51.100.2\n"},
		{"host.example.org.", dns.TypeAAAA, 0, "AN host.example.org. 10 IN AAAA 2001:db8:1::1\n"},
		{"ns.example.org.", dns.TypeA, 0, "AN ns.example.org. 20 IN A 192.0.2.53\n"},
		{"nowhere.example.org.", dns.TypeA, 0, flatSOA},
		{"loop1.example.org.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"back.example.org.", dns.TypeA, 0, "AN back.example.org. 10 IN A 198.51.100.5\n"},
		// An alias that leads to a flattened name, and a name that is a server's.
		{"outside.example.org.", dns.TypeA, 0, "AN outside.example.org. 20 IN CNAME flat.example.org.\nAN flat.example.org. 10 IN A 198.51.100.3\n"},
		{"cdn.example.org.", dns.TypeA, 0, "AN cdn.example.org. 20 IN CNAME www.example.net.\n"},
		{"_http._tcp.example.org.", dns.TypeSRV, 0, "AN _http._tcp.example.org. 20 IN SRV 0 65535 80 www.example.net.\n"},
	} {
		t.Run(tc.name+" "+dns.TypeToString[tc.qtype], func(t *testing.T) {
			f := newTestFarm(t, flat, down("down"))
			resolvedTo(f, 10, "www.example.net. 198.51.100.1 198.51.100.2 2001:db8:1::1", "cdn.example.net. 198.51.100.3",
				"one.example.net. 198.51.100.4", "gone.example.net.", "sorry.example.net. 198.51.100.5")
			m, rcode := ask(t, f, question(tc.name, tc.qtype), "")
			if m == nil {
				m = &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: rcode}}
			}
			if got := sections(m); got != tc.want || m.Rcode != tc.rcode {
				t.Errorf("Got %s\n%swant %s\n%s", dns.RcodeToString[m.Rcode], got, dns.RcodeToString[tc.rcode], tc.want)
			}
		})
	}
}

func TestFlattenReasons(t *testing.T) {
	f := newTestFarm(t, flat)
	for name, want := range map[string]string{
		"new.example.org.":   "14 (Not Ready): (target not resolved yet)",
		"loop1.example.org.": "0 (Other): (aliases lead to no address)",
	} {
		m, _ := ask(t, f, withOption(question(name, dns.TypeA)), "")
		if got := strings.Join(edeOf(m), "; "); m.Rcode != dns.RcodeServerFailure || got != want {
			t.Errorf("%s: got %s, %q, want SERVFAIL, %q", name, dns.RcodeToString[m.Rcode], got, want)
		}
	}
}

// After the end of its TTL, the last good address stands on for short times.
func TestFlattenFailsStatic(t *testing.T) {
	f := newTestFarm(t, flat)
	resolvedTo(f, -3600, "cdn.example.net. 198.51.100.3")
	want := "AN flat.example.org. 30 IN A 198.51.100.3\n"
	if got := sections(mustAsk(t, f, "flat.example.org.", dns.TypeA)); got != want {
		t.Errorf("Got\n%swant\n%s", got, want)
	}
}

// A service that says so is not flattened where the block is.
func TestFlattenDefault(t *testing.T) {
	for block, want := range map[string]bool{
		"":                               false,
		"flatten\n":                      true,
		"flatten off\n":                  false,
		"SERVICE flatten\n":              true,
		"flatten\nSERVICE flatten":       true,
		"flatten\nSERVICE flatten off\n": false,
	} {
		of, in, _ := strings.Cut(block, "SERVICE ")
		f := newTestFarm(t, "farm example.org {\n"+of+"\nservice a.example.org {\n"+in+"\nserver x www.example.net\n}\n}")
		service := f.conf.services[0]
		if service.Flatten == nil {
			service.Flatten = f.conf.defaults.Flatten
		}
		if got := (&steer.Farm{Service: service}).IsFlat(); got != want {
			t.Errorf("%q: got %t, want %t", block, got, want)
		}
	}
}

func TestTargetsOf(t *testing.T) {
	f := newTestFarm(t, flat)
	var names []string
	keys, _ := targetsOf(f.source.Load(), f.zones)
	for _, key := range keys {
		if key.family == steer.V4 {
			names = append(names, key.name)
		}
	}
	want := "cdn.example.net. gone.example.net. new.example.net. one.example.net. sorry.example.net. www.example.net."
	if got := strings.Join(names, " "); got != want {
		t.Errorf("Got %s\nwant %s", got, want)
	}
}

// Whoever may ask why is told what a name is flattened to.
func TestFlattenIsExplained(t *testing.T) {
	f := newTestFarm(t, strings.Replace(flat, "policy first", "policy first\nexplain 0.0.0.0/0", 1))
	resolvedTo(f, 10, "www.example.net. 198.51.100.1 198.51.100.2 2001:db8:1::1", "cdn.example.net. 198.51.100.3")
	f.targets.load()[targetKey{"cdn.example.net.", steer.V4}].failing = true
	for name, want := range map[string]string{
		"_farm.example.org.":       " target=www.example.net. a=2 aaaa=1",
		"_farm.flat.example.org.":  " target=cdn.example.net. a=1,failing aaaa=0",
		"_farm.new.example.org.":   " target=new.example.net. a=unknown aaaa=unknown",
		"_farm.in.example.org.":    " rank=1",
		"_farm.alias.example.org.": " rank=1",
	} {
		m := mustAsk(t, f, name, dns.TypeTXT)
		if got := sections(m); !strings.Contains(got, want+`"`) {
			t.Errorf("%s: got\n%swant %q at a server's end", name, got, want)
		}
	}
}
