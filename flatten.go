package farm

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// flattened reports whether a service is to be answered with the addresses of its servers' names.
func flattened(farm *steer.Farm) bool { return farm.Service.Flatten != nil && *farm.Service.Flatten }

// describeTarget says what a server's name is flattened to, for people; nothing of servers that are not.
func (f *Farm) describeTarget(farm *steer.Farm, s *steer.Server) string {
	if s.Target == "" || !flattened(farm) && f.zones[farm.Service.Name] == nil || f.zones.of(s.Target) != nil {
		return ""
	}
	known := f.targets.load()
	v4, v6 := known[targetKey{s.Target, steer.V4}], known[targetKey{s.Target, steer.V6}]
	return fmt.Sprintf(" target=%s a=%s aaaa=%s", s.Target, v4.describe(), v6.describe())
}

// flattens reports whether the name of a query is answered with addresses where it would be an alias: a service that says
// so, the top of a zone, where no CNAME can stand, and what these lead to.
func (f *Farm) flattens(q *query, farm *steer.Farm) bool {
	return q.flat || q.name == q.zone.name || flattened(farm)
}

// Why an alias is not answered with addresses.
var (
	notResolved = ede{dns.ExtendedErrorCodeNotReady, "target not resolved yet"}
	aliasLoop   = ede{dns.ExtendedErrorCodeOther, "aliases lead to no address"}
)

// leadsToNames reports whether a pick has names to flatten.
func leadsToNames(farm *steer.Farm, p *steer.Pick) bool {
	return p.Rung == steer.Fallback || farm.Families()&steer.Named != 0
}

// targetOf returns the name that the n-th of a pick stands for; empty is a server with addresses.
func targetOf(farm *steer.Farm, p *steer.Pick, n int) string {
	if p.Rung == steer.Fallback {
		return p.Fallback
	}
	return farm.Servers[p.Servers[n]].Target
}

// flattenedTTL is how long an answer with the addresses of a pick stands: no longer than what it is made of.
func (f *Farm) flattenedTTL(q *query, farm *steer.Farm, p *steer.Pick) uint32 {
	ttl, known := p.TTL, f.targets.load()
	for n := range pickSize(p) {
		if t := known[targetKey{targetOf(farm, p, n), familyOf(q.qtype)}]; t != nil && t.known {
			ttl = min(ttl, t.left(q.now))
		}
	}
	return ttl
}

// pickSize is how many names or servers a pick has.
func pickSize(p *steer.Pick) int {
	if p.Rung == steer.Fallback {
		return 1
	}
	return p.N
}

// giveFlattened answers with the addresses of the picked servers and of those that are names.
func (f *Farm) giveFlattened(q *query, farm *steer.Farm, family steer.Family, p *steer.Pick) *dns.Msg {
	if pickSize(p) > 0 {
		if first := targetOf(farm, p, 0); first != "" && f.zones.of(first) != nil {
			return f.flatten(q, first, p.TTL)
		}
	}
	var addrs []netip.Addr
	unknown, known := false, f.targets.load()
	for n := range pickSize(p) {
		name := targetOf(farm, p, n)
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
// (section 9.5). It returns nil where the service has servers with addresses.
func (f *Farm) aliasMode(q *query, farm *steer.Farm) *dns.Msg {
	if !isAlias(farm) && !farm.FallsBack(q.client.region) {
		return nil
	}
	p := f.decide(q, farm, steer.KindHTTPS, steer.AnyFamily)
	if pickSize(p) == 0 || q.qtype == dns.TypeHTTPS && !offersHTTPS(farm) {
		return q.nodata()
	}
	rr := dns.SVCB{Hdr: q.header(q.owner(), q.qtype, p.TTL), Target: targetOf(farm, p, 0)}
	if q.qtype == dns.TypeHTTPS {
		return q.answer([]dns.RR{&dns.HTTPS{SVCB: rr}})
	}
	return q.answer([]dns.RR{&rr})
}

// offersHTTPS reports whether a service, or one of its servers, speaks https.
func offersHTTPS(farm *steer.Farm) bool {
	speaks := func(s *steer.Server) bool { return farm.SpeaksHTTPS(s.Port) }
	return len(farm.Service.ALPN) > 0 || slices.ContainsFunc(farm.Servers, speaks)
}
