package farm

import (
	"net"
	"net/netip"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// soaTimes are the times of an SOA, in seconds.
type soaTimes struct{ refresh, retry, expire, minimum uint32 }

// defaultSOA has what RFC 1912 section 2.2 recommends for secondaries. None can be: transfers are refused. But tools that check
// zones look at it. The minimum is how long resolvers remember that there is nothing (RFC 2308): short, for a service, or the
// first server of a family, may come at any moment.
var defaultSOA = soaTimes{refresh: 4 * 3600, retry: 3600, expire: 14 * 24 * 3600, minimum: 5}

// nsTTL is short enough to move a name server within minutes.
const nsTTL = 300

// apex answers SOA and NS at the top of the zone.
func (f *Farm) apex(q *query) *dns.Msg {
	if q.qtype == dns.TypeSOA {
		return q.answer([]dns.RR{q.soa(q.owner())})
	}
	var rrs, extra []dns.RR
	for i := range q.zone.NS {
		ns := &q.zone.NS[i]
		rrs = append(rrs, &dns.NS{Hdr: q.header(q.owner(), dns.TypeNS, nsTTL), Ns: ns.Name})
		extra = append(extra, q.glue(ns.Name, f.addressesOf(q, ns), nsTTL)...)
	}
	return f.answerWith(q, rrs, extra)
}

func (q *query) soa(owner string) dns.RR {
	t := &q.zone.times
	return &dns.SOA{
		Hdr: q.header(owner, dns.TypeSOA, t.minimum), Ns: q.zone.NS[0].Name, Mbox: q.zone.mailbox, Serial: q.snap.Serial,
		Refresh: t.refresh, Retry: t.retry, Expire: t.expire, Minttl: t.minimum,
	}
}

// nameServer answers for the name of a name server.
func (f *Farm) nameServer(q *query, ns *steer.NameServer) *dns.Msg {
	return f.hostAnswer(q, f.addressesOf(q, ns), nsTTL)
}

// addressesOf returns where a name server is: where the Corefile says; or else, if it is in the zone, where the query
// found it; or, if it came in on a socket of every address, the addresses of this host.
func (f *Farm) addressesOf(q *query, ns *steer.NameServer) []netip.Addr {
	if len(ns.Addresses) > 0 || !steer.IsBelow(ns.Name, q.zone.Name) {
		return ns.Addresses
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
