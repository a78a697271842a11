// Package qos holds what quality of service is made of: who a client is and what it shows for it (handles), what it asks
// for (in labels of a name or in an EDNS0 option), and what it is granted. It is pure: no clock, no I/O; time is an
// argument, in milliseconds. Nothing in it decides which server a client is given: that is package steer.
package qos

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
)

// ClientID names a client, in the services database and in logs. It does not tell who the client is.
type ClientID [8]byte

// The kinds of names of clients.
const (
	KindID   = "id"   // a client id, as a handle is bound to it
	KindTSIG = "tsig" // the name of a TSIG key, a lower-case FQDN
	KindCert = "cert" // the subject's common name of a verified certificate
	KindNet  = "net"  // a subnet in its canonical form
)

// Client returns the ClientID of a name: the first octets of SHA-256 over kind, a zero octet and name.
func Client(kind, name string) ClientID { return clientOf(kind, name) }

// ClientAt returns the ClientID of who asks from an address: of its /32, or its /64. No Addr, no client.
func ClientAt(source netip.Addr) (c ClientID, ok bool) {
	source = source.Unmap().WithZone("")
	p, err := source.Prefix(min(source.BitLen(), 64))
	if err != nil || !source.IsValid() {
		return c, false
	}
	var buf [48]byte
	return clientOf(KindNet, p.AppendTo(buf[:0])), true
}

func clientOf[N string | []byte](kind string, name N) ClientID {
	var buf [320]byte // a domain name, or a client id of an option, and a kind
	b := append(append(append(buf[:0], kind...), 0), name...)
	sum := sha256.Sum256(b)
	return ClientID(sum[:8])
}

// String returns 16 hexadecimal digits.
func (c ClientID) String() string { return hex.EncodeToString(c[:]) }

// ParseClientID is the inverse of String.
func ParseClientID(s string) (c ClientID, err error) {
	return c, parseHex("client", s, c[:])
}

// MarshalText implements encoding.TextMarshaler.
func (c ClientID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *ClientID) UnmarshalText(text []byte) error { return parseHex("client", string(text), c[:]) }

func parseHex(what, s string, into []byte) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(into) {
		return fmt.Errorf("%s: expected %d hexadecimal digits, got %d characters", what, 2*len(into), len(s))
	}
	copy(into, b)
	return nil
}
