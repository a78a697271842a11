package denial

import (
	"slices"
	"strings"
	"time"

	"github.com/coredns/coredns/request"

	"github.com/miekg/dns"
)

// denied is what a negative answer denies.
type denied struct {
	name  string
	qtype uint16
	place place
	soa   *dns.SOA
}

// proof is the records of a proof, each with its signatures behind it.
type proof struct {
	nsec, soa []dns.RR
	signer    string // the zone whose key signed the NSEC record; empty: dnssec does not sign the name
}

// prove returns a negative answer with its proof. The name exists as far as a proof says, and so says the answer's code.
func (g *guard) prove(m *dns.Msg, d *denied, server string) *dns.Msg {
	p := g.proofOf(d, server)
	if p.signer == "" || len(m.Answer) > 0 && !g.signs(m, server) {
		return m
	}
	out := *m
	out.Rcode = dns.RcodeSuccess
	switch {
	case d.qtype == dns.TypeNSEC && len(m.Answer) == 0: // dnssec signs what is in the answer
		out.Answer, out.Ns = p.nsec[:1:1], nil
	case len(m.Answer) > 0: // as it does the rest of such a message
		out.Ns = []dns.RR{p.soa[0], p.nsec[0]}
	default: // and it passes on what has a proof
		out.Ns = slices.Concat(p.soa, p.nsec)
	}
	return &out
}

// proofOf makes the proof. Which name is the top is settled by who signs: the zone that is signed may begin above the one
// that the SOA is of.
func (g *guard) proofOf(d *denied, server string) *proof {
	p := g.sign(nsecFor(d.name, d.place, d.qtype, d.soa), d.soa, server)
	switch isTop := strings.EqualFold(p.signer, d.name); {
	case p.signer == "":
	case isTop && d.place != apex:
		p = g.sign(nsecFor(d.name, apex, d.qtype, d.soa), d.soa, server)
	case !isTop && d.place == apex:
		p = g.sign(nsecFor(d.name, inside, d.qtype, d.soa), d.soa, server)
	}
	return p
}

// sign has dnssec sign a proof. It does so in the form of a positive answer, for to a negative one it would add its own.
func (g *guard) sign(nsec *dns.NSEC, soa *dns.SOA, server string) *proof {
	m := g.signed(&dns.Msg{Answer: []dns.RR{nsec}, Ns: []dns.RR{soa}}, nsec.Hdr.Name, server)
	return &proof{nsec: m.Answer, soa: m.Ns, signer: signerOf(m.Answer, nsec.Hdr.Name)}
}

// signs reports whether dnssec signs what the answer has at the name that was asked for: then it signs the whole message.
func (g *guard) signs(m *dns.Msg, server string) bool {
	name := m.Question[0].Name
	return signerOf(g.signed(&dns.Msg{Answer: slices.Clone(m.Answer)}, name, server).Answer, name) != ""
}

func (g *guard) signed(m *dns.Msg, name, server string) *dns.Msg {
	m.Response, m.Question = true, []dns.Question{{Name: name, Qtype: dns.TypeNSEC, Qclass: dns.ClassINET}}
	return g.passed(m, server)
}

// passed returns a message as dnssec would write it. The message is changed.
func (g *guard) passed(m *dns.Msg, server string) *dns.Msg {
	return g.signer.Sign(request.Request{Req: m}, time.Now().UTC(), server)
}

// signerOf returns the zone whose key signed a name's records, or nothing.
func signerOf(section []dns.RR, owner string) string {
	for _, rr := range section {
		if sig, ok := rr.(*dns.RRSIG); ok && strings.EqualFold(sig.Hdr.Name, owner) {
			return sig.SignerName
		}
	}
	return ""
}

// unsigned returns an answer without the signatures that dnssec is about to make: what an alias leads to may have come
// through dnssec already.
func (g *guard) unsigned(m *dns.Msg, server string) *dns.Msg {
	if !g.signs(m, server) {
		return m
	}
	again := g.passed(&dns.Msg{
		MsgHdr: m.MsgHdr, Question: m.Question,
		Answer: slices.Clone(m.Answer), Ns: slices.Clone(m.Ns), Extra: slices.Clone(m.Extra),
	}, server)
	out := *m
	out.Answer = without(m.Answer, again.Answer[len(m.Answer):])
	out.Ns = without(m.Ns, again.Ns[len(m.Ns):])
	out.Extra = without(m.Extra, again.Extra[len(m.Extra):])
	return &out
}

// without returns the records of a section that are not about to be added to it.
func without(section, added []dns.RR) (left []dns.RR) {
	for _, rr := range section {
		if !slices.ContainsFunc(added, func(a dns.RR) bool { return dns.IsDuplicate(rr, a) }) {
			left = append(left, rr)
		}
	}
	return left
}

// isSigned reports whether an answer holds signatures.
func isSigned(m *dns.Msg) bool {
	is := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG }
	return slices.ContainsFunc(m.Answer, is) || slices.ContainsFunc(m.Ns, is) || slices.ContainsFunc(m.Extra, is)
}
