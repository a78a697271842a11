package farm

import (
	"cmp"
	"math"
	"net/netip"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// srvRecords are SRV records in the making, tier by tier, with the addresses of their targets beside.
type srvRecords struct {
	rrs, extra []dns.RR
	ttl        uint32
	lowest     int // the priority from which the next tier may count: below those before
}

// srv answers SRV: a record a server, in proportion to what the decision weighs them. Servers of further tiers follow with lower
// priorities, as far as the answer has room: clients fail over to them by themselves (RFC 2782).
func (f *Farm) srv(q *query, farm *steer.Farm) *dns.Msg {
	p := f.decide(q, farm, steer.KindSRV, steer.AnyFamily)
	if p.Rung == steer.Fallback {
		return f.fallBack(q, farm, p)
	}
	rs := srvRecords{ttl: p.TTL}
	rs.addTier(f, q, farm, p.Servers[:p.N])
	var room [steer.MaxAnswers]steer.Backup
	backups := steer.Backups(farm, &q.asks, p, room[:0])
	for len(backups) > 0 {
		var servers []int32
		for tier := backups[0].Tier; len(backups) > 0 && backups[0].Tier == tier; backups = backups[1:] {
			servers = append(servers, backups[0].Server)
		}
		rs.addTier(f, q, farm, servers)
	}
	if len(rs.rrs) == 0 {
		return q.nodata()
	}
	return f.answerWith(q, rs.rrs, rs.extra)
}

// addTier adds servers that stand for each other. A server's own priority counts where it is lower than those of the tiers before:
// of one priority, servers of the client's region are a tier before the others.
func (r *srvRecords) addTier(f *Farm, q *query, farm *steer.Farm, servers []int32) {
	most, next := 0.0, r.lowest
	for _, i := range servers {
		most = max(most, farm.State[i].Weight)
	}
	for _, i := range servers {
		s := farm.Servers[i]
		name, why := f.hostOf(q, farm, s)
		if cmp.Or(why, farm.Withheld(steer.SRV, s)) != steer.NotOmitted {
			continue // port 0 would send clients nowhere
		}
		priority := min(max(int(s.Priority), r.lowest), math.MaxUint16)
		r.add(q, &dns.SRV{
			Hdr: q.header(q.owner(), dns.TypeSRV, r.ttl), Priority: uint16(priority),
			Weight: srvWeight(farm.State[i].Weight, most), Port: s.Port, Target: name,
		}, s.Addresses, farm.Settings.TTL)
		next = max(next, priority+1)
	}
	r.lowest = next
}

// add adds a record, unless one with the same target and port is there.
func (r *srvRecords) add(q *query, rr *dns.SRV, addrs []netip.Addr, ttl uint32) {
	for _, other := range r.rrs {
		if other := other.(*dns.SRV); other.Target == rr.Target && other.Port == rr.Port {
			return
		}
	}
	r.rrs = append(r.rrs, rr)
	r.extra = append(r.extra, q.glue(rr.Target, addrs, ttl)...)
}

// srvWeight is at least 1: some clients never take a 0 while there is another (Go's net among them).
func srvWeight(weight, most float64) uint16 {
	if most <= 0 {
		return 1
	}
	return uint16(max(math.Round(math.MaxUint16*weight/most), 1))
}

// hostOf returns the name under which a server is found, and why there is none. What points to a name that is answered with the
// addresses of another host would send clients to another service's server.
func (f *Farm) hostOf(q *query, farm *steer.Farm, s *steer.Server) (string, steer.Omission) {
	return q.snap.HostOf(&q.zone.Zone, farm, s, func(ns *steer.NameServer) []netip.Addr { return f.addressesOf(q, ns) })
}

func (q *query) glue(name string, addrs []netip.Addr, ttl uint32) []dns.RR {
	var rrs addressRecords
	rrs.add(q.header(name, dns.TypeA, ttl), addrs, steer.V4)
	rrs.add(q.header(name, dns.TypeAAAA, ttl), addrs, steer.V6)
	return rrs.rrs
}
