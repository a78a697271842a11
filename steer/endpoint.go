package steer

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// RecordType is a type of records, as far as decisions and the forms of answers hang on it.
type RecordType uint8

// The types. SRV, SVCB and HTTPS tell ports: what an answer of these can hold hangs on the servers' ports.
const (
	OtherType RecordType = iota
	SRV
	SVCB
	HTTPS
	Address // A and AAAA
	CNAME
	Proof // what DNSSEC puts beside other records: RRSIG, NSEC and NSEC3
)

const defaultHTTPS = 443

// OneEndpoint reports whether the addresses of a service, whichever are picked, are reached at one port. All its servers count:
// a client may have the record of one pick and the addresses of another.
func (f *Farm) OneEndpoint(t RecordType) bool {
	ports := f.Ports()
	return f.Families()&Named == 0 && !slices.ContainsFunc(ports, func(port uint16) bool {
		return f.portOf(t, port) != f.portOf(t, ports[0])
	})
}

// portOf is the port at which clients reach a server with a port: for HTTPS, that of the scheme where none is said. Of other
// schemes it is not known: 0.
func (f *Farm) portOf(t RecordType, port uint16) uint16 {
	if port == 0 && t == HTTPS {
		return httpsPort(f.Service.Name)
	}
	return port
}

// httpsPort is the port that HTTPS records of a name are about: another one than 443 is part of the name, as in
// _8443._https.www.example.org (RFC 9460 section 9.1).
func httpsPort(name string) uint16 {
	label, above := CutLabel(name)
	digits, ok := strings.CutPrefix(label, "_")
	if !ok || !strings.HasPrefix(above, "_https.") {
		return defaultHTTPS
	}
	port := 0
	for _, c := range []byte(digits) {
		if port = 10*port + int(c) - '0'; c < '0' || c > '9' || port > math.MaxUint16 {
			return defaultHTTPS
		}
	}
	return cmp.Or(uint16(port), defaultHTTPS)
}

// HTTPSPort is the port that HTTPS records of the service are about.
func (f *Farm) HTTPSPort() uint16 { return httpsPort(f.Service.Name) }

// SpeaksHTTPS reports whether anything says that a server at a port speaks https: an HTTPS record sends browsers there, whatever
// the server speaks (RFC 9460 section 9.5). The service's protocols do, and the port of https or the one that is in the name.
func (f *Farm) SpeaksHTTPS(port uint16) bool {
	return len(f.Service.ALPN) > 0 || f.isSecure(port)
}

// isSecure reports whether a port says that https is spoken there.
func (f *Farm) isSecure(port uint16) bool {
	return port == defaultHTTPS || port == httpsPort(f.Service.Name)
}

// FamilyFor returns which servers an answer of a type that tells ports is made of. Where only some servers speak https, HTTPS is of
// these, whichever are drawn: a set of records that comes and goes with the turn would have browsers go back and forth between http
// and https. Where none does, there is no record, and any of them tells why.
func (f *Farm) FamilyFor(t RecordType) Family {
	if t == HTTPS && len(f.Service.ALPN) == 0 && f.families&Secure != 0 {
		return Secure
	}
	return AnyFamily
}

// TellsPorts reports whether an answer of a type tells servers at one address apart by their ports.
func (f *Farm) TellsPorts(t RecordType) bool {
	return t == SRV || (t == SVCB || t == HTTPS) && !f.OneEndpoint(t)
}

// Withheld returns why its port keeps a server out of an answer of a type.
func (f *Farm) Withheld(t RecordType, s *Server) Omission {
	switch {
	case t == SRV && s.Port == 0:
		return NoPort
	case t == HTTPS && !f.SpeaksHTTPS(s.Port):
		return NoHTTPS
	}
	return NotOmitted
}
