package farm

import (
	"context"
	"testing"

	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

const besideOthers = `farm example.org {
	fallthrough
	service www.example.org {
		server a 192.0.2.1
	}
	service *.wild.example.org {
		server w 192.0.2.2
	}
	service in.example.org {
		server x www.example.org
	}
}`

// What the next plugin answers for a type that farm does not make is the answer, if it is one.
func TestNextHasOtherTypes(t *testing.T) {
	ns := records("example.org. 60 IN NS ns9.example.org.")
	for _, tc := range []struct {
		what   string
		name   string
		next   *scripted
		rcode  int
		want   string
		counts outcome
	}{
		{"its record", "www.example.org.", &scripted{answer: records("www.example.org. 60 IN TXT hello"), change: func(m *dns.Msg) { m.Ns = ns }},
			0, "AN www.example.org. 60 IN TXT \"hello\"\n", outcomeNext},
		{"its record at a target", "in.example.org.", &scripted{answer: records("www.example.org. 60 IN TXT hello"), change: func(m *dns.Msg) { m.Ns = ns }},
			0, "AN in.example.org. 20 IN CNAME www.example.org.\nAN www.example.org. 60 IN TXT \"hello\"\n", outcomeAnswer},
		{"NODATA", "www.example.org.", &scripted{change: func(m *dns.Msg) { m.Ns = records("example.org. 60 IN SOA a. b. 1 2 3 4 5") }},
			0, soa, outcomeNoData},
		{"NXDOMAIN", "www.example.org.", &scripted{change: func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }}, 0, soa, outcomeNoData},
		{"a referral", "www.example.org.", &scripted{change: func(m *dns.Msg) { m.Ns = records("www.example.org. 60 IN NS a.") }}, 0, soa, outcomeNoData},
		{"an alias", "www.example.org.", &scripted{answer: records("www.example.org. 60 IN CNAME a.", "a. 60 IN TXT hello")}, 0, soa, outcomeNoData},
		{"REFUSED", "www.example.org.", &scripted{rcode: dns.RcodeRefused}, 0, soa, outcomeNoData},
		{"SERVFAIL", "www.example.org.", &scripted{rcode: dns.RcodeServerFailure}, dns.RcodeServerFailure, "", outcomeServFail},
	} {
		t.Run(tc.what, func(t *testing.T) {
			f := newTestFarm(t, besideOthers)
			f.Next = tc.next
			q := newQuery(t.Context(), &test.ResponseWriter{}, withOption(question(tc.name, dns.TypeTXT)))
			q.zone = f.zoneOf(q)
			m := f.serve(q)
			if got := sections(m); m.Rcode != tc.rcode || got != tc.want || q.outcome != tc.counts {
				t.Errorf("Got %s, %s\n%swant %s, %s\n%s", outcomeNames[q.outcome], dns.RcodeToString[m.Rcode], got,
					outcomeNames[tc.counts], dns.RcodeToString[tc.rcode], tc.want)
			}
			if tc.next.wrote != nil && len(tc.next.wrote.Ns) > 0 && tc.counts == outcomeNext && len(tc.next.wrote.Ns) != len(ns) {
				t.Error("The next plugin's message was changed")
			}
		})
	}
}

// networked is a next plugin that waits for the network, unless there is no time for that.
type networked struct{ asked int }

func (*networked) Name() string { return "networked" }

func (n *networked) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	if ctx.Err() != nil {
		return dns.RcodeServerFailure, ctx.Err()
	}
	n.asked++
	m := new(dns.Msg)
	m.SetReply(r)
	m.Answer = records(r.Question[0].Name + " 60 IN A 192.0.2.9")
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// A name that a wildcard service matches is answered without the network.
func TestWildcardAsksNoNetwork(t *testing.T) {
	f, next := newTestFarm(t, besideOthers), &networked{}
	f.Next = next
	m := mustAsk(t, f, "x.wild.example.org.", dns.TypeA)
	if got := sections(m); next.asked != 0 || got != "AN x.wild.example.org. 20 IN A 192.0.2.2\n" {
		t.Errorf("The network was asked %d times, and the answer is\n%s", next.asked, got)
	}
}
