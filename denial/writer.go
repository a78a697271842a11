package denial

import (
	"context"
	"strings"

	"github.com/coredns/coredns/plugin/metrics"
	"github.com/coredns/coredns/plugin/pkg/upstream"
	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
)

// writer adds the proof to negative answers on their way to dnssec.
type writer struct {
	dns.ResponseWriter
	guard *guard
	ctx   context.Context
}

// WriteMsg implements dns.ResponseWriter.
func (w *writer) WriteMsg(m *dns.Msg) error {
	server := metrics.WithServer(w.ctx)
	if soa, name := deniedBy(m); soa != nil {
		d := denied{name: name, qtype: m.Question[0].Qtype, soa: soa, place: w.placeOf(name, m.Question[0].Qtype, soa)}
		m = w.guard.prove(m, &d, server)
	} else if len(m.Answer) > 0 && isSigned(m) {
		m = w.guard.unsigned(m, server)
	}
	return w.ResponseWriter.WriteMsg(m)
}

func (w *writer) placeOf(name string, qtype uint16, soa *dns.SOA) place {
	switch {
	case strings.EqualFold(name, soa.Hdr.Name):
		return apex
	case qtype == dns.TypeDS && w.isCut(name):
		return cut
	}
	return inside
}

// isCut reports whether the server itself delegates a name: it has a referral there, or the name is the top of another zone
// that it serves.
func (w *writer) isCut(name string) bool {
	r := new(dns.Msg)
	r.SetQuestion(name, dns.TypeNS) // without EDNS, so nothing is signed
	m, err := upstream.New().Lookup(w.ctx, request.Request{W: w.ResponseWriter, Req: r}, name, dns.TypeNS)
	if err != nil || m == nil || m.Rcode != dns.RcodeSuccess {
		return false
	}
	return hasNS(m.Answer, name) || len(m.Answer) == 0 && hasNS(m.Ns, name)
}

func hasNS(section []dns.RR, owner string) bool {
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeNS && strings.EqualFold(rr.Header().Name, owner) {
			return true
		}
	}
	return false
}

// deniedBy returns the SOA of a negative answer and the name that it is about: the one that was asked for, or the one at
// the end of its aliases. Of any other answer it returns nil. It knows negative answers as dnssec does, which leaves
// those with more than a SOA as they are.
func deniedBy(m *dns.Msg) (*dns.SOA, string) {
	if len(m.Question) != 1 || len(m.Ns) != 1 || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, ""
	}
	soa, ok := m.Ns[0].(*dns.SOA)
	q := m.Question[0]
	if !ok || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR {
		return nil, ""
	}
	if len(m.Answer) == 0 {
		return soa, q.Name
	}
	end := endOf(m.Answer, q.Name)
	if strings.EqualFold(end, q.Name) || !dns.IsSubDomain(soa.Hdr.Name, end) {
		return nil, ""
	}
	for _, rr := range m.Answer {
		if strings.EqualFold(rr.Header().Name, end) {
			return nil, ""
		}
	}
	return soa, end
}

// endOf returns the name that aliases lead to. There are no more steps than records.
func endOf(answer []dns.RR, name string) string {
	for range answer {
		for _, rr := range answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				name = c.Target
				break
			}
		}
	}
	return name
}
