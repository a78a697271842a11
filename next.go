package farm

import (
	"context"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/nonwriter"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// falls reports whether the next plugin may have data at the name of a query: labels before the name are ours alone.
func (f *Farm) falls(q *query) bool {
	return f.mayHave(q.name) && (q.hops > 0 || strings.EqualFold(q.name, q.question()))
}

// mayHave reports whether the next plugin is asked what it has at a name of ours.
func (f *Farm) mayHave(name string) bool { return f.Next != nil && f.conf.fall.Through(name) }

// unmade answers for a type that farm makes no records of at a name that it has: with what the next plugin has there, so
// that a zone has its MX, TXT and CAA; else with NODATA, for the name exists.
func (f *Farm) unmade(q *query) *dns.Msg {
	switch {
	case q.qtype == dns.TypeANY:
		return q.answerAny()
	case isOfFarm(q.qtype) || !f.falls(q):
		return q.nodata()
	}
	return f.orNoData(q, q.qtype)
}

// inner answers for a name at which farm has nothing, and something below: with whatever the next plugin has there, an alias, too.
func (f *Farm) inner(q *query) *dns.Msg {
	if q.qtype == dns.TypeANY || isOfFarm(q.qtype) && q.qtype != dns.TypeCNAME || !f.falls(q) {
		return q.nodata()
	}
	return f.orNoData(q, q.qtype, dns.TypeCNAME)
}

// orNoData answers with what the next plugin has, if that is of one of the types.
func (f *Farm) orNoData(q *query, types ...uint16) *dns.Msg {
	m := f.askNext(q)
	switch {
	case m == nil:
	case m.Rcode == dns.RcodeServerFailure && len(m.Answer) == 0:
		// Whether there is a CAA record is not known then, and must not be denied.
		return q.fail(ede{dns.ExtendedErrorCodeOther, "next plugin failed"})
	case hasType(m, q.name, types):
		return q.fromNext(m)
	}
	return q.nodata()
}

// isOfFarm reports whether farm alone says what there is of a type at its names: it settles that no zone begins there, that the
// name is no alias, and what DNSSEC says of it.
func isOfFarm(qtype uint16) bool {
	switch qtype {
	case dns.TypeSOA, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeDNAME, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
		return true
	}
	return false
}

// hasType reports whether a message answers with records of one of the types at a name. A CNAME is no answer where farm has
// data: beside these none may stand.
func hasType(m *dns.Msg, name string, types []uint16) bool {
	return slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return slices.Contains(types, rr.Header().Rrtype) && strings.EqualFold(rr.Header().Name, name)
	})
}

// fromNext makes the next plugin's answer the reply. Its name servers are left out: the zone's are those of farm. The message
// belongs to whoever made it, a cache or a zone, and is not changed.
func (q *query) fromNext(m *dns.Msg) *dns.Msg {
	if q.hops > 0 {
		return q.adopt(m)
	}
	q.outcome = outcomeNext
	out := *m
	out.Ns = ofDenial(m.Ns)
	return &out
}

// nextHas reports whether a name that only a wildcard service matches stands in the next plugin's zone, or below a name that
// does: then the wildcard is not for it (RFC 4592 sections 2.2.1 and 3.3.1). One name tells: the first one below the
// wildcard's base, without which there is none further down (RFC 8020). It stands there if it is answered otherwise than a
// name that does not, for which the wildcard itself is taken: a wildcard of that zone matches both.
func (f *Farm) nextHas(q *query, farm *steer.Farm, name string) bool {
	base, wildcard := strings.CutPrefix(farm.Service.Name, "*.")
	if !wildcard || farm.Service.Name == name {
		return false
	}
	found := f.probeNext(q, steer.ChildOf(base, name))
	return found != foundNothing && found != f.probeNext(q, farm.Service.Name)
}

// found is what the next plugin has at a name.
type found uint8

const (
	foundNothing found = iota
	foundNoData
	foundAnswer
	foundReferral
)

// probeNext asks the next plugin for what it has in memory: the context is over already, so that none waits for the network
// on a lookup that farm can answer.
func (f *Farm) probeNext(q *query, name string) found {
	ctx, cancel := context.WithCancel(q.ctx)
	cancel()
	state := request.Request{W: q.w, Req: q.r}
	return whatFound(f.askNextFor(ctx, q.w, state.NewWithQuestion(name, q.qtype).Req))
}

func whatFound(m *dns.Msg) found {
	has := func(rrs []dns.RR, rrtype uint16) bool {
		return slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == rrtype })
	}
	switch {
	case m == nil:
		return foundNothing
	case len(m.Answer) > 0: // also if an alias leads to nothing, or beyond what is in memory
		return foundAnswer
	case m.Rcode != dns.RcodeSuccess:
		return foundNothing
	case has(m.Ns, dns.TypeSOA):
		return foundNoData
	case has(m.Ns, dns.TypeNS):
		return foundReferral
	}
	return foundNothing
}

// askNext returns what the next plugin answers, nil if nothing is known there.
func (f *Farm) askNext(q *query) *dns.Msg {
	r := q.r
	if q.hops > 0 {
		state := request.Request{W: q.w, Req: q.r}
		r = state.NewWithQuestion(q.name, q.qtype).Req
	}
	return f.askNextFor(q.ctx, q.w, r)
}

// askNextFor returns SERVFAIL where the next plugin failed, and nil where it is not there or wrote nothing.
func (f *Farm) askNextFor(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) *dns.Msg {
	if f.Next == nil {
		return nil
	}
	nw := nonwriter.New(w)
	rcode, err := plugin.NextOrFailure(f.Name(), f.Next, ctx, nw, r)
	if nw.Msg == nil && (err != nil || rcode == dns.RcodeServerFailure) {
		return new(dns.Msg).SetRcode(r, dns.RcodeServerFailure)
	}
	return nw.Msg
}
