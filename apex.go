package farm

import (
	"net"
	"net/netip"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// What the SOA says to those who transfer zones does not matter, for nobody may. Its minimum is how long a resolver
// remembers that there is nothing: short, for a service may come any moment.
const (
	soaRefresh = 7200
	soaRetry   = 1800
	soaExpire  = 86400
	soaMinimum = 5
	nsTTL      = 300 // short enough to move a name server within minutes
)

// apex answers SOA and NS at the top of the zone.
func (f *Farm) apex(q *query) *dns.Msg {
	if q.qtype == dns.TypeSOA {
		return q.answer([]dns.RR{q.soa(q.owner())})
	}
	var rrs, extra []dns.RR
	for i := range q.zone.ns {
		ns := &q.zone.ns[i]
		rrs = append(rrs, &dns.NS{Hdr: q.header(q.owner(), dns.TypeNS, nsTTL), Ns: ns.name})
		extra = append(extra, q.glue(ns.name, f.addressesOf(q, ns), nsTTL)...)
	}
	m := q.answer(rrs)
	m.Extra = append(extra, m.Extra...)
	return m
}

func (q *query) soa(owner string) dns.RR {
	return &dns.SOA{
		Hdr: q.header(owner, dns.TypeSOA, soaMinimum), Ns: q.zone.ns[0].name, Mbox: q.zone.mailbox, Serial: q.snap.Serial,
		Refresh: soaRefresh, Retry: soaRetry, Expire: soaExpire, Minttl: soaMinimum,
	}
}

// nameServer answers for the name of a name server.
func (f *Farm) nameServer(q *query, ns *nameServer) *dns.Msg {
	return f.hostAnswer(q, f.addressesOf(q, ns), nsTTL)
}

// addressesOf returns where a name server is: where the Corefile says; or else, if it is in the zone, where the query
// found it; or, if it came in on a socket of every address, the addresses of this host.
func (f *Farm) addressesOf(q *query, ns *nameServer) []netip.Addr {
	if len(ns.addrs) > 0 || !steer.IsBelow(ns.name, q.zone.name) {
		return ns.addrs
	}
	if a := remoteAddr(q.w.LocalAddr()); a.IsValid() && !a.IsUnspecified() {
		return []netip.Addr{a}
	}
	return f.local
}

// maxLocal bounds the addresses of this host that a name server is said to have.
const maxLocal = 4

// localAddresses returns the addresses of this host that others may reach; of a host that has none, loopback.
func localAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var global, loopback []netip.Addr
	for _, a := range list {
		n, err := netip.ParsePrefix(a.String())
		switch a := n.Addr(); {
		case err != nil:
		case a.IsLoopback():
			loopback = append(loopback, a)
		case a.IsGlobalUnicast():
			global = append(global, a)
		}
	}
	if len(global) == 0 {
		global = loopback
	}
	return global[:min(len(global), maxLocal)]
}
