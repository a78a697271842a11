package qos_test

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

var secret64 = base64.StdEncoding.EncodeToString(secret)

func TestParseKeys(t *testing.T) {
	got, err := qos.ParseKeys([]byte("# of the video service\n\n7 " + secret64 + "\n" +
		"  8\t" + secret64 + " 2026-09-01T00:00:00Z # until further notice\r\n" +
		"255 " + secret64 + " 2026-09-01T00:00:00.5+02:00 2026-10-01T00:00:00Z"))
	want := []qos.Key{
		{ID: 7, Secret: secret},
		{ID: 8, Secret: secret, From: 1788220800000},
		{ID: 255, Secret: secret, From: 1788213600500, Until: 1790812800000},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, %v", got, err)
	}
	again, err := qos.ParseKeys(qos.AppendKeys(nil, want))
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("written and read again: %v", err)
	}
}

func TestParseKeysRefuses(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"7", "line 1: expected ID BASE64"},
		{"\n# x\n256 " + secret64, "line 3: expected ID BASE64"},
		{"-1 " + secret64, "line 1: expected ID BASE64"},
		{secret64 + " 7", "line 1: expected ID BASE64"},
		{"7 " + secret64 + " a b c", "line 1: expected ID BASE64"},
		{"7 " + secret64[:20], "line 1: key 7: expected a secret of 16 to 64 octets, got 15"},
		{"7 " + secret64[:31], "line 1: key 7: expected the secret in base64"},
		{"7 2026-09-01T00:00:00Z " + secret64, "line 1: key 7: expected the secret in base64"},
		{"7 " + secret64 + " " + secret64, "line 1: key 7: expected times such as"},
		{"7 " + secret64 + " yesterday", "line 1: key 7: expected times such as"},
		{"7 " + secret64 + " 1969-01-01T00:00:00Z", "line 1: key 7: expected times such as"},
		{"7 " + secret64 + " 2026-09-02T00:00:00Z 2026-09-01T00:00:00Z", "line 1: key 7: expected that it is valid"},
		{"7 " + secret64 + "\n7 " + secret64, "line 2: key 7: expected each id once"},
		{strings.Repeat("#", 1<<16+1), "key file: expected at most 65536 octets"},
	} {
		keys, err := qos.ParseKeys([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || keys != nil {
			t.Errorf("%.40q: got %v, want %s", c.file, err, c.want)
		} else if strings.Contains(err.Error(), secret64[:8]) {
			t.Errorf("%q: the error shows the secret: %v", c.file, err)
		}
	}
}

// FuzzParseKeys: what is read is bounded, makes a keyring, and is written and read as the same.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("7 " + secret64 + " 2026-09-01T00:00:00Z 2026-10-01T00:00:00+01:00\n# x\n8 " + secret64))
	f.Add([]byte("7 " + secret64 + " 2026-09-01T00:00:00Z\r\n\r\n7 " + secret64))
	f.Add([]byte("300 x"))
	f.Fuzz(func(t *testing.T, file []byte) {
		keys, err := qos.ParseKeys(file)
		if err != nil {
			for word := range strings.FieldsSeq(string(file)) {
				if len(word) > 20 && strings.Contains(err.Error(), word) {
					t.Fatalf("the error shows %q: %v", word, err)
				}
			}
			return
		}
		if _, err := qos.NewKeyring(keys); err != nil {
			t.Fatal(err)
		}
		again, err := qos.ParseKeys(qos.AppendKeys(nil, keys))
		if err != nil || !reflect.DeepEqual(again, keys) {
			t.Fatalf("read again: %v", err)
		}
	})
}
