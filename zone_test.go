package farm

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestNameServers(t *testing.T) {
	f := newTestFarm(t, `farm example.org {
		ns ns1.example.org 192.0.2.53 2001:db8::53
		ns deep.in.example.org
		ns ns.example.net
		mailbox joe.example.org
		service *.example.org {
			server a 192.0.2.1
		}
	}`)
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"example.org.", dns.TypeNS, 0, `AN example.org. 300 IN NS ns1.example.org.
AN example.org. 300 IN NS deep.in.example.org.
AN example.org. 300 IN NS ns.example.net.
AR ns1.example.org. 300 IN A 192.0.2.53
AR ns1.example.org. 300 IN AAAA 2001:db8::53
AR deep.in.example.org. 300 IN A 127.0.0.1
`},
		{"ns1.example.org.", dns.TypeAAAA, 0, "AN ns1.example.org. 300 IN AAAA 2001:db8::53\n"},
		// A name server's name is not the wildcard's, and the name above it exists.
		{"deep.in.example.org.", dns.TypeA, 0, "AN deep.in.example.org. 300 IN A 127.0.0.1\n"},
		{"other.example.org.", dns.TypeA, 0, "AN other.example.org. 20 IN A 192.0.2.1\n"},
		{"in.example.org.", dns.TypeA, 0, strings.NewReplacer("SOA ns.", "SOA ns1.", "hostmaster", "joe").Replace(soa)},
		{"other.in.example.org.", dns.TypeA, dns.RcodeNameError, strings.NewReplacer("SOA ns.", "SOA ns1.", "hostmaster", "joe").Replace(soa)},
	} {
		m := mustAsk(t, f, tc.name, tc.qtype)
		if got := sections(m); got != tc.want || m.Rcode != tc.rcode {
			t.Errorf("%s %s: got %d\n%swant %d\n%s", tc.name, dns.TypeToString[tc.qtype], m.Rcode, got, tc.rcode, tc.want)
		}
	}
}

// On a socket of every address the query does not tell which one it came to; then this host's are told.
func TestNameServerOnEveryAddress(t *testing.T) {
	f := newTestFarm(t, "farm example.org")
	f.source.(*fixed).snap = newTestFarm(t, "farm example.org {\nservice a.example.org\n}").source.Load()
	f.local = []netip.Addr{netip.MustParseAddr("192.0.2.99")}
	w := newSink()
	w.local = &net.UDPAddr{IP: net.IPv6unspecified, Port: 53}
	f.ServeDNS(t.Context(), w, question("ns.example.org.", dns.TypeA))
	if got := sections(w.last); got != "AN ns.example.org. 300 IN A 192.0.2.99\n" {
		t.Errorf("Got %s", got)
	}
	if len(localAddresses()) == 0 {
		t.Error("This host has no address")
	}
}

func TestZoneOfTheRoot(t *testing.T) {
	f := newTestFarm(t, "farm . {\nservice www.example.org {\nserver a 192.0.2.1\n}\n}")
	for name, want := range map[string]string{
		"www.example.org.": "AN www.example.org. 20 IN A 192.0.2.1\n",
		"nosuch.":          "NS . 5 IN SOA ns. hostmaster. 7 14400 3600 1209600 5\n",
		".":                "NS . 5 IN SOA ns. hostmaster. 7 14400 3600 1209600 5\n",
		"ns.":              "AN ns. 300 IN A 127.0.0.1\n",
	} {
		if got := sections(mustAsk(t, f, name, dns.TypeA)); got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
	if got := sections(mustAsk(t, f, ".", dns.TypeDS)); !strings.HasPrefix(got, "NS . 5 IN SOA") {
		t.Errorf("DS of the root: got %s", got)
	}
}

func TestRemoteAddr(t *testing.T) {
	for _, tc := range []struct {
		addr net.Addr
		want string
	}{
		{&net.UDPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.UDPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "fe80::1"},
		{wrapped("[2001:db8::1]:53"), "2001:db8::1"},
		{wrapped("pipe"), "invalid IP"},
		{nil, "invalid IP"},
	} {
		if got := remoteAddr(tc.addr).String(); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.addr, got, tc.want)
		}
	}
}

// wrapped is an address of a kind of its own, as some transports have.
type wrapped string

func (w wrapped) Network() string { return "wrapped" }
func (w wrapped) String() string  { return string(w) }

// A minimum of 0 has resolvers forget at once that there is nothing.
func TestNoNegativeCaching(t *testing.T) {
	f := newTestFarm(t, "farm example.org {\nsoa minimum 0s\nservice a.example.org {\nserver x 192.0.2.1\n}\n}")
	const want = "NS example.org. 0 IN SOA ns.example.org. hostmaster.example.org. 7 14400 3600 1209600 0\n"
	if got := sections(mustAsk(t, f, "nosuch.example.org.", dns.TypeA)); got != want {
		t.Errorf("Got\n%swant\n%s", got, want)
	}
}
