package farm

import (
	"context"
	"time"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

// ServeDNS implements plugin.Handler. It takes no lock, and answers from the snapshot that was current when the query came
// in. It asks the next plugin, and CoreDNS itself where an alias leads elsewhere.
func (f *Farm) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	q := newQuery(ctx, w, r)
	rcode, err := f.serveQuery(q)
	q.release()
	return rcode, err
}

func (f *Farm) serveQuery(q *query) (int, error) {
	q.zone = f.zoneOf(q)
	if q.zone == nil || q.r.Question[0].Qclass != dns.ClassINET {
		return f.pass(q)
	}
	if f.conf.rewrite {
		return f.serveRewritten(q)
	}
	m := f.serve(q)
	q.zone.counted.count(q.ctx, q.zone.Name, q.outcome)
	switch {
	case m != nil:
	case q.outcome == outcomeNext:
		return f.pass(q)
	default:
		return q.outcome.rcode(), nil
	}
	return dns.RcodeSuccess, q.w.WriteMsg(m)
}

// zoneOf finds the zone that answers. A DS record belongs to the zone above the one that it is about.
func (f *Farm) zoneOf(q *query) *zone {
	z := f.zones.of(q.name)
	if z != nil && q.qtype == dns.TypeDS && z.Name == q.name {
		if above := f.zones.above(q.name); above != nil {
			return above
		}
	}
	return z
}

// pass hands the query on. Where nobody is next, farm is the authority, and the name is not its own.
func (f *Farm) pass(q *query) (int, error) {
	if f.Next == nil {
		return dns.RcodeRefused, nil
	}
	return plugin.NextOrFailure(f.Name(), f.Next, q.ctx, q.w, q.r)
}

// serve makes the reply to a query in a zone of ours. Without one, q.outcome says what to do.
func (f *Farm) serve(q *query) *dns.Msg {
	switch {
	case q.r.Opcode != dns.OpcodeQuery:
		return q.refuse(outcomeNotImplemented)
	case q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR:
		return q.refuse(outcomeRefused)
	case !f.identify(q), f.conf.qos != nil && !f.readQoS(q):
		return q.refuse(outcomeFormErr)
	}
	f.load(q)
	switch {
	case f.tooStale(q):
		return q.fail(ede{dns.ExtendedErrorCodeInvalidData, "services database out of reach for too long"})
	case f.notReady(q):
		return q.fail(notRead)
	}
	return f.lookup(q)
}

// identify reads who asks, and whether the query says so in due form.
func (f *Farm) identify(q *query) (ok bool) {
	q.opt = q.r.IsEdns0()
	q.subnet, ok = subnetOf(q.opt)
	q.client = clientOf(q.w)
	q.client.believe(q.subnet, f.conf.believed)
	q.client.place(q.ctx, f.regions, f.conf.labels)
	return ok
}

func (f *Farm) load(q *query) {
	q.snap, q.now = f.source.Load(), f.source.Now()
	if q.snap.Stale {
		q.reason = ede{dns.ExtendedErrorCodeStaleAnswer, "services database out of reach"}
	}
}

func (f *Farm) tooStale(q *query) bool {
	return f.conf.maxStale > 0 && q.snap.Stale && q.now-q.snap.Since > f.conf.maxStale.Milliseconds()
}

// notReady is only ever so before the first read of the database, and if the Corefile names no service itself.
func (f *Farm) notReady(q *query) bool {
	return q.snap.Stale && len(q.snap.Farms()) == 0
}

// notRead is said where the database, once it is read, may say otherwise.
var notRead = ede{dns.ExtendedErrorCodeNotReady, "services database not read yet"}

