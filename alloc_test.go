package farm

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// sink is a writer that costs nothing, so that what is measured is the plugin.
type sink struct {
	dns.ResponseWriter
	local, remote net.Addr
	last          *dns.Msg
}

func newSink() *sink {
	return &sink{
		local:  &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 53},
		remote: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 200), Port: 4053},
	}
}

func (s *sink) LocalAddr() net.Addr         { return s.local }
func (s *sink) RemoteAddr() net.Addr        { return s.remote }
func (s *sink) WriteMsg(m *dns.Msg) error   { s.last = m; return nil }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// loaded is a service of n servers that report.
func loaded(tb testing.TB, n int, policy steer.Policy) *Farm {
	var b strings.Builder
	fmt.Fprintf(&b, "farm example.org {\npolicy %s\nservice www.example.org {\nanswers 3\n", policy)
	for i := range n {
		fmt.Fprintf(&b, "server s%d 10.%d.%d.%d capacity %d\n", i, 1+i>>16, i>>8&255, i&255, 100+i%7*50)
	}
	b.WriteString("}\n}")
	util := 0.0
	return newTestFarm(tb, b.String(), func(m *steer.Member) {
		util += 0.37
		m.Reported, m.LeaseEnd, m.Report.Utilization = true, at+1000, util-float64(int(util))
	})
}

// taught is loaded, under predict: it has learned from a report and a few queries.
func taught(tb testing.TB, n int) *Farm {
	f, w := loaded(tb, n, steer.Predict), newSink()
	for range 10 {
		f.memory.learned.Tick(f.source.Load().Farms(), at)
		f.ServeDNS(context.Background(), w, question("www.example.org.", dns.TypeA))
	}
	q := steer.Query{Client: clientOf(w).prefix, Family: steer.V4, Chance: 1 << 40, Now: at}
	if p := steer.DecideWith(f.source.Load().Farms()[0], f.memory.learned, &q); p.By != steer.ByPredict {
		tb.Fatalf("Picks are made by %v", p.By)
	}
	return f
}

// of returns a service of n servers under a policy.
func of(tb testing.TB, n int, policy steer.Policy) *Farm {
	if policy == steer.Predict {
		return taught(tb, n)
	}
	return loaded(tb, n, policy)
}

func TestAllocs(t *testing.T) {
	for _, policy := range []steer.Policy{steer.Headroom, steer.Predict} {
		t.Run(string(policy), func(t *testing.T) { testAllocs(t, policy) })
	}
}

func testAllocs(t *testing.T, policy steer.Policy) {
	for _, tc := range []struct {
		what  string
		query *dns.Msg
		allow float64
	}{
		// The message with its question, the section, the records with their addresses.
		{"A", question("www.example.org.", dns.TypeA), 3},
		// And the name in lower case.
		{"A with 0x20", question("wWw.eXample.org.", dns.TypeA), 4},
		// The message with its question, the section, the SOA.
		{"NODATA", question("www.example.org.", dns.TypeMX), 3},
		{"NXDOMAIN", question("nosuch.example.org.", dns.TypeA), 3},
		// As A, and OPT, its options, the subnet, the section that OPT is in.
		{"A with a subnet", withSubnet(question("www.example.org.", dns.TypeA), "10.1.2.0/24"), 7},
	} {
		f, w, ctx := of(t, 100, policy), newSink(), context.Background()
		for range 200 { // until every server was picked
			f.ServeDNS(ctx, w, tc.query)
		}
		got := testing.AllocsPerRun(200, func() { f.ServeDNS(ctx, w, tc.query) })
		if got > tc.allow {
			t.Errorf("%s: got %v allocations, want at most %v", tc.what, got, tc.allow)
		}
	}
}

func BenchmarkServeDNS(b *testing.B) {
	for _, policy := range []steer.Policy{steer.Predict, steer.Headroom, steer.RoundRobin, steer.Sticky} {
		for _, n := range []int{3, 1000} {
			b.Run(fmt.Sprintf("%s/servers=%d", policy, n), func(b *testing.B) {
				f, w, ctx := of(b, n, policy), newSink(), context.Background()
				q := question("www.example.org.", dns.TypeA)
				b.ReportAllocs()
				for b.Loop() {
					f.ServeDNS(ctx, w, q)
				}
			})
		}
	}
}
