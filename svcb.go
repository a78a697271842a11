package farm

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// svcb answers SVCB and HTTPS. Where the servers of the service have one port, it is one record that points to the name itself
// and has the picked servers' addresses as hints: browsers pass over records that point elsewhere (Chromium makes no
// second lookup), and the name's A and AAAA are of the same servers.
func (f *Farm) svcb(q *query, farm *steer.Farm) *dns.Msg {
	p := f.decide(q, farm, steer.KindHTTPS, steer.AnyFamily)
	switch {
	case p.Rung == steer.Fallback:
		return f.fallBack(q, farm, p)
	case p.N > 0 && q.isOneEndpoint(farm):
		return f.svcbOfName(q, farm, p)
	}
	return f.svcbOfServers(q, farm, p)
}

// isOneEndpoint reports whether the addresses of a service, whichever are picked, are reached at one port. All its servers
// count: a client may have the record of one pick and the addresses of another.
func (q *query) isOneEndpoint(farm *steer.Farm) bool {
	ports := farm.Ports()
	return farm.Families()&steer.Named == 0 && !slices.ContainsFunc(ports, func(port uint16) bool {
		return q.portOf(farm, port) != q.portOf(farm, ports[0])
	})
}

// portOf is the port at which clients reach a server with a port: for HTTPS, that of the scheme where none is said. Of other
// schemes it is not known: 0.
func (q *query) portOf(farm *steer.Farm, port uint16) uint16 {
	if port == 0 && q.qtype == dns.TypeHTTPS {
		return httpsPort(farm.Service.Name)
	}
	return port
}

const defaultHTTPS = 443

// httpsPort is the port that HTTPS records of a name are about: another one than 443 is part of the name, as in
// _8443._https.www.example.org (RFC 9460 section 9.1).
func httpsPort(name string) uint16 {
	label, above := steer.CutLabel(name)
	digits, ok := strings.CutPrefix(label, "_")
	if !ok || !strings.HasPrefix(above, "_https.") {
		return defaultHTTPS
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return defaultHTTPS
	}
	return uint16(port)
}

// speaksHTTPS reports whether anything says that a server speaks https: an HTTPS record sends browsers there, whatever the server
// speaks (RFC 9460 section 9.5). The service's protocols do, and the port of https or the one that is in the name.
func speaksHTTPS(service *steer.Service, port uint16) bool {
	return len(service.ALPN) > 0 || port == defaultHTTPS || port == httpsPort(service.Name)
}

// svcbOfName is the one record of a service whose servers have one port.
func (f *Farm) svcbOfName(q *query, farm *steer.Farm, p *steer.Pick) *dns.Msg {
	port := farm.Servers[p.Servers[0]].Port
	if q.qtype == dns.TypeHTTPS && !speaksHTTPS(&farm.Service, port) {
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
		name, ok := f.hostOf(q, farm, s)
		if !ok || q.qtype == dns.TypeHTTPS && !speaksHTTPS(&farm.Service, s.Port) {
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
	if port != 0 && (q.qtype != dns.TypeHTTPS || port != httpsPort(farm.Service.Name)) {
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

// tellsPorts reports whether the answer to a query tells servers at one address apart by their ports.
func (q *query) tellsPorts(farm *steer.Farm) bool {
	switch q.qtype {
	case dns.TypeSRV:
		return true
	case dns.TypeSVCB, dns.TypeHTTPS:
		return !q.isOneEndpoint(farm)
	}
	return false
}
