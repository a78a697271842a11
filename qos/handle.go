package qos

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
)

// Why a handle entitles nobody.
var (
	ErrMalformed = errors.New("handle: expected 36 octets of version 1")
	ErrKey       = errors.New("handle: expected a key that is known and valid")
	ErrSignature = errors.New("handle: the signature is wrong")
	ErrExpired   = errors.New("handle: it has expired")
	ErrRevoked   = errors.New("handle: it is revoked")
	ErrService   = errors.New("handle: it is for another service")
	ErrClient    = errors.New("handle: it is for another client")
)

// AnyService stands in a handle for every service of the database.
const AnyService = "."

// HandleID is what the database and logs know of a handle.
type HandleID [16]byte

// HandleOf returns the HandleID of a handle's octets: the first octets of their SHA-256.
func HandleOf(octets []byte) HandleID {
	r := hashing()
	r.add(octets)
	id := HandleID(r.sum()[:16])
	rooms.Put(r)
	return id
}

// String returns 32 hexadecimal digits.
func (h HandleID) String() string { return hex.EncodeToString(h[:]) }

// ParseHandleID is the inverse of String.
func ParseHandleID(s string) (h HandleID, err error) {
	return h, parseHex("handle id", s, h[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h HandleID) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *HandleID) UnmarshalText(text []byte) error { return parseHex("handle id", string(text), h[:]) }

// Claim is what a handle says.
type Claim struct {
	ID      HandleID // Sign need not be told
	Client  ClientID // who may show it; of a bearer's handle, who that is taken for
	Rank    uint8    // of the best level that it entitles to, 1 or more
	Expires int64    // ms since 1970; a signed handle keeps whole minutes
	Bearer  bool     // whoever shows it is the client
	Bound   bool     // whoever shows it from the address is the client: Client is that of ClientAt
	Service [4]byte  // ServiceHash of the service, or of AnyService
	KeyID   uint8    // of the key that signed it; 0 of a handle that is looked up
}

// ServiceHash returns what a handle keeps of a service, a lower-case FQDN: the first octets of its SHA-256.
func ServiceHash(service string) [4]byte {
	r := hashing()
	r.addText(service)
	hash := [4]byte(r.sum())
	rooms.Put(r)
	return hash
}

var anyService = ServiceHash(AnyService)

// Fits says whether the claim is for a service, a lower-case FQDN, and for who shows it: shown is the client that was
// shown beside the handle, if hasShown; source is where the lookup came from. The error is ErrService or ErrClient. It
// allocates nothing.
func (c *Claim) Fits(service string, shown ClientID, hasShown bool, source netip.Addr) error {
	if c.Service != anyService && c.Service != ServiceHash(service) {
		return ErrService
	}
	switch {
	case c.Bearer:
		return nil
	case c.Bound:
		shown, hasShown = ClientAt(source)
	}
	if !hasShown || shown != c.Client {
		return ErrClient
	}
	return nil
}

// The layout of a signed handle, in octets: version (1), key id (1), expiry in minutes since 1970 (4), rank (1), flags (1),
// ServiceHash (4), ClientID (8), signature (16). Numbers are in network order.
const (
	atKey       = 1
	atExpiry    = 2
	atRank      = 6
	atFlags     = 7
	atService   = 8
	atClient    = 12
	atSignature = 20
)

const (
	flagBearer = 1 << iota
	flagBound
)

const minute = 60_000 // ms

// encode fills in all of a token but the signature.
func (c *Claim) encode(token *[Signed]byte) error {
	minutes := c.Expires / minute
	if minutes < 1 || minutes > 1<<32-1 || c.Rank == 0 || c.Bearer && c.Bound {
		return fmt.Errorf("handle: expected an expiry, a rank of 1 or more, and not both a bearer and an address")
	}
	token[0], token[atKey], token[atRank] = version, c.KeyID, c.Rank
	binary.BigEndian.PutUint32(token[atExpiry:], uint32(minutes))
	if c.Bearer {
		token[atFlags] |= flagBearer
	}
	if c.Bound {
		token[atFlags] |= flagBound
	}
	copy(token[atService:], c.Service[:])
	copy(token[atClient:], c.Client[:])
	return nil
}

// Unverified returns what a signed handle says, whoever made it: for those who look at handles, and not for who goes by
// them. The error is ErrMalformed.
func Unverified(token []byte) (c Claim, err error) {
	if err = c.decode(token); err == nil {
		c.ID = HandleOf(token)
	}
	return c, err
}

// decode is the inverse of encode.
func (c *Claim) decode(token []byte) error {
	if len(token) != Signed {
		return ErrMalformed
	}
	flags := token[atFlags]
	if token[0] != version || flags >= flagBearer|flagBound || token[atRank] == 0 {
		return ErrMalformed
	}
	*c = Claim{
		Client: ClientID(token[atClient:atSignature]), Rank: token[atRank],
		Expires: int64(binary.BigEndian.Uint32(token[atExpiry:])) * minute,
		Bearer:  flags&flagBearer != 0, Bound: flags&flagBound != 0,
		Service: [4]byte(token[atService:atClient]), KeyID: token[atKey],
	}
	return nil
}
