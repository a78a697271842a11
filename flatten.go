package farm

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// describeTarget says what a server's name is flattened to, for people; nothing of servers that are not.
func (f *Farm) describeTarget(farm *steer.Farm, s *steer.Server) string {
	if s.Target == "" || !farm.IsFlat() && f.zones[farm.Service.Name] == nil || f.zones.of(s.Target) != nil {
		return ""
	}
	known := f.targets.load()
	v4, v6 := known[targetKey{s.Target, steer.V4}], known[targetKey{s.Target, steer.V6}]
	return fmt.Sprintf(" target=%s a=%s aaaa=%s", s.Target, v4.describe(), v6.describe())
}

// flattens reports whether the name of a query is answered with addresses where it would be an alias: a service that says
// so, the top of a zone, where no CNAME can stand, and what these lead to.
func (f *Farm) flattens(q *query, farm *steer.Farm) bool {
	return q.flat || q.name == q.zone.Name || farm.IsFlat()
}

// Why an alias is not answered with addresses.
var (
	notResolved = ede{dns.ExtendedErrorCodeNotReady, "target not resolved yet"}
	aliasLoop   = ede{dns.ExtendedErrorCodeOther, "aliases lead to no address"}
)

// flattenedTTL is how long an answer with the addresses of a pick stands: no longer than what it is made of.
func (f *Farm) flattenedTTL(q *query, farm *steer.Farm, p *steer.Pick) uint32 {
	ttl, known := p.TTL, f.targets.load()
	for n := range p.Size() {
		if t := known[targetKey{p.Name(farm, n), familyOf(q.qtype)}]; t != nil && t.known {
			ttl = min(ttl, t.left(q.now))
		}
	}
	return ttl
}

// giveFlattened answers with the addresses of the picked servers and of those that are names.
func (f *Farm) giveFlattened(q *query, farm *steer.Farm, family steer.Family, p *steer.Pick) *dns.Msg {
	if p.Size() > 0 {
		if first := p.Name(farm, 0); first != "" && f.zones.of(first) != nil {
			return f.flatten(q, first, p.TTL)
		}
	}
	var addrs []netip.Addr
	unknown, known := false, f.targets.load()
	for n := range p.Size() {
		name := p.Name(farm, n)
		t := known[targetKey{name, family}]
		switch {
		case name == "":
			addrs = append(addrs, farm.Servers[p.Servers[n]].Addresses...)
		case t == nil || !t.known:
			unknown = unknown || f.zones.of(name) == nil
		default:
			addrs = append(addrs, t.addrs...)
		}
	}
	return q.flatAnswer(addrs, family, p.TTL, unknown)
}

// flatAnswer answers with addresses. Where there are none, and some are not known, nothing is denied: resolvers keep that.
func (q *query) flatAnswer(addrs []netip.Addr, family steer.Family, ttl uint32, unknown bool) *dns.Msg {
	var rrs addressRecords
	rrs.add(q.header(q.owner(), typeOf(family), ttl), distinct(addrs), family)
	switch {
	case len(rrs.rrs) > 0:
		return q.answer(rrs.rrs)
	case unknown:
		return q.fail(notResolved)
	}
	return q.nodata()
}

// distinct leaves out what stands before: two names may share an address.
func distinct(addrs []netip.Addr) (list []netip.Addr) {
	for _, a := range addrs {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// flattenName answers with the addresses that a server's name leads to.
func (f *Farm) flattenName(q *query, name string, ttl uint32) *dns.Msg {
	if f.zones.of(name) != nil {
		return f.flatten(q, name, ttl)
	}
	family := familyOf(q.qtype)
	t := f.targets.load()[targetKey{name, family}]
	if t == nil || !t.known {
		return q.fail(notResolved)
	}
	return q.flatAnswer(t.addrs, family, min(ttl, t.left(q.now)), false)
}

// flatten answers with the addresses of a name of ours, as if they stood at the name that was asked for.
func (f *Farm) flatten(q *query, target string, ttl uint32) *dns.Msg {
	m := f.followFlat(q, target)
	if m == nil {
		return q.fail(aliasLoop)
	}
	if m.Rcode == dns.RcodeServerFailure {
		if q.opt == nil {
			return q.refuse(outcomeServFail)
		}
		return m
	}
	var addrs []netip.Addr
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
		if a, ok := addressOf(rr); ok && rr.Header().Rrtype == q.qtype {
			addrs = append(addrs, a)
		}
	}
	return q.flatAnswer(addrs, familyOf(q.qtype), ttl, false)
}

// followFlat returns the answer for a target of ours, in which no alias is left.
func (f *Farm) followFlat(q *query, target string) *dns.Msg {
	before := q.flat
	q.flat = true
	m := f.follow(q, target)
	q.flat = before
	return m
}

// aliasMode answers HTTPS or SVCB for a flattened name with a record in AliasMode (RFC 9460 section 2.4.2): what the target
// has of these is found there. Of HTTPS there is one only if the service speaks https, for it sends browsers there
// (section 9.5).
func (f *Farm) aliasMode(q *query, farm *steer.Farm) *dns.Msg {
	p := f.decide(q, farm, steer.KindHTTPS, steer.AnyFamily)
	if p.Size() == 0 || q.qtype == dns.TypeHTTPS && !farm.OffersHTTPS() {
		return q.nodata()
	}
	rr := dns.SVCB{Hdr: q.header(q.owner(), q.qtype, p.TTL), Target: p.Name(farm, 0)}
	if q.qtype == dns.TypeHTTPS {
		return q.answer([]dns.RR{&dns.HTTPS{SVCB: rr}})
	}
	return q.answer([]dns.RR{&rr})
}
