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
