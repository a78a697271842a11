package farm

import (
	"net"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

const regional = `farm example.org {
	ecs 10.240.0.0/16
	region eu 10.1.0.0/16 2001:db8:1::/48 geoip/country/code=DE
	region us 10.2.0.0/20
	service www.example.org {
		policy roundrobin
		answers 1
		server e 192.0.2.1 region eu
		server u 192.0.2.2 region us
	}
	service flat.example.org {
		server x 192.0.2.3
	}
	service sticky.example.org {
		policy sticky
		server y 192.0.2.4
	}
}`

// Queries come from 10.240.0.1, which is believed, or from elsewhere.
func TestClientSubnet(t *testing.T) {
	const believed, elsewhere = "10.240.0.1", "10.2.0.1"
	for _, tc := range []struct {
		what, from, name, subnet string
		scope                    int
		want                     string // first address; "" for any
	}{
		{"region of the subnet", believed, "www.example.org.", "10.1.2.0/24", 16, "192.0.2.1"},
		{"longer than asked for", believed, "www.example.org.", "10.2.0.0/16", 20, "192.0.2.2"},
		{"IPv6", believed, "www.example.org.", "2001:db8:1::/56", 48, "192.0.2.1"},
		{"outside of any region", believed, "www.example.org.", "10.3.0.0/24", 24, ""},
		{"privacy", believed, "www.example.org.", "0.0.0.0/0", 0, ""},
		{"privacy in IPv6", believed, "www.example.org.", "::/0", 0, ""},
		{"farm of no region", believed, "flat.example.org.", "10.1.2.0/24", 0, ""},
		{"personal", believed, "sticky.example.org.", "10.1.2.0/24", 24, ""},
		{"negative", believed, "nosuch.example.org.", "10.1.2.0/24", 0, ""},
		{"nothing of the type", believed, "example.org.", "10.1.2.0/24", 0, ""},
		{"not believed", elsewhere, "www.example.org.", "10.1.2.0/24", 0, "192.0.2.2"},
		{"not believed, personal", elsewhere, "sticky.example.org.", "10.1.2.0/24", 0, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			f := newTestFarm(t, regional)
			m, _ := ask(t, f, withSubnet(question(tc.name, dns.TypeA), tc.subnet), tc.from)
			if m == nil {
				t.Fatal("No reply")
			}
			if got := scopeIn(m); got != tc.scope {
				t.Errorf("Got scope %d, want %d", got, tc.scope)
			}
			if s := m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); !sameSubnet(s, tc.subnet) {
				t.Errorf("Got %v back, want %s", s, tc.subnet)
			}
			if tc.want != "" && m.Answer[0].(*dns.A).A.String() != tc.want {
				t.Errorf("Got %v, want %s", m.Answer, tc.want)
			}
		})
	}
	f := newTestFarm(t, regional)
	m, _ := ask(t, f, withOption(question("www.example.org.", dns.TypeA)), believed)
	if scopeIn(m) != -1 {
		t.Errorf("A subnet came back where none was sent: %v", m)
	}
}

func sameSubnet(s *dns.EDNS0_SUBNET, want string) bool {
	_, n, _ := net.ParseCIDR(want)
	ones, _ := n.Mask.Size()
	return s.Address.Equal(n.IP) && int(s.SourceNetmask) == ones
}

func TestClientSubnetMalformed(t *testing.T) {
	v4 := func(family uint16, source, scope uint8, a string) *dns.EDNS0_SUBNET {
		ip := net.ParseIP(a)
		if ip4 := ip.To4(); ip4 != nil && family == 1 {
			ip = ip4
		}
		return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: family, SourceNetmask: source, SourceScope: scope, Address: ip}
	}
	good := v4(1, 24, 0, "10.1.2.0")
	for _, tc := range []struct {
		what    string
		options []dns.EDNS0
		ok      bool
	}{
		{"well formed", []dns.EDNS0{good}, true},
		{"family 0, as dig sends it", []dns.EDNS0{v4(0, 0, 0, "0.0.0.0")}, true},
		{"bits beyond the length", []dns.EDNS0{v4(1, 24, 0, "10.1.2.3")}, false},
		{"bits beyond the length, IPv6", []dns.EDNS0{v4(2, 32, 0, "2001:db8::1")}, false},
		{"a scope", []dns.EDNS0{v4(1, 24, 24, "10.1.2.0")}, false},
		{"an unknown family", []dns.EDNS0{v4(3, 24, 0, "10.1.2.0")}, false},
		{"family 0 with a length", []dns.EDNS0{v4(0, 8, 0, "10.0.0.0")}, false},
		{"too long", []dns.EDNS0{v4(1, 33, 0, "10.1.2.0")}, false},
		{"too long, IPv6", []dns.EDNS0{v4(2, 129, 0, "2001:db8::")}, false},
		{"an IPv6 address in IPv4", []dns.EDNS0{v4(1, 24, 0, "2001:db8::")}, false},
		{"no address", []dns.EDNS0{&dns.EDNS0_SUBNET{Family: 1, SourceNetmask: 8}}, false},
		{"two", []dns.EDNS0{good, good}, false},
	} {
		for _, from := range []string{"10.240.0.1", "10.9.0.1"} {
			f := newTestFarm(t, regional)
			m, rcode := ask(t, f, withOption(question("www.example.org.", dns.TypeA), tc.options...), from)
			if (rcode == dns.RcodeSuccess && m != nil) != tc.ok || !tc.ok && rcode != dns.RcodeFormatError {
				t.Errorf("%s: got %s, %v", tc.what, dns.RcodeToString[rcode], m)
			}
		}
	}
}

