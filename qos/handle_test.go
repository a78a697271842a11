package qos_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

const (
	video = "video.example.org."
	noon  = int64(1790000000000) // ms since 1970; before the handles of these tests expire
	end   = int64(29837000) * 60_000
)

var (
	secret = bytes.Repeat([]byte("k"), 32)
	alice  = qos.Client(qos.KindID, "alice")
	home   = netip.MustParseAddr("192.0.2.7")
)

// ringOf makes a keyring of keys that must be right.
func ringOf(t testing.TB, keys ...qos.Key) *qos.Keyring {
	t.Helper()
	k, err := qos.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// forAlice is what a handle says unless a test changes it.
func forAlice(change func(*qos.Claim)) qos.Claim {
	c := qos.Claim{Client: alice, Rank: 3, Expires: end, Service: qos.ServiceHash(video), KeyID: 7}
	if change != nil {
		change(&c)
	}
	return c
}

// sign signs a claim that must be right.
func sign(t testing.TB, k *qos.Keyring, c qos.Claim) []byte {
	t.Helper()
	token, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token[:]
}

// forge signs the first 20 octets of a token anew, by the standard library, whatever they say.
func forge(token, secret []byte) []byte {
	token = bytes.Clone(token)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("farm/handle/v1\x00"))
	mac.Write(token[:20])
	copy(token[20:], mac.Sum(nil)[:16])
	return token
}

// edited returns a change of a token, signed with the right key.
func edited(change func([]byte)) func([]byte) []byte {
	return func(token []byte) []byte {
		token = bytes.Clone(token)
		change(token)
		return forge(token, secret)
	}
}

func TestVerify(t *testing.T) {
	k := ringOf(t, qos.Key{ID: 7, Secret: secret}, qos.Key{ID: 8, Secret: bytes.Repeat([]byte("8"), 16)},
		qos.Key{ID: 9, Secret: secret, Until: noon}, qos.Key{ID: 10, Secret: secret, From: noon + 3_600_000})
	as := func(b []byte) []byte { return b }
	for _, c := range []struct {
		name string
		do   func([]byte) []byte
		now  int64
		want error
	}{
		{"as it was signed", as, noon, nil},
		{"in its last moment", as, end - 1, nil},
		{"expired", as, end, qos.ErrExpired},
		{"long expired", as, 2 * end, qos.ErrExpired},
		{"signed by somebody else", func(b []byte) []byte { return forge(b, []byte("somebody else's secret")) }, noon, qos.ErrSignature},
		{"not signed", func(b []byte) []byte { return append(b[:20:20], make([]byte, 16)...) }, noon, qos.ErrSignature},
		{"a better rank", func(b []byte) []byte { b[6]++; return b }, noon, qos.ErrSignature},
		{"a later expiry", func(b []byte) []byte { b[4]++; return b }, noon, qos.ErrSignature},
		{"made a bearer's", func(b []byte) []byte { b[7] = 1; return b }, noon, qos.ErrSignature},
		{"another known key's id", func(b []byte) []byte { b[1] = 8; return b }, noon, qos.ErrSignature},
		{"an unknown key's id", func(b []byte) []byte { b[1] = 99; return b }, noon, qos.ErrKey},
		{"an unknown key of no octets", func(b []byte) []byte { b[1] = 99; return forge(b, nil) }, noon, qos.ErrKey},
		{"a key that has ended", edited(func(b []byte) { b[1] = 9 }), noon, qos.ErrKey},
		{"a key before its end", edited(func(b []byte) { b[1] = 9 }), noon - 1, nil},
		{"a key that begins later", edited(func(b []byte) { b[1] = 10 }), noon, qos.ErrKey},
		{"a key that begins now, on a slow clock", edited(func(b []byte) { b[1] = 10 }), noon + 3_600_000 - 30_000, nil},
		{"another version", edited(func(b []byte) { b[0] = 2 }), noon, qos.ErrMalformed},
		{"bearer and address", edited(func(b []byte) { b[7] = 3 }), noon, qos.ErrMalformed},
		{"an unknown flag", edited(func(b []byte) { b[7] = 4 }), noon, qos.ErrMalformed},
		{"every flag", edited(func(b []byte) { b[7] = 255 }), noon, qos.ErrMalformed},
		{"no rank", edited(func(b []byte) { b[6] = 0 }), noon, qos.ErrMalformed},
		{"cut short", func(b []byte) []byte { return b[:35] }, noon, qos.ErrMalformed},
		{"the body alone", func(b []byte) []byte { return b[:20] }, noon, qos.ErrMalformed},
		{"one octet more", func(b []byte) []byte { return append(b, 0) }, noon, qos.ErrMalformed},
		{"nothing", func([]byte) []byte { return nil }, noon, qos.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := k.Verify(c.do(sign(t, k, forAlice(nil))), c.now)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && got != (qos.Claim{}) {
				t.Errorf("a claim beside an error: %+v", got)
			}
		})
	}
}

