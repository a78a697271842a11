package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
)

func TestRotate(t *testing.T) {
	const now, hour = int64(1_790_000_000_000), int64(3_600_000)
	secret := bytes.Repeat([]byte("k"), 32)
	key := func(id uint8, from, until int64) qos.Key {
		return qos.Key{ID: id, Secret: secret, From: from, Until: until}
	}
	for _, c := range []struct {
		name    string
		keys    []qos.Key
		overlap time.Duration
		want    turn
	}{
		{"the first", nil, time.Hour, turn{fresh: key(0, now, 0)}},
		{"the second", []qos.Key{key(0, 5, 0)}, time.Hour, turn{fresh: key(1, now, 0), old: []qos.Key{key(0, 5, now+hour)}}},
		{"no overlap", []qos.Key{key(0, 5, 0)}, 0, turn{fresh: key(1, now, 0), old: []qos.Key{key(0, 5, now)}}},
		{"no overlap, at once", []qos.Key{key(0, now, 0)}, 0, turn{fresh: key(1, now, 0), old: []qos.Key{key(0, now, now+1)}}},
		{"one that ends sooner", []qos.Key{key(7, 5, now+1)}, time.Hour, turn{fresh: key(8, now, 0)}},
		{"one that ends later", []qos.Key{key(7, 5, now+2*hour)}, time.Hour, turn{fresh: key(8, now, 0), old: []qos.Key{key(7, 5, now+hour)}}},
		{"one that has ended", []qos.Key{key(7, 5, now)}, time.Hour, turn{fresh: key(0, now, 0), gone: []uint8{7}}},
		{"one that begins later", []qos.Key{key(0, now+1, 0)}, time.Hour, turn{fresh: key(1, now, 0)}},
		{"after the last id", []qos.Key{key(255, 5, now+1), key(0, 5, now+1)}, time.Hour, turn{fresh: key(1, now, 0)}},
	} {
		got, err := rotate(c.keys, secret, now, c.overlap)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	var all []qos.Key
	for id := range qos.MaxKeys {
		all = append(all, key(uint8(id), 5, 0))
	}
	if _, err := rotate(all, secret, now, time.Hour); codeOf(err, true) != exitRefused {
		t.Errorf("a 257th key: %v", err)
	}
}

// keyPlaces runs a test with keys in the database, and in a file. args are what the commands need to know of it.
func keyPlaces(t *testing.T, test func(t *testing.T, f *farm, load func() []qos.Key, args ...string)) {
	t.Run("database", func(t *testing.T) {
		f, r := onRedis(t)
		db, err := store.Dial([]string{r.URL}, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		test(t, f, func() []qos.Key {
			keys, err := db.Keys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return keys
		})
	})
	t.Run("file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "farm.keys")
		f := &farm{t, map[string]string{"FARM_REDIS": "redis://127.0.0.1:1"}} // which is not asked
		test(t, f, func() []qos.Key {
			keys, err := keyFile(file).load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}, "--file", file)
	})
}

// TestKeys: the commands do the same in both places, and show no secret.
func TestKeys(t *testing.T) {
	keyPlaces(t, func(t *testing.T, f *farm, load func() []qos.Key, args ...string) {
		said := ""
		do := func(command string) string {
			t.Helper()
			out := f.ok(append(strings.Fields(command), args...)...)
			said += out
			return out
		}
		if got := do("key list"); got != "KEY  NOW  FROM  UNTIL\n" {
			t.Errorf("no keys: %q", got)
		}
		if got := do("key rotate"); got != "key 0: created; signs handles from now on\n" {
			t.Errorf("the first: %q", got)
		}
		if got := do("key rotate --overlap 90m"); !strings.Contains(got, "key 1: created") || !strings.Contains(got, "key 0: ends; what it signed holds until 2") {
			t.Errorf("the second: %q", got)
		}
		var list []keyOf
		if err := json.Unmarshal([]byte(do("key list -o json")), &list); err != nil || len(list) != 2 || list[0].State != keyHolds || list[1].State != keySigns {
			t.Errorf("%+v, %v", list, err)
		}
		keys := load()
		if len(keys) != 2 || keys[0].Until-keys[1].From != 90*60_000 || keys[1].Until != 0 || bytes.Equal(keys[0].Secret, keys[1].Secret) || len(keys[1].Secret) != 32 {
			t.Fatalf("%+v: until %d, from %d", keys, keys[0].Until, keys[1].From)
		}
		do("key list -o wide")
		do("key delete 0 -o json")
		if got := load(); len(got) != 1 || got[0].ID != 1 {
			t.Errorf("after the deletion: %v", got)
		}
		r := f.run(append([]string{"key", "delete", "0"}, args...)...)
		if r.code != exitNotFound || !strings.Contains(r.err, "no key 0; farm key list") {
			t.Errorf("%+v", r)
		}
		said += r.err
		for _, k := range keys {
			if strings.Contains(said, base64.StdEncoding.EncodeToString(k.Secret)[:16]) {
				t.Errorf("%s is shown:\n%s", k, said)
			}
		}
	})
}

// TestKeyFile: the file is its owner's alone, and a bad one is left as it is.
func TestKeyFile(t *testing.T) {
	f := &farm{T: t}
	dir := t.TempDir()
	file := filepath.Join(dir, "farm.keys")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f.ok("key", "rotate", "--file", file)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	const bad = "7 c2VjcmV0LXNlY3JldC1zZWNyZXQ= yesterday\n"
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"list", "rotate", "delete 7"} {
		r := f.run(append(append([]string{"key"}, strings.Fields(command)...), "--file", file)...)
		if r.code != exitRefused || !strings.Contains(r.err, "line 1: key 7: expected times") || strings.Contains(r.err, "c2Vj") {
			t.Errorf("%s: %+v", command, r)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != bad {
		t.Errorf("%q, %v", data, err)
	}
	if r := f.run("key", "rotate", "--file", filepath.Join(dir, "none", "farm.keys")); r.code != exitFailed {
		t.Errorf("no folder: %+v", r)
	}
}

// TestKeyMistakes: what cannot be done says why.
func TestKeyMistakes(t *testing.T) {
	f := &farm{t, map[string]string{"FARM_REDIS": "redis://127.0.0.1:1"}}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"key lst", exitUsage, "did you mean list?"},
		{"key delete", exitUsage, "arguments: 0: expected KEY..."},
		{"key delete 256", exitUsage, `key "256": expected an id from 0 to 255`},
		{"key rotate --overlap -1s", exitUsage, `: expected a duration from 0 to`},
		{"key rotate now", exitUsage, `arguments: 1: expected none`},
		{"key list", exitUnreachable, "is it running there?"},
	} {
		if r := f.run(strings.Fields(c.args)...); r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("farm %s: %+v, want %d, %s", c.args, r, c.code, c.want)
		}
	}
}
