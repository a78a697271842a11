package farm

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// svcb answers SVCB and HTTPS. Where the servers of the service have one port, it is one record that points to the name itself
// and has the picked servers' addresses as hints: browsers pass over records that point elsewhere (Chromium makes no
// second lookup), and the name's A and AAAA are of the same servers.
func (f *Farm) svcb(q *query, farm *steer.Farm) *dns.Msg {
	p := f.decide(q, farm, steer.KindHTTPS, farm.FamilyFor(q.recordType()))
	switch {
	case p.Rung == steer.Fallback:
		return f.fallBack(q, farm, p)
	case p.N > 0 && farm.OneEndpoint(q.recordType()):
		return f.svcbOfName(q, farm, p)
	}
	return f.svcbOfServers(q, farm, p)
}

// recordType is the question's type as decisions know it.
func (q *query) recordType() steer.RecordType {
	switch q.qtype {
	case dns.TypeA, dns.TypeAAAA:
		return steer.Address
	case dns.TypeCNAME:
		return steer.CNAME
	case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
		return steer.Proof
	case dns.TypeSRV:
		return steer.SRV
	case dns.TypeSVCB:
		return steer.SVCB
	case dns.TypeHTTPS:
		return steer.HTTPS
	}
	return steer.OtherType
}

// svcbOfName is the one record of a service whose servers have one port.
func (f *Farm) svcbOfName(q *query, farm *steer.Farm, p *steer.Pick) *dns.Msg {
	port := farm.Servers[p.Servers[0]].Port
	if farm.Withheld(q.recordType(), farm.Servers[p.Servers[0]]) != steer.NotOmitted {
		return q.nodata()
	}
	var addrs []netip.Addr
	for _, i := range p.Servers[:p.N] {
		for _, a := range farm.Servers[i].Addresses {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	return q.answer([]dns.RR{q.serviceMode(".", p.TTL, q.grantParameters(q.parameters(farm, port, addrs)))})
}

// svcbOfServers makes a record a server, each with a port of its own. They carry no weights, and a priority would send all the
// clients of a resolver to one server: of equal priorities each client takes one by chance (RFC 9460 section 2.4.1).
// The shares are in which servers are picked.
func (f *Farm) svcbOfServers(q *query, farm *steer.Farm, p *steer.Pick) *dns.Msg {
	var rrs, extra []dns.RR
	for _, i := range p.Servers[:p.N] {
		s := farm.Servers[i]
		name, why := f.hostOf(q, farm, s)
		if cmp.Or(why, farm.Withheld(q.recordType(), s)) != steer.NotOmitted {
			continue
		}
		rrs = append(rrs, q.serviceMode(name, p.TTL, q.grantParameters(q.parameters(farm, s.Port, s.Addresses))))
		extra = append(extra, q.glue(name, s.Addresses, farm.Settings.TTL)...)
	}
	if len(rrs) == 0 {
		return q.nodata()
	}
	return f.answerWith(q, rrs, extra)
}

func (q *query) serviceMode(target string, ttl uint32, kv []dns.SVCBKeyValue) dns.RR {
	rr := dns.SVCB{Hdr: q.header(q.owner(), q.qtype, ttl), Priority: 1, Target: target, Value: kv}
	if q.qtype == dns.TypeHTTPS {
		return &dns.HTTPS{SVCB: rr}
	}
	return &rr
}

// parameters are in the order of their keys. An HTTPS record says its port if it is not that of the name; of other schemes the
// port is not known, so that a port that the server has is always said.
func (q *query) parameters(farm *steer.Farm, port uint16, addrs []netip.Addr) []dns.SVCBKeyValue {
	var kv []dns.SVCBKeyValue
	if len(farm.Service.ALPN) > 0 {
		kv = append(kv, &dns.SVCBAlpn{Alpn: farm.Service.ALPN})
	}
	if port != 0 && (q.qtype != dns.TypeHTTPS || port != farm.HTTPSPort()) {
		kv = append(kv, &dns.SVCBPort{Port: port})
	}
	if hint := hints(addrs, steer.V4); hint != nil {
		kv = append(kv, &dns.SVCBIPv4Hint{Hint: hint})
	}
	if hint := hints(addrs, steer.V6); hint != nil {
		kv = append(kv, &dns.SVCBIPv6Hint{Hint: hint})
	}
	return kv
}

func hints(addrs []netip.Addr, family steer.Family) (list []net.IP) {
	for _, a := range addrs {
		if steer.FamilyOf(a) == family {
			list = append(list, a.Unmap().AsSlice())
		}
	}
	return list
}
