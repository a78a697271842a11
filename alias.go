package farm

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/pkg/upstream"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// maxHops bounds the aliases that are followed in one answer, and how often CoreDNS is asked again for one query.
const maxHops = 8

// upstreamTimeout is how long a target that is not ours is looked for. A try of *forward* that began before its end takes two
// seconds, and a stub resolver waits five for an answer.
const upstreamTimeout = 3 * time.Second

// aliases are the targets that are followed for one query.
type aliases struct {
	seen   [maxHops]string
	hops   int
	target string // the owner of the records that are made now; empty is the name of the question
	flat   bool   // whether they are to be addresses alone
}

// answerAlias answers with a CNAME to the first server's name or to the fallback.
func (f *Farm) answerAlias(q *query, farm *steer.Farm) *dns.Msg {
	p := f.decide(q, farm, kindOf(q.qtype), steer.AnyFamily)
	if target := f.target(q, farm, p); target != "" {
		return f.alias(q, target, p.TTL)
	}
	return q.nodata()
}

// kindOf tells the questions of one lookup apart. Types that browsers and stub resolvers do not ask for share a kind.
func kindOf(qtype uint16) steer.Kind {
	switch qtype {
	case dns.TypeA, dns.TypeCNAME:
		return steer.KindA
	case dns.TypeAAAA:
		return steer.KindAAAA
	case dns.TypeHTTPS, dns.TypeSVCB:
		return steer.KindHTTPS
	}
	return steer.KindSRV
}

// alias answers with a CNAME, and beside it with what its target has of the type (RFC 1034 section 4.3.2, step 3a).
func (f *Farm) alias(q *query, target string, ttl uint32) *dns.Msg {
	cname := q.cname(target, ttl)
	if q.qtype == dns.TypeCNAME || q.qtype == dns.TypeANY {
		return q.answer([]dns.RR{cname})
	}
	m := f.follow(q, target)
	if m == nil {
		return q.answer([]dns.RR{cname})
	}
	m.Authoritative = true // that is of the first name (RFC 1035 section 4.1.1)
	m.Answer = append([]dns.RR{cname}, m.Answer...)
	return m
}

// follow returns the answer for the target of an alias; nil leaves it to the client. Our own names are looked up in the
// same snapshot. Others are asked of CoreDNS itself, as *file* does, if the client wants recursion.
func (f *Farm) follow(q *query, target string) *dns.Msg {
	if q.hops == maxHops || strings.EqualFold(target, q.question()) || slices.Contains(q.seen[:q.hops], target) {
		return nil
	}
	zone := f.zones.of(target)
	if zone == nil {
		if !q.r.RecursionDesired {
			return nil
		}
		return f.askServer(q, target)
	}
	q.seen[q.hops] = target
	name, zoneBefore, owner := q.name, q.zone, q.target
	q.name, q.zone, q.target = target, zone, target
	q.hops++
	m := f.lookupTarget(q)
	q.hops--
	q.name, q.zone, q.target = name, zoneBefore, owner
	return m
}

// lookupTarget answers for a name of ours that an alias leads to. One that we deny may be in a zone of another server
// block, below this one.
func (f *Farm) lookupTarget(q *query) *dns.Msg {
	m := f.lookupWithoutLevel(q)
	switch {
	case m == nil && q.outcome == outcomeNext:
		m = q.adopt(f.askNext(q))
	case m == nil:
		m = q.reply(outcomeServFail, dns.RcodeServerFailure)
	}
	if m == nil || m.Rcode == dns.RcodeNameError {
		return cmp.Or(f.askServer(q, q.name), m)
	}
	return m
}

// lookupWithoutLevel looks a target up as best effort: the client's level is of the service that it asked for.
func (f *Farm) lookupWithoutLevel(q *query) *dns.Msg {
	if q.level == nil {
		return f.lookup(q) // The wish may be the one that all queries share, and is not written to.
	}
	level, asks := q.level, q.asks
	q.level, q.asks = nil, steer.Query{}
	m := f.lookup(q)
	q.level, q.asks = level, asks
	return m
}

// askServer asks CoreDNS itself, from its first plugin on, for the type of the query at another name. It returns nil
// if that is not to be had: then the CNAME alone is the answer.
func (f *Farm) askServer(q *query, name string) *dns.Msg {
	asked, _ := q.ctx.Value(dnsserver.LoopKey{}).(int)
	if asked >= maxHops {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithValue(q.ctx, dnsserver.LoopKey{}, asked+1), upstreamTimeout)
	defer cancel()
	m, err := upstream.New().Lookup(ctx, request.Request{W: q.w, Req: q.r}, name, q.qtype)
	if err != nil {
		return nil // There is no server: a plugin's test, or a program that calls plugins.
	}
	return q.adopt(m)
}

// adopt makes a reply of what others answered for the target of an alias. The rcode is the target's (RFC 6604 section
// 3); where that is a refusal there is nobody here to ask, and the client goes on by itself: nil.
func (q *query) adopt(other *dns.Msg) *dns.Msg {
	if other == nil {
		return nil
	}
	o := outcomeAnswer
	switch other.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		o = outcomeNXDomain
	case dns.RcodeServerFailure:
		o = outcomeServFail
	default:
		return nil
	}
	m := q.reply(o, other.Rcode)
	m.Truncated = other.Truncated
	m.Answer = slices.Clone(other.Answer)
	if len(m.Answer) == 0 || other.Rcode == dns.RcodeNameError {
		m.Ns = ofDenial(other.Ns)
	}
	q.scope = max(q.scope, scopeSaid(other))
	return q.finish(m)
}

// ofDenial returns the records of an authority section that say that there is nothing.
func ofDenial(rrs []dns.RR) (denial []dns.RR) {
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeNS {
			denial = append(denial, rr)
		}
	}
	return denial
}

// scopeSaid is the scope of the client subnet of an answer, 0 if it has none.
func scopeSaid(m *dns.Msg) uint8 {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*dns.EDNS0_SUBNET); ok {
				return s.SourceScope
			}
		}
	}
	return 0
}
