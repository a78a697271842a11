package farm

import (
	"net/netip"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// The client subnet of RFC 7871. It comes in with a query, is believed if the resolver is, and goes back with the
// length of the prefix that the answer holds for.

// subnetOf returns the client subnet option of a query, nil if there is none, and whether there is at most one and it
// is well formed. What cannot be unpacked at all, the DNS server has refused before.
func subnetOf(opt *dns.OPT) (subnet *dns.EDNS0_SUBNET, ok bool) {
	if opt == nil {
		return nil, true
	}
	for _, o := range opt.Option {
		if o, is := o.(*dns.EDNS0_SUBNET); is {
			if subnet != nil || !wellFormed(o) {
				return nil, false
			}
			subnet = o
		}
	}
	return subnet, true
}

// wellFormed tests section 6 and 7.1.2: a query's scope is 0, and no bit is set beyond its source length.
func wellFormed(s *dns.EDNS0_SUBNET) bool {
	p, ok := prefixOf(s)
	return ok && s.SourceScope == 0 && p.Masked() == p
}

// prefixOf returns the subnet of an option. Family 0 is a way to say nothing: that of an empty prefix.
func prefixOf(s *dns.EDNS0_SUBNET) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(s.Address)
	switch s.Family {
	case 0:
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), s.SourceNetmask == 0
	case 1:
		a = a.Unmap()
		ok = ok && a.Is4()
	case 2:
		ok = ok && a.BitLen() == 128
	default:
		ok = false
	}
	p := netip.PrefixFrom(a, int(s.SourceNetmask))
	return p, ok && p.IsValid()
}

// believe takes the subnet for the client, if the resolver is believed. An empty one asks for privacy: the resolver's
// own address stands in. So it does for an IPv4 address in IPv6 clothes, which is nobody's.
func (c *client) believe(s *dns.EDNS0_SUBNET, believed prefixes) {
	if s != nil {
		c.source = s.SourceNetmask
	}
	if s == nil || s.SourceNetmask == 0 || !believed.contain(c.addr) {
		return
	}
	if p, ok := prefixOf(s); ok && !p.Addr().Is4In6() {
		c.prefix, c.ours = p, true
	}
}

// scopeOf is how much of the subnet an answer hangs on: all that the query gave if another client would have been given
// another answer, what tells regions apart if the farm is spread over regions, else nothing. Other plugins may go by a subnet that
// farm does not believe (geoip with edns-subnet): where they were asked for the region, the answer hangs on all of it.
func scopeOf(f *steer.Farm, c *client, personal bool) uint8 {
	switch {
	case !c.ours && c.byLabel && f.Regional():
		return c.source
	case !c.ours:
		return 0
	case personal:
		return uint8(c.prefix.Bits())
	case f.Regional():
		return uint8(c.scope)
	}
	return 0
}
