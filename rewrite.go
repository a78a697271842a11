package farm

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/nonwriter"
	"github.com/miekg/dns"
)

// serveRewritten lets the next plugin answer, and steers its answer if it is about a service.
func (f *Farm) serveRewritten(q *query) (int, error) {
	if familyOf(q.qtype) == 0 && !steersTargets(q.qtype) || q.r.Opcode != dns.OpcodeQuery {
		return f.pass(q)
	}
	nw := nonwriter.New(q.w)
	rcode, err := plugin.NextOrFailure(f.Name(), f.Next, q.ctx, nw, q.r)
	if err != nil || nw.Msg == nil || !plugin.ClientWrite(rcode) {
		return rcode, err
	}
	m := nw.Msg
	q.outcome = outcomePassed
	if f.identify(q) && steerable(m, q.r) {
		m = f.steered(q, m)
	}
	q.zone.counted.count(q.ctx, q.zone.Name, q.outcome)
	return rcode, q.w.WriteMsg(m)
}

// steerable is whether an answer may be changed. One that is signed, or that a validating upstream vouches for to a
// client that asked, may not.
func steerable(m, r *dns.Msg) bool {
	if m.Rcode != dns.RcodeSuccess || m.Truncated || len(m.Question) != 1 {
		return false
	}
	opt := r.IsEdns0()
	if m.AuthenticatedData && (r.AuthenticatedData || opt != nil && opt.Do()) {
		return false
	}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype == dns.TypeRRSIG {
			return false
		}
	}
	return true
}

// steered returns the answer as the decision has it, or the answer itself if it is not about a service.
func (f *Farm) steered(q *query, m *dns.Msg) *dns.Msg {
	if steersTargets(q.qtype) {
		return f.steeredTargets(q, m)
	}
	owner := q.end(m)
	addrs, at := addressesAt(m, owner, q.qtype)
	if len(addrs) == 0 {
		return m
	}
	f.load(q)
	farm := f.farmOf(q, owner)
	if farm == nil || f.tooStale(q) {
		return m
	}
	order := make([]int, len(addrs))
	kept := order[:f.among(q, farm, addrs, order)]
	if len(kept) == 0 {
		return m
	}
	q.outcome = outcomeRewritten
	f.noteKept(q, farm, addrs, kept)
	for i := range kept {
		kept[i] = at[kept[i]]
	}
	out := reduced(m, at, kept, q.ttl(ttlOf(farm)))
	q.scoped(out, scopeOf(farm, &q.client, farm.Service.Policy == steer.Sticky))
	return out
}

// noteKept counts the servers whose addresses stayed in the answer, and tells other plugins of them. Strangers are
// nobody's.
func (f *Farm) noteKept(q *query, farm *steer.Farm, addrs []netip.Addr, kept []int) {
	p := &q.pick
	for _, i := range kept {
		s := int32(farm.ByAddress(addrs[i]))
		if s >= 0 && p.N < len(p.Servers) && !slices.Contains(p.Servers[:p.N], s) {
			p.Servers[p.N] = s
			p.N++
		}
	}
	f.memory.picks.add(farm, p)
	f.describe(q, farm, p)
}

// reduced returns a copy of an answer that has, of its records at some places, only those that are kept, last and in
// this order. The message and its records belong to whoever made them, a cache or a zone: they are not touched.
func reduced(m *dns.Msg, at, kept []int, ttl uint32) *dns.Msg {
	out := m.Copy()
	out.AuthenticatedData = false
	rrs := make([]dns.RR, 0, len(out.Answer))
	for i, rr := range out.Answer {
		if !slices.Contains(at, i) {
			rrs = append(rrs, rr)
		}
	}
	for _, i := range kept {
		rrs = append(rrs, out.Answer[i])
	}
	for _, rr := range rrs {
		rr.Header().Ttl = min(rr.Header().Ttl, ttl)
	}
	out.Answer = rrs
	return out
}

// ttlOf is what a pick of the farm's own would carry.
func ttlOf(farm *steer.Farm) uint32 {
	if farm.Busy {
		return farm.Settings.TTL
	}
	return farm.Settings.MaxTTL
}

// among decides, in the terms that a pick of our own would have.
func (f *Farm) among(q *query, farm *steer.Farm, addrs []netip.Addr, order []int) int {
	kind := steer.KindA
	if q.qtype == dns.TypeAAAA {
		kind = steer.KindAAAA
	}
	sq := steer.Query{
		Client: q.client.prefix,
		Region: q.client.region,
		Family: familyOf(q.qtype),
		Chance: f.memory.learned.Chance(farm, q.client.prefix, kind, q.now),
	}
	return steer.Among(farm, &sq, addrs, order)
}

// scoped says in the answer to a query with a subnet what it holds for: no more than what the next plugin said of its.
func (q *query) scoped(m *dns.Msg, scope uint8) {
	if q.subnet == nil {
		return
	}
	opt := m.IsEdns0()
	if opt == nil {
		opt = &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		m.Extra = append(m.Extra, opt)
	}
	for _, o := range opt.Option {
		if s, ok := o.(*dns.EDNS0_SUBNET); ok {
			s.SourceScope = max(s.SourceScope, scope)
			return
		}
	}
	back := *q.subnet
	back.SourceScope = scope
	opt.Option = append(opt.Option, &back)
}

// farmOf returns the farm of the service that an answer is about: by the name that was asked for, or by the one that
// its aliases lead to, with or without the type that stands before it.
func (f *Farm) farmOf(q *query, owner string) *steer.Farm {
	for _, name := range []string{q.name, owner, steer.HostBase(q.name), steer.HostBase(owner)} {
		if match, farm, _ := q.snap.Find(name); match == steer.ServiceMatch {
			return farm
		}
	}
	return nil
}

// end returns the name that the answer's aliases lead to. There are no more steps than records.
func (q *query) end(m *dns.Msg) string {
	name := q.name
	for range m.Answer {
		next := name
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				next = strings.ToLower(c.Target)
			}
		}
		if next == name {
			break
		}
		name = next
	}
	return name
}

// addressesAt returns the addresses of the owner in an answer, and where their records stand.
func addressesAt(m *dns.Msg, owner string, qtype uint16) (addrs []netip.Addr, at []int) {
	for i, rr := range m.Answer {
		if rr.Header().Rrtype != qtype || !strings.EqualFold(rr.Header().Name, owner) {
			continue
		}
		if a, ok := addressOf(rr); ok {
			addrs, at = append(addrs, a), append(at, i)
		}
	}
	return addrs, at
}

func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return a.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}
