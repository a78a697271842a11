package qos

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
)

// Key signs handles. Its JSON form, which holds the secret, is what the database keeps; no other form shows the secret.
type Key struct {
	ID     uint8  `json:"-"`
	Secret []byte `json:"secret"`          // 16 to 64 octets
	From   int64  `json:"from"`            // ms since 1970; since when it signs
	Until  int64  `json:"until,omitempty"` // ms since 1970; from when on nothing that it signed holds, 0 is never
}

// Bounds of keys.
const (
	MaxKeys   = 256
	MinSecret = 16
	MaxSecret = 64
)

// skew is how far the clocks of who signs and who verifies may differ, in ms: a new key signs at once.
const skew = minute

// String names the key. It does not show the secret.
func (k Key) String() string { return fmt.Sprintf("key %d", k.ID) }

// Format keeps every verb from showing the secret.
func (k Key) Format(s fmt.State, _ rune) { io.WriteString(s, k.String()) }

// Check says what is wrong with a key, nil if nothing is. The error does not show the secret.
func (k *Key) Check() error {
	if len(k.Secret) < MinSecret || len(k.Secret) > MaxSecret {
		return fmt.Errorf("key %d: expected a secret of %d to %d octets, got %d", k.ID, MinSecret, MaxSecret, len(k.Secret))
	}
	if k.From < 0 || k.Until != 0 && k.Until <= k.From {
		return fmt.Errorf("key %d: expected that it is valid until later than from when", k.ID)
	}
	return nil
}

// Keyring holds keys by their ids. It is immutable. A nil Keyring holds none.
type Keyring struct {
	at   [MaxKeys]*ring
	keys []Key // by when they sign from, then by id
}

// ring is a key made ready: the secret under the two pads of HMAC (RFC 2104).
type ring struct {
	inner, outer [sha256.BlockSize]byte
	from, until  int64
}

// nobody stands in for a key that is not known, so that to look for one takes as long as to find one. It is never valid.
var nobody = newRing(&Key{Until: -1})

func newRing(k *Key) *ring {
	r := &ring{from: k.From, until: k.Until}
	copy(r.inner[:], k.Secret)
	r.outer = r.inner
	for i := range r.inner {
		r.inner[i] ^= 0x36
		r.outer[i] ^= 0x5c
	}
	return r
}

// valid says whether what the key signed holds.
func (r *ring) valid(now int64) bool { return now+skew >= r.from && (r.until == 0 || now < r.until) }

// NewKeyring makes a Keyring of keys with different ids.
func NewKeyring(keys []Key) (*Keyring, error) {
	k := new(Keyring)
	for i := range keys {
		key := &keys[i]
		if err := key.Check(); err != nil {
			return nil, err
		}
		if k.at[key.ID] != nil {
			return nil, fmt.Errorf("key %d: expected each id once", key.ID)
		}
		k.at[key.ID] = newRing(key)
		copied := *key
		copied.Secret = slices.Clone(key.Secret)
		k.keys = append(k.keys, copied)
	}
	slices.SortFunc(k.keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.ID, b.ID))
	})
	return k, nil
}

// Format keeps every verb from showing secrets.
func (k *Keyring) Format(s fmt.State, _ rune) { io.WriteString(s, "keyring") }

// Newest returns the key to sign with: the one that is valid now and was so from the latest on.
func (k *Keyring) Newest(now int64) (Key, bool) {
	if k == nil {
		return Key{}, false
	}
	for _, key := range slices.Backward(k.keys) {
		if key.From <= now && (key.Until == 0 || now < key.Until) {
			return key, true
		}
	}
	return Key{}, false
}

// find returns the key of an id, or nobody.
func (k *Keyring) find(id uint8) *ring {
	if k == nil || k.at[id] == nil {
		return nobody
	}
	return k.at[id]
}

// Sign makes the handle that says c, with the key c.KeyID. It does not look at whether key and claim are valid now.
func (k *Keyring) Sign(c Claim) (token [Signed]byte, err error) {
	r := k.find(c.KeyID)
	if r == nobody {
		return token, ErrKey
	}
	if err := c.encode(&token); err != nil {
		return [Signed]byte{}, err
	}
	r.sign(token[:])
	return token, nil
}

// Verify returns what a handle says, if a key that is valid signed it and it has not expired. now is ms since 1970. Who may
// show it, and where, says Fits. Time does not depend on secrets, nor on whether the key is known. It allocates nothing;
// the error is ErrMalformed, ErrKey, ErrSignature or ErrExpired.
func (k *Keyring) Verify(token []byte, now int64) (c Claim, err error) {
	id := HandleOf(token) // whatever comes of it, so that time does not tell
	if err = k.VerifyInto(&c, token, now); err != nil {
		return Claim{}, err
	}
	c.ID = id
	return c, nil
}

// VerifyInto is Verify where the caller has the room, and knows the handle's ID: that is not filled in. With an error what is
// in it is of no use.
func (k *Keyring) VerifyInto(c *Claim, token []byte, now int64) error {
	if err := c.decode(token); err != nil {
		return err
	}
	r := k.find(c.KeyID)
	same := r.signed(token)
	switch {
	case !r.valid(now):
		return ErrKey
	case !same:
		return ErrSignature
	case now >= c.Expires:
		return ErrExpired
	}
	return nil
}

// purpose keeps a signature under a handle from being one under anything else that a key may come to sign.
const purpose = "farm/handle/v1\x00"

// sign puts the first half of HMAC-SHA256 over purpose and the body before it into a token. It needs no more than two hashes.
func (r *ring) sign(token []byte) {
	at := hashing()
	copy(token[atSignature:], r.mac(at, token[:atSignature]))
	rooms.Put(at)
}

// signed says whether sign would put there what is there.
func (r *ring) signed(token []byte) bool {
	at := hashing()
	same := subtle.ConstantTimeCompare(r.mac(at, token[:atSignature]), token[atSignature:]) == 1
	rooms.Put(at)
	return same
}

func (r *ring) mac(at *room, body []byte) []byte {
	at.add(r.inner[:])
	at.addText(purpose)
	at.add(body)
	inner := at.sum()
	at.add(r.outer[:])
	at.add(inner)
	return at.sum()[:Signed-atSignature]
}