// lookup finds what the name is. What is not there before the database was read is not denied: resolvers would believe
// that, and of SERVFAIL they go on to another name server.
func (f *Farm) lookup(q *query) *dns.Msg {
	if q.name == q.zone.Name && (q.qtype == dns.TypeSOA || q.qtype == dns.TypeNS) {
		return f.apex(q)
	}
	if farm := f.explained(q); farm != nil {
		return f.explain(q, farm)
	}
	match, farm, server := q.snap.FindIn(&q.zone.Zone, q.name)
	switch {
	case match == steer.NameServerMatch:
		return f.nameServer(q, q.zone.NameServer(q.name))
	case match == steer.ServiceMatch && q.snap.NotRead(farm):
		return q.fail(notRead)
	case match == steer.ServiceMatch && !(f.falls(q) && f.nextHas(q, farm, q.name)):
		if q.garbled && q.hops == 0 {
			q.reason = garbledLabels
			return q.nodata()
		}
		if q.wish != &noWish && q.hops == 0 && !f.entitle(q, farm) {
			return q.prohibit()
		}
		return f.service(q, farm)
	case match == steer.ServerMatch:
		return f.server(q, farm, farm.Servers[server])
	case q.name == q.zone.Name:
		return f.unmade(q)
	case match == steer.InnerMatch:
		return f.inner(q)
	case f.conf.fall.Through(q.name):
		q.outcome = outcomeNext
		return nil
	case q.snap.Unread:
		return q.fail(notRead)
	}
	return q.nxdomain()
}

// service answers for a name that is a service.
func (f *Farm) service(q *query, farm *steer.Farm) *dns.Msg {
	if q.asksGrant && q.hops == 0 {
		return f.grant(q, farm)
	}
	switch farm.FormOf(q.recordType(), f.flattens(q, farm), q.client.region) {
	case steer.AddressForm:
		return f.addresses(q, farm, kindOf(q.qtype), familyOf(q.qtype))
	case steer.AliasForm:
		return f.answerAlias(q, farm)
	case steer.SRVForm:
		return f.srv(q, farm)
	case steer.SVCBForm:
		return f.svcb(q, farm)
	case steer.AliasModeForm:
		return f.aliasMode(q, farm)
	}
	return f.unmade(q)
}

// decide picks the servers for a query. The questions of one lookup are given the same servers.
func (f *Farm) decide(q *query, farm *steer.Farm, kind steer.Kind, family steer.Family) *steer.Pick {
	p, sq := &q.pick, &q.asks
	sq.Client, sq.Region, sq.Family, sq.Now = q.client.prefix, q.client.region, family, q.now
	sq.Ports = farm.TellsPorts(q.recordType())
	if q.level != nil {
		q.personal(sq)
	}
	sq.Chance = f.memory.learned.ChanceOf(farm, sq.WhoAsks(), kind, q.now)
	f.pick(q, farm, sq, p)
	if p.LeadsToNames(farm) && f.flattens(q, farm) {
		p.TTL = f.flattenedTTL(q, farm, p)
	}
	p.TTL = q.ttl(q.grantTTL(p.TTL)) // what is learned goes by how long the answer stands
	f.memory.learned.Note(farm, sq, p)
	f.note(q, farm, p)
	return p
}

// pick makes the decision. One in a few is timed, of those that wait for nothing.
func (f *Farm) pick(q *query, farm *steer.Farm, sq *steer.Query, p *steer.Pick) {
	switch {
	case q.level != nil && needsGrant(q.level):
		f.decideAt(q, farm, sq, p)
	case sq.Chance%sampled != 0:
		steer.DecideInto(p, farm, f.memory.learned, sq)
	default:
		start := time.Now()
		steer.DecideInto(p, farm, f.memory.learned, sq)
		decisionSeconds.Observe(time.Since(start).Seconds())
	}
}

// note leaves what the pick means for the reply, for metrics, and for other plugins.
func (f *Farm) note(q *query, farm *steer.Farm, p *steer.Pick) {
	rungs[p.Rung].Inc()
	methods[p.By].Inc()
	f.memory.picks.add(farm, p)
	f.describe(q, farm, p)
	if p.Rung == steer.Nothing {
		q.reason = ede{dns.ExtendedErrorCodeOther, "no server available"}
	}
	if p.N > 0 {
		q.scope = max(q.scope, scopeOf(farm, &q.client, p.Personal))
	}
}
