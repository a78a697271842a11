package farm

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// nameServerOf answers with what a function makes of a query, over UDP and TCP.
func nameServerOf(t *testing.T, answer func(w dns.ResponseWriter, m *dns.Msg)) (addr string) {
	t.Helper()
	addr = "127.0.0.1:" + storetest.FreePort(t)
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		answer(w, m)
		w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: u, Handler: handler}, {Listener: l, Handler: handler}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go s.ActivateAndServe()
		<-ready
		t.Cleanup(func() { s.Shutdown() })
	}
	return addr
}

func TestResolvers(t *testing.T) {
	for _, tc := range []struct {
		what   string
		answer func(w dns.ResponseWriter, m *dns.Msg)
		want   []string
		ttl    uint32
		err    string
	}{
		{"addresses behind an alias", func(_ dns.ResponseWriter, m *dns.Msg) {
			m.Answer = records("www.example.net. 40 IN CNAME a.example.net.", "a.example.net. 90 IN A 192.0.2.1", "a.example.net. 90 IN A 192.0.2.2")
		}, []string{"192.0.2.1", "192.0.2.2"}, 40, ""},
		{"what is no host", func(_ dns.ResponseWriter, m *dns.Msg) {
			m.Answer = records("www.example.net. 40 IN A 0.0.0.0", "www.example.net. 40 IN A 224.0.0.1", "www.example.net. 40 IN A 192.0.2.1")
		}, []string{"192.0.2.1"}, 40, ""},
		{"NXDOMAIN", func(_ dns.ResponseWriter, m *dns.Msg) {
			m.Rcode, m.Ns = dns.RcodeNameError, records("example.net. 30 IN SOA a. b. 1 2 3 4 25")
		}, nil, 25, ""},
		{"NODATA without SOA", func(dns.ResponseWriter, *dns.Msg) {}, nil, 60, ""},
		{"SERVFAIL", func(_ dns.ResponseWriter, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, nil, 0, "SERVFAIL"},
		{"REFUSED", func(_ dns.ResponseWriter, m *dns.Msg) { m.Rcode = dns.RcodeRefused }, nil, 0, "REFUSED"},
		{"another question", func(_ dns.ResponseWriter, m *dns.Msg) { m.Question[0].Name = "other.example.net." }, nil, 0, "another question"},
		{"TCP", func(w dns.ResponseWriter, m *dns.Msg) {
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncated = true
				return
			}
			m.Answer = records("www.example.net. 40 IN A 192.0.2.3")
		}, []string{"192.0.2.3"}, 40, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			r := newResolvers([]string{nameServerOf(t, tc.answer)})
			addrs, ttl, err := r.lookup(t.Context(), targetKey{"www.example.net.", steer.V4})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("Got the error %v, want %q", err, tc.err)
				}
				return
			}
			var got []string
			for _, a := range addrs {
				got = append(got, a.String())
			}
			if err != nil || !slices.Equal(got, tc.want) || ttl != tc.ttl {
				t.Errorf("Got %v for %d s, %v; want %v for %d s", got, ttl, err, tc.want, tc.ttl)
			}
		})
	}
}

// One resolver that fails costs nothing while another answers.
func TestResolversStandInForEachOther(t *testing.T) {
	bad := nameServerOf(t, func(_ dns.ResponseWriter, m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })
	good := nameServerOf(t, func(_ dns.ResponseWriter, m *dns.Msg) { m.Answer = records("www.example.net. 40 IN AAAA 2001:db8::1") })
	r := newResolvers([]string{bad, good})
	for range 4 {
		addrs, _, err := r.lookup(t.Context(), targetKey{"www.example.net.", steer.V6})
		if err != nil || len(addrs) != 1 || addrs[0] != netip.MustParseAddr("2001:db8::1") {
			t.Errorf("Got %v, %v, want the address", addrs, err)
		}
	}
	if _, _, err := (&resolvers{}).lookup(t.Context(), oneTarget); err == nil {
		t.Error("Without a resolver a lookup succeeds")
	}
}
