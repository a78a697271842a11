package farm

import (
	"net/netip"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// staleTTL bounds the answers given while the services database is out of reach (RFC 8767 section 4).
const staleTTL = 30

// ede is an extended DNS error (RFC 8914); the zero value with an empty text is none.
type ede struct {
	code uint16
	text string
}

// reply is a message and its question in one allocation.
type reply struct {
	dns.Msg
	question [1]dns.Question
}

// reply begins the answer to a query: authoritative, its question as it was asked, letter case and all.
func (q *query) reply(o outcome, rcode int) *dns.Msg {
	q.outcome = o
	m := &reply{question: [1]dns.Question{q.r.Question[0]}}
	m.MsgHdr = dns.MsgHdr{
		Id: q.r.Id, Response: true, Authoritative: true, Rcode: rcode,
		RecursionDesired: q.r.RecursionDesired, CheckingDisabled: q.r.CheckingDisabled,
	}
	m.Question = m.question[:]
	return &m.Msg
}

// finish attaches what goes into OPT. Without anything CoreDNS makes the OPT itself.
func (q *query) finish(m *dns.Msg) *dns.Msg {
	if q.subnet == nil && !q.asksByOption && (q.opt == nil || q.reason.text == "") {
		return m
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	if s := q.subnet; s != nil {
		back := *s
		back.SourceScope = q.scope
		opt.Option = append(opt.Option, &back)
	}
	if q.asksByOption {
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: q.code, Data: qos.AppendReply(make([]byte, 0, replySize), q.shown)})
	}
	if q.reason.text != "" {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: q.reason.code, ExtraText: q.reason.text})
	}
	m.Extra = append(m.Extra, opt)
	return m
}

// answer is a reply with records.
func (q *query) answer(rrs []dns.RR) *dns.Msg {
	m := q.reply(outcomeAnswer, dns.RcodeSuccess)
	m.Answer = rrs
	return q.finish(m)
}

// anyTTL is long, for the answer to ANY never changes.
const anyTTL = 3600

// answerAny answers ANY at a name that has records with one that says where to read why there are not more (RFC 8482 section
// 4.2). NODATA would say that there are none, and a choice of servers is nothing to be taken for all that there is.
func (q *query) answerAny() *dns.Msg {
	return q.answer([]dns.RR{&dns.HINFO{Hdr: q.header(q.owner(), dns.TypeHINFO, anyTTL), Cpu: "RFC8482"}})
}

// nodata says that the name exists and has nothing of the type. Negative answers hold for everybody: their scope is 0.
func (q *query) nodata() *dns.Msg { return q.negative(outcomeNoData, dns.RcodeSuccess) }

func (q *query) nxdomain() *dns.Msg { return q.negative(outcomeNXDomain, dns.RcodeNameError) }

func (q *query) negative(o outcome, rcode int) *dns.Msg {
	if q.hops == 0 {
		q.scope = 0
	}
	m := q.reply(o, rcode)
	m.Ns = []dns.RR{q.soa(q.zone.Name)}
	return q.finish(m)
}

// refuse leaves the reply to the server: it makes the same for every plugin.
func (q *query) refuse(o outcome) *dns.Msg {
	q.outcome = o
	return nil
}

// fail is SERVFAIL with its reason. A client that cannot be told gets the server's own.
func (q *query) fail(reason ede) *dns.Msg {
	if q.opt == nil {
		return q.refuse(outcomeServFail)
	}
	q.reason = reason
	m := q.reply(outcomeServFail, dns.RcodeServerFailure)
	m.Authoritative = false
	return q.finish(m)
}

func (q *query) header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: q.ttl(ttl)}
}

func (q *query) ttl(ttl uint32) uint32 {
	if q.snap.Stale {
		return min(ttl, staleTTL)
	}
	return ttl
}

// question is the name of the question as it was asked (draft-vixie-dnsext-dns0x20).
func (q *query) question() string { return q.r.Question[0].Name }

// owner is the name of the records that are made now.
func (q *query) owner() string {
	if q.target != "" {
		return q.target
	}
	return q.question()
}

// addresses answers A or AAAA. The decision is over before the records are made: their room is not on the stack below it.
func (f *Farm) addresses(q *query, farm *steer.Farm, kind steer.Kind, family steer.Family) *dns.Msg {
	p := f.decide(q, farm, kind, family|steer.Named)
	if p.LeadsToNames(farm) && f.flattens(q, farm) {
		return f.giveFlattened(q, farm, family, p)
	}
	return f.give(q, farm, family, p)
}

// give answers with the addresses of the picked servers, or with an alias of the first one's name.
func (f *Farm) give(q *query, farm *steer.Farm, family steer.Family, p *steer.Pick) *dns.Msg {
	if target := f.target(q, farm, p); target != "" {
		return f.alias(q, target, p.TTL)
	}
	n := 0
	for _, i := range p.Servers[:p.N] {
		n += count(farm.Servers[i].Addresses, family)
	}
	if n == 0 {
		return q.nodata()
	}
	rrs := addressRecords{rrs: make([]dns.RR, 0, n)}
	rrs.grow(family, n)
	for _, i := range p.Servers[:p.N] {
		rrs.add(q.header(q.owner(), typeOf(family), p.TTL), farm.Servers[i].Addresses, family)
	}
	return q.answer(rrs.rrs)
}

// target returns the name that a pick answers with, if it does: its first server's, or the fallback.
func (f *Farm) target(q *query, farm *steer.Farm, p *steer.Pick) string {
	target := farm.AliasOf(p, f.flattens(q, farm))
	if p.Rung == steer.Fallback && target == "" {
		q.reason = ede{dns.ExtendedErrorCodeOther, "no server available"}
	}
	return target
}

func (q *query) cname(target string, ttl uint32) dns.RR {
	return &dns.CNAME{Hdr: q.header(q.owner(), dns.TypeCNAME, ttl), Target: target}
}

// server answers for the name of one server.
func (f *Farm) server(q *query, farm *steer.Farm, s *steer.Server) *dns.Msg {
	ttl := farm.Settings.TTL
	switch {
	case s.Target != "" && q.flat:
		return f.flattenName(q, s.Target, ttl)
	case s.Target != "":
		return f.alias(q, s.Target, ttl)
	}
	return f.hostAnswer(q, s.Addresses, ttl)
}

// hostAnswer answers A or AAAA for a name that has addresses, and nothing else.
func (f *Farm) hostAnswer(q *query, addrs []netip.Addr, ttl uint32) *dns.Msg {
	family := familyOf(q.qtype)
	if family == 0 {
		return f.unmade(q)
	}
	var rrs addressRecords
	rrs.add(q.header(q.owner(), q.qtype, ttl), addrs, family)
	if len(rrs.rrs) == 0 {
		return q.nodata()
	}
	return q.answer(rrs.rrs)
}

// fallBack answers with a fallback name, and what it has is found there; or with nothing, where no alias may stand.
func (f *Farm) fallBack(q *query, farm *steer.Farm, p *steer.Pick) *dns.Msg {
	if target := f.target(q, farm, p); target != "" {
		return f.alias(q, target, p.TTL)
	}
	return q.nodata()
}
