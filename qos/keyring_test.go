package qos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// random returns n octets.
func random(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// TestSignature: it is HMAC-SHA256 as the standard library has it, for secrets of every length.
func TestSignature(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := qos.MinSecret; n <= qos.MaxSecret; n++ {
		secret := random(rnd, n)
		k := ringOf(t, qos.Key{ID: uint8(n), Secret: secret})
		token := sign(t, k, qos.Claim{
			Client: qos.ClientID(random(rnd, 8)), Rank: uint8(1 + rnd.IntN(255)), Expires: 60_000 * rnd.Int64N(1<<32),
			Service: [4]byte(random(rnd, 4)), KeyID: uint8(n),
		})
		if want := forge(token, secret); !bytes.Equal(token, want) {
			t.Errorf("%d octets: got %x, want %x", n, token, want)
		}
	}
}

func TestNewKeyringRefuses(t *testing.T) {
	for name, keys := range map[string][]qos.Key{
		"a short secret":     {{Secret: secret[:15]}},
		"a long secret":      {{Secret: bytes.Repeat(secret, 3)}},
		"no secret":          {{}},
		"an id twice":        {{ID: 1, Secret: secret}, {ID: 1, Secret: secret}},
		"until before from":  {{Secret: secret, From: 2, Until: 1}},
		"valid at no time":   {{Secret: secret, From: 2, Until: 2}},
		"until before 1970":  {{Secret: secret, Until: -1}},
		"valid before 1970s": {{Secret: secret, From: -1}},
	} {
		if _, err := qos.NewKeyring(keys); err == nil {
			t.Errorf("%s is taken", name)
		} else if strings.Contains(err.Error(), "kkkk") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func TestNewest(t *testing.T) {
	k := ringOf(t,
		qos.Key{ID: 1, Secret: secret, From: 100, Until: 500},
		qos.Key{ID: 9, Secret: secret, From: 200, Until: 300},
		qos.Key{ID: 2, Secret: secret, From: 200},
		qos.Key{ID: 3, Secret: secret, From: 400},
	)
	for _, c := range []struct {
		now  int64
		want int // -1: none
	}{{0, -1}, {99, -1}, {100, 1}, {199, 1}, {200, 9}, {299, 9}, {300, 2}, {399, 2}, {400, 3}, {1 << 60, 3}} {
		got := -1
		if key, ok := k.Newest(c.now); ok {
			got = int(key.ID)
		}
		if got != c.want {
			t.Errorf("at %d: got key %d, want %d", c.now, got, c.want)
		}
	}
}

func TestNoKeyring(t *testing.T) {
	var none *qos.Keyring
	token := sign(t, ringOf(t, qos.Key{ID: 7, Secret: secret}), forAlice(nil))
	if _, err := none.Verify(token, noon); err != qos.ErrKey {
		t.Errorf("Verify: %v", err)
	}
	if _, err := none.Sign(forAlice(nil)); err != qos.ErrKey {
		t.Errorf("Sign: %v", err)
	}
	if key, ok := none.Newest(noon); ok {
		t.Errorf("Newest: %v", key)
	}
}

// TestKeyringIsImmutable: what becomes of the keys that it was made of is nothing to it.
func TestKeyringIsImmutable(t *testing.T) {
	keys := []qos.Key{{ID: 7, Secret: bytes.Clone(secret)}}
	k := ringOf(t, keys...)
	token := sign(t, k, forAlice(nil))
	clear(keys[0].Secret)
	newest, _ := k.Newest(noon)
	if _, err := k.Verify(token, noon); err != nil || !bytes.Equal(newest.Secret, secret) {
		t.Errorf("%v, newest %q", err, newest.Secret)
	}
}

// TestSecretsAreNotShown whichever way a key is printed, but for its JSON form.
func TestSecretsAreNotShown(t *testing.T) {
	key := qos.Key{ID: 7, Secret: secret}
	ring := ringOf(t, key)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%c", "%U"} {
		for _, x := range []any{key, &key, []qos.Key{key}, struct{ K qos.Key }{key}, ring} {
			got := fmt.Sprintf(verb, x)
			for _, form := range []string{"kk", "107", "6b", "6B", "k k", "U+006B"} {
				if strings.Contains(got, form) {
					t.Errorf("%s of %T: %s", verb, x, got)
				}
			}
		}
	}
	data, err := json.Marshal(key)
	if want := `{"secret":"a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=","from":0}`; err != nil || string(data) != want {
		t.Errorf("JSON: got %s, %v, want %s", data, err, want)
	}
}
