package denial

import (
	"slices"

	"github.com/miekg/dns"
)

// place is where a name stands in its zone. It decides which of NS, SOA and DNSKEY its NSEC record may list.
type place int

const (
	inside place = iota // neither of the others
	apex                // the top of the zone
	cut                 // delegated: the zone below is another's
)

// The types that an NSEC record lists. A record is made for one question, and a resolver may answer other questions from
// it (RFC 8198), so it lists every type that any plugin may have at the name, except the one that was asked for. Types that
// change what the record proves are left out: NS without SOA says that there is a zone cut (RFC 4035 section 5.2), DNAME
// and CNAME say that the answer is elsewhere (RFC 6840 section 4.3).
var typesAt = [...][]uint16{
	inside: {
		dns.TypeA, dns.TypePTR, dns.TypeHINFO, dns.TypeMX, dns.TypeTXT, dns.TypeRP, dns.TypeAFSDB, dns.TypeAAAA, dns.TypeLOC,
		dns.TypeSRV, dns.TypeNAPTR, dns.TypeKX, dns.TypeCERT, dns.TypeAPL, dns.TypeSSHFP, dns.TypeIPSECKEY, dns.TypeRRSIG,
		dns.TypeNSEC, dns.TypeDHCID, dns.TypeTLSA, dns.TypeSMIMEA, dns.TypeHIP, dns.TypeOPENPGPKEY, dns.TypeSVCB,
		dns.TypeHTTPS, dns.TypeSPF, dns.TypeEUI48, dns.TypeEUI64, dns.TypeURI, dns.TypeCAA,
	},
	apex: {
		dns.TypeA, dns.TypeNS, dns.TypeSOA, dns.TypePTR, dns.TypeHINFO, dns.TypeMX, dns.TypeTXT, dns.TypeRP, dns.TypeAFSDB,
		dns.TypeAAAA, dns.TypeLOC, dns.TypeSRV, dns.TypeNAPTR, dns.TypeKX, dns.TypeCERT, dns.TypeAPL, dns.TypeSSHFP,
		dns.TypeIPSECKEY, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeDHCID, dns.TypeTLSA, dns.TypeSMIMEA, dns.TypeHIP,
		dns.TypeOPENPGPKEY, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeSPF, dns.TypeEUI48, dns.TypeEUI64, dns.TypeURI, dns.TypeCAA,
	},
	cut: {dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC},
}

// nsecFor makes the record that denies a type at a name, and no other name: the next name is the very next one there
// can be. A question for NSEC itself is answered with it, and denies nothing.
func nsecFor(owner string, p place, denied uint16, soa *dns.SOA) *dns.NSEC {
	types := typesAt[p]
	if i, found := slices.BinarySearch(types, denied); found && denied != dns.TypeNSEC {
		types = slices.Concat(types[:i], types[i+1:])
	}
	return &dns.NSEC{
		// RFC 9077 section 3.
		Hdr:        dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: min(soa.Hdr.Ttl, soa.Minttl)},
		NextDomain: nextAfter(owner),
		TypeBitMap: types,
	}
}

// nextAfter returns the name that follows directly in the canonical order of names (RFC 4471 section 3.1.2).
func nextAfter(name string) string {
	if name == "." {
		return `\000.`
	}
	below := `\000.` + name
	if fits(below) {
		return below
	}
	i, _ := dns.NextLabel(name, 0)
	if longer := name[:i-1] + `\000.` + name[i:]; fits(longer) {
		return longer
	}
	return nextBeside(name)
}

// fits reports whether a name, and each of its labels, is short enough to be one.
func fits(name string) bool {
	var wire [255]byte
	_, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	return err == nil
}

// nextBeside returns the name that follows directly on one with which nothing longer begins: the last octet that can be is
// one higher, and those behind it are gone.
func nextBeside(name string) string {
	var wire [255]byte
	dns.PackDomainName(dns.CanonicalName(name), wire[:], 0, nil, false)
	label := 0
	for wire[label] > 0 {
		rest := label + 1 + int(wire[label])
		for last := rest - 1; last > label; last-- {
			if wire[last] == 0xff {
				continue
			}
			if wire[last]++; wire[last] == 'A' {
				wire[last] = 'Z' + 1 // capital letters stand where small ones do
			}
			cut := append(wire[label+1:last+1:last+1], wire[rest:]...)
			next, _, _ := dns.UnpackDomainName(append([]byte{byte(last - label)}, cut...), 0)
			return next
		}
		label = rest
	}
	return "."
}
