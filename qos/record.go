package qos

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// HandleRecord is what the database holds of a handle: of a looked-up one all there is, of a signed one that it is revoked,
// or what an element has to know of its client. The JSON form is a value of the handles hash (docs/redis.md).
type HandleRecord struct {
	Client  ClientID `json:"client"`
	Rank    uint8    `json:"rank"`
	Service string   `json:"service"` // lower-case FQDN, or AnyService
	Expires int64    `json:"expires"` // ms since 1970
	Bearer  bool     `json:"bearer,omitempty"`
	Address string   `json:"address,omitempty"` // of the client. Where Client is that of ClientAt, it may only be shown from there
	Phone   string   `json:"phone,omitempty"`   // of the client, E.164
	Revoked bool     `json:"revoked,omitempty"`
	Note    string   `json:"note,omitempty"` // for people, at most 200 octets
}

// Bounds of a record's texts, in octets.
const (
	maxName = 254
	maxNote = 200
)

// Check says what is wrong with a record, nil if nothing is.
func (r *HandleRecord) Check() error {
	switch {
	case r.Client == ClientID{}:
		return errors.New("client: expected 16 hexadecimal digits, not all 0")
	case r.Rank == 0:
		return errors.New("rank: expected 1 to 255")
	case !strings.HasSuffix(r.Service, ".") || len(r.Service) > maxName || r.Service != strings.ToLower(r.Service) || !isText(r.Service):
		return errors.New("service: expected a lower-case name with its final dot, or one dot")
	case r.Expires <= 0:
		return errors.New("expires: expected milliseconds since 1970")
	case r.Phone != "" && !isPhone(r.Phone):
		return errors.New("phone: expected + and 5 to 15 digits")
	case len(r.Note) > maxNote || !isText(r.Note):
		return fmt.Errorf("note: expected at most %d octets of text on one line", maxNote)
	}
	if a, err := netip.ParseAddr(r.Address); r.Address != "" && (err != nil || a.Zone() != "" || a.Is4In6()) {
		return errors.New("address: expected an IP address")
	}
	if r.Bearer && r.bound() {
		return errors.New("bearer: expected no client that is an address")
	}
	return nil
}

// bound says whether the handle may be shown from the client's address alone.
func (r *HandleRecord) bound() bool {
	if r.Address == "" {
		return false
	}
	a, err := netip.ParseAddr(r.Address)
	c, ok := ClientAt(a)
	return err == nil && ok && c == r.Client
}

// Claim returns what a looked-up handle says. The error is ErrRevoked or ErrExpired. It allocates nothing.
func (r *HandleRecord) Claim(id HandleID, now int64) (c Claim, err error) {
	err = r.ClaimInto(&c, id, now)
	return c, err
}

// ClaimInto is Claim where the caller has the room. With an error nothing is put there.
func (r *HandleRecord) ClaimInto(c *Claim, id HandleID, now int64) error {
	switch {
	case r.Revoked:
		return ErrRevoked
	case now >= r.Expires:
		return ErrExpired
	}
	*c = Claim{
		ID: id, Client: r.Client, Rank: r.Rank, Expires: r.Expires, Bearer: r.Bearer, Bound: !r.Bearer && r.bound(),
		Service: ServiceHash(r.Service),
	}
	return nil
}

// isPhone says whether s is of the form of E.164.
func isPhone(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	if !ok || len(digits) < 5 || len(digits) > 15 {
		return false
	}
	_, ok = decimal(digits)
	return ok
}

// isText says whether s is printable and on one line.
func isText(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