// Where no subnet says it, another plugin may.
func TestRegionByLabel(t *testing.T) {
	f := newTestFarm(t, regional)
	for country, want := range map[string]string{"DE": "eu", "FR": "", "": ""} {
		ctx := metadata.ContextWithMetadata(t.Context())
		if country != "" {
			metadata.SetValueFunc(ctx, "geoip/country/code", func() string { return country })
		}
		rec := dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: "192.0.2.200"})
		f.ServeDNS(ctx, rec, question("www.example.org.", dns.TypeA))
		if got := metadata.ValueFunc(ctx, "farm/region")(); got != want {
			t.Errorf("%s: got region %q, want %q", country, got, want)
		}
	}
}

// A region that another plugin tells may come from the subnet, which farm does not believe: then the answer holds for no more than
// that subnet.
func TestScopeOfALabel(t *testing.T) {
	for _, tc := range []struct {
		what, from, name, country string
		scope                     int
	}{
		{"region of a label", "192.0.2.200", "www.example.org.", "DE", 24},
		{"no region of a label, which is as much of an answer", "192.0.2.200", "www.example.org.", "FR", 24},
		{"region of the resolver's own address", "10.2.0.1", "www.example.org.", "DE", 0},
		{"farm of no region", "192.0.2.200", "flat.example.org.", "DE", 0},
		{"negative", "192.0.2.200", "nosuch.example.org.", "DE", 0},
	} {
		f := newTestFarm(t, regional)
		ctx := metadata.ContextWithMetadata(t.Context())
		metadata.SetValueFunc(ctx, "geoip/country/code", func() string { return tc.country })
		rec := dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: tc.from})
		f.ServeDNS(ctx, rec, withSubnet(question(tc.name, dns.TypeA), "81.2.69.0/24"))
		if got := scopeIn(rec.Msg); got != tc.scope {
			t.Errorf("%s: got scope %d, want %d", tc.what, got, tc.scope)
		}
	}
}

func TestMetadata(t *testing.T) {
	f := newTestFarm(t, everything)
	ctx := metadata.ContextWithMetadata(t.Context())
	f.ServeDNS(ctx, dnstest.NewRecorder(&test.ResponseWriter{}), question("www.example.org.", dns.TypeA))
	for label, want := range map[string]string{
		"farm/service": "www.example.org.", "farm/server": "a", "farm/servers": "a,b", "farm/policy": "roundrobin",
		"farm/reason": "normal", "farm/method": "policy", "farm/region": "", "farm/tier": "1", "farm/chance": "0",
	} {
		value := metadata.ValueFunc(ctx, label)
		if value == nil || value() != want {
			t.Errorf("%s: want %q", label, want)
		}
	}
	// Without metadata in the server block nothing is kept.
	if f.ServeDNS(t.Context(), dnstest.NewRecorder(&test.ResponseWriter{}), question("www.example.org.", dns.TypeA)); metadata.Labels(t.Context()) != nil {
		t.Error("Metadata out of nothing")
	}
}

// Whatever a client sends, there is one reply, it packs, and what is no answer has one SOA.
func FuzzQuery(f *testing.F) {
	for _, name := range []string{"www.example.org.", "_farm.www.example.org.", "*.wild.example.org.", "a.v4.example.org.", "sub.example.org."} {
		for _, m := range []*dns.Msg{question(name, dns.TypeA), withSubnet(question(name, dns.TypeHTTPS), "10.1.2.0/24"), withOption(question(name, dns.TypeTXT))} {
			wire, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(wire)
		}
	}
	farm := newTestFarm(f, everything, func(m *steer.Member) { m.Reported, m.LeaseEnd = true, at+1 })
	farm.conf.believed, _ = newPrefixes(nil)
	f.Fuzz(func(t *testing.T, wire []byte) {
		q := new(dns.Msg)
		if q.Unpack(wire) != nil || len(q.Question) == 0 {
			return
		}
		m, rcode := ask(t, farm, q, "")
		if (m == nil) == (rcode == dns.RcodeSuccess) {
			t.Fatalf("Got rcode %d and %v", rcode, m)
		}
		if m != nil && len(m.Answer) == 0 && (len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA) {
			t.Errorf("A negative answer without its SOA: %v", m)
		}
	})
}
