package farm

import (
	"net/netip"
	"slices"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// addressRecords are A and AAAA records in the making. They are made in one piece, each with the octets of its address:
// what an answer is made of is most of what a query costs.
type addressRecords struct {
	rrs []dns.RR
	v4  []aRecord
	v6  []aaaaRecord
}

type aRecord struct {
	dns.A
	octets [4]byte
}

type aaaaRecord struct {
	dns.AAAA
	octets [16]byte
}

// grow makes room for n records of a family. Records that were made before stay where they are.
func (r *addressRecords) grow(family steer.Family, n int) {
	if family == steer.V4 {
		r.v4 = make([]aRecord, 0, n)
	} else {
		r.v6 = make([]aaaaRecord, 0, n)
	}
}

// add makes a record of each address of the family, unless it has one in the room that was made.
func (r *addressRecords) add(h dns.RR_Header, addrs []netip.Addr, family steer.Family) {
	for _, a := range addrs {
		if steer.FamilyOf(a) != family {
			continue
		}
		if family == steer.V4 {
			r.addA(h, a)
		} else {
			r.addAAAA(h, a)
		}
	}
}

func (r *addressRecords) addA(h dns.RR_Header, a netip.Addr) {
	octets := a.Unmap().As4()
	if slices.ContainsFunc(r.v4, func(rr aRecord) bool { return rr.octets == octets }) {
		return
	}
	if len(r.v4) == cap(r.v4) {
		r.grow(steer.V4, 1)
	}
	r.v4 = append(r.v4, aRecord{octets: octets})
	rr := &r.v4[len(r.v4)-1]
	rr.A.Hdr, rr.A.A = h, rr.octets[:]
	r.rrs = append(r.rrs, &rr.A)
}

func (r *addressRecords) addAAAA(h dns.RR_Header, a netip.Addr) {
	octets := a.As16()
	if slices.ContainsFunc(r.v6, func(rr aaaaRecord) bool { return rr.octets == octets }) {
		return
	}
	if len(r.v6) == cap(r.v6) {
		r.grow(steer.V6, 1)
	}
	r.v6 = append(r.v6, aaaaRecord{octets: octets})
	rr := &r.v6[len(r.v6)-1]
	rr.AAAA.Hdr, rr.AAAA.AAAA = h, rr.octets[:]
	r.rrs = append(r.rrs, &rr.AAAA)
}

func count(addrs []netip.Addr, family steer.Family) (n int) {
	for _, a := range addrs {
		if steer.FamilyOf(a) == family {
			n++
		}
	}
	return n
}

func typeOf(family steer.Family) uint16 {
	if family == steer.V4 {
		return dns.TypeA
	}
	return dns.TypeAAAA
}

func familyOf(qtype uint16) steer.Family {
	switch qtype {
	case dns.TypeA:
		return steer.V4
	case dns.TypeAAAA:
		return steer.V6
	}
	return 0
}