// TestVerifyEachBit: whichever bit of a handle is another one, it holds no more.
func TestVerifyEachBit(t *testing.T) {
	k := ringOf(t, qos.Key{ID: 7, Secret: secret})
	token := sign(t, k, forAlice(nil))
	for bit := range 8 * len(token) {
		other := bytes.Clone(token)
		other[bit/8] ^= 1 << (bit % 8)
		if _, err := k.Verify(other, noon); err == nil {
			t.Errorf("bit %d", bit)
		}
	}
}

func TestSignSaysTheClaim(t *testing.T) {
	k := ringOf(t, qos.Key{ID: 7, Secret: secret})
	for _, c := range []qos.Claim{
		forAlice(nil),
		forAlice(func(c *qos.Claim) { c.Bearer = true }),
		forAlice(func(c *qos.Claim) { c.Bound = true }),
		forAlice(func(c *qos.Claim) { c.Service, c.Rank = qos.ServiceHash(qos.AnyService), 255 }),
		forAlice(func(c *qos.Claim) { c.Expires = (1<<32 - 1) * 60_000 }),
	} {
		token := sign(t, k, c)
		c.ID = qos.HandleOf(token)
		if got, err := k.Verify(token, noon); err != nil || got != c {
			t.Errorf("got %+v, %v, want %+v", got, err, c)
		}
		token[20]++
		c.ID = qos.HandleOf(token)
		if got, err := qos.Unverified(token); err != nil || got != c {
			t.Errorf("unverified: got %+v, %v, want %+v", got, err, c)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	k := ringOf(t, qos.Key{ID: 7, Secret: secret})
	for name, change := range map[string]func(*qos.Claim){
		"no expiry":          func(c *qos.Claim) { c.Expires = 59_999 },
		"too late an expiry": func(c *qos.Claim) { c.Expires = 1 << 32 * 60_000 },
		"no rank":            func(c *qos.Claim) { c.Rank = 0 },
		"bearer and address": func(c *qos.Claim) { c.Bearer, c.Bound = true, true },
		"another key":        func(c *qos.Claim) { c.KeyID = 8 },
	} {
		if token, err := k.Sign(forAlice(change)); err == nil || token != [36]byte{} {
			t.Errorf("%s: %x, %v", name, token, err)
		}
	}
}

// TestFits: a handle is nobody's but its client's, and for no other service.
func TestFits(t *testing.T) {
	bob := qos.Client(qos.KindID, "bob")
	at, _ := qos.ClientAt(home)
	at6, _ := qos.ClientAt(netip.MustParseAddr("2001:db8:1:2::3"))
	bearer := func(c *qos.Claim) { c.Bearer = true }
	bound := func(c *qos.Claim) { c.Bound, c.Client = true, at }
	bound6 := func(c *qos.Claim) { c.Bound, c.Client = true, at6 }
	anywhere := func(c *qos.Claim) { c.Service = qos.ServiceHash(qos.AnyService) }
	nowhere := netip.Addr{}
	for _, c := range []struct {
		name    string
		change  func(*qos.Claim)
		service string
		shown   *qos.ClientID
		source  netip.Addr
		want    error
	}{
		{"its client", nil, video, &alice, home, nil},
		{"another client", nil, video, &bob, home, qos.ErrClient},
		{"no client", nil, video, nil, home, qos.ErrClient},
		{"the zero client", nil, video, &qos.ClientID{}, home, qos.ErrClient},
		{"another service", nil, "www.example.org.", &alice, home, qos.ErrService},
		{"the service in upper case is another", nil, "VIDEO.example.org.", &alice, home, qos.ErrService},
		{"the service without its dot is another", nil, "video.example.org", &alice, home, qos.ErrService},
		{"a name below the service", nil, "a." + video, &alice, home, qos.ErrService},
		{"no service", nil, "", &alice, home, qos.ErrService},
		{"any service", anywhere, "www.example.org.", &alice, home, nil},
		{"any service, another client", anywhere, "www.example.org.", &bob, home, qos.ErrClient},
		{"the root is no other service", nil, ".", &alice, home, qos.ErrService},
		{"bearer, nothing shown", bearer, video, nil, nowhere, nil},
		{"bearer, another client shown", bearer, video, &bob, home, nil},
		{"bearer, another service", bearer, "www.example.org.", nil, home, qos.ErrService},
		{"bound, from there", bound, video, nil, home, nil},
		{"bound, from there, v4 in v6", bound, video, nil, netip.MustParseAddr("::ffff:192.0.2.7"), nil},
		{"bound, from beside", bound, video, nil, netip.MustParseAddr("192.0.2.8"), qos.ErrClient},
		{"bound, from nowhere", bound, video, nil, nowhere, qos.ErrClient},
		{"bound, its own id shown from elsewhere", bound, video, &at, netip.MustParseAddr("192.0.2.8"), qos.ErrClient},
		{"bound, from its /64", bound6, video, nil, netip.MustParseAddr("2001:db8:1:2:ffff::"), nil},
		{"bound, from its /64 with a zone", bound6, video, nil, netip.MustParseAddr("2001:db8:1:2::9%eth0"), nil},
		{"bound, from another /64", bound6, video, nil, netip.MustParseAddr("2001:db8:1:3::3"), qos.ErrClient},
	} {
		t.Run(c.name, func(t *testing.T) {
			claim := forAlice(c.change)
			var shown qos.ClientID
			if c.shown != nil {
				shown = *c.shown
			}
			if err := claim.Fits(c.service, shown, c.shown != nil, c.source); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestHandleID(t *testing.T) {
	id := qos.HandleOf([]byte("x"))
	if got, err := qos.ParseHandleID(id.String()); err != nil || got != id {
		t.Errorf("got %v, %v, want %v", got, err, id)
	}
	for _, s := range []string{"", "00", id.String() + "00", "zz" + id.String()[2:]} {
		if _, err := qos.ParseHandleID(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// FuzzVerify: what verifies says in one form only what its key signed.
func FuzzVerify(f *testing.F) {
	k := ringOf(f, qos.Key{ID: 7, Secret: secret})
	token := sign(f, k, forAlice(nil))
	f.Add(token, noon)
	f.Add(token[:35], noon)
	f.Add(forge(append([]byte{1, 7, 0, 0, 0, 1, 1, 1}, token[8:]...), secret), int64(0))
	f.Add(make([]byte, 36), int64(-1))
	f.Fuzz(func(t *testing.T, token []byte, now int64) {
		c, err := k.Verify(token, now)
		if err != nil {
			return
		}
		again, err := k.Sign(c)
		if err != nil || !bytes.Equal(again[:], token) {
			t.Errorf("%x says %+v, and that is signed as %x, %v", token, c, again, err)
		}
		if now >= c.Expires || c.Expires != int64(binary.BigEndian.Uint32(token[2:]))*60_000 {
			t.Errorf("at %d: expires %d", now, c.Expires)
		}
	})
}
