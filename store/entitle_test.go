package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

func key(id uint8, letter string) qos.Key {
	return qos.Key{ID: id, Secret: []byte(strings.Repeat(letter, 32)), From: 1}
}

// handle returns the octets of a handle and its record.
func handle(word string) (qos.HandleID, qos.HandleRecord) {
	return qos.HandleOf([]byte(word)), qos.HandleRecord{
		Client: alice, Rank: 3, Service: www, Expires: time.Now().Add(time.Hour).UnixMilli(), Phone: "+491701234567",
	}
}

// verifies says whether a store takes what a key signed.
func verifies(t testing.TB, s *store.Store, k qos.Key) bool {
	t.Helper()
	ring, err := qos.NewKeyring([]qos.Key{k})
	must(t, err)
	token, err := ring.Sign(qos.Claim{KeyID: k.ID, Client: alice, Rank: 1, Expires: time.Now().Add(time.Hour).UnixMilli()})
	must(t, err)
	_, err = s.Entitlements().Keyring().Verify(token[:], time.Now().UnixMilli())
	return err == nil
}

func rank(s *store.Store, id qos.HandleID) (rank uint8, revoked bool) {
	rec := s.Entitlements().Handle(id)
	if rec == nil {
		return 0, false
	}
	return rec.Rank, rec.Revoked
}

// Keys and handles come to replicas within moments, and go.
func TestEntitlements(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) []string{
		"single":  func(t *testing.T) []string { return []string{storetest.Start(t).URL} },
		"cluster": func(t *testing.T) []string { return storetest.StartCluster(t).URLs },
	} {
		t.Run(name, func(t *testing.T) {
			urls := url(t)
			ctx := context.Background()
			s := open(t, store.Config{URLs: urls})
			c := dial(t, urls...)
			id, rec := handle("one")
			must(t, c.PutKey(ctx, key(7, "k")))
			must(t, c.PutHandle(ctx, id, rec))
			storetest.Eventually(t, "both are known", func() bool {
				n, _ := rank(s, id)
				return n == 3 && verifies(t, s, key(7, "k"))
			})
			if verifies(t, s, key(7, "x")) || verifies(t, s, key(8, "k")) {
				t.Error("another key is taken")
			}
			if ok, err := c.RevokeHandle(ctx, id); !ok || err != nil {
				t.Errorf("revoked %v, %v", ok, err)
			}
			if ok, err := c.RevokeHandle(ctx, qos.HandleOf([]byte("two"))); ok || err != nil {
				t.Errorf("of a handle that is not known: %v, %v", ok, err)
			}
			storetest.Eventually(t, "the handle is revoked", func() bool { _, revoked := rank(s, id); return revoked })
			if keys, err := c.Keys(ctx); err != nil || len(keys) != 1 || keys[0].ID != 7 {
				t.Errorf("keys %v, %v", keys, err)
			}
			if all, err := c.Handles(ctx); err != nil || len(all) != 1 || !all[id].Revoked || all[id].Phone != rec.Phone {
				t.Errorf("handles %v, %v", all, err)
			}
			if ok, err := c.DeleteKey(ctx, 7); !ok || err != nil {
				t.Errorf("deleted %v, %v", ok, err)
			}
			if ok, err := c.DeleteKey(ctx, 7); ok || err != nil {
				t.Errorf("deleted again %v, %v", ok, err)
			}
			storetest.Eventually(t, "the key is gone", func() bool { return !verifies(t, s, key(7, "k")) })
		})
	}
}

// A database that dies, or comes back empty, takes nobody's entitlement away, and pardons nobody.
func TestEntitlementsOutliveTheDatabase(t *testing.T) {
	r := storetest.Start(t)
	ctx := context.Background()
	cfg := store.Config{URLs: []string{r.URL}, StateFile: filepath.Join(t.TempDir(), "state")}
	s, err := store.Open(cfg)
	must(t, err)
	c := dial(t, r.URL)
	good, rec := handle("good")
	bad, revoked := handle("bad")
	revoked.Revoked = true
	must(t, c.PutKey(ctx, key(1, "k")))
	must(t, c.PutHandle(ctx, good, rec))
	must(t, c.PutHandle(ctx, bad, revoked))
	known := func() bool {
		_, is := rank(s, bad)
		n, _ := rank(s, good)
		return is && n == 3 && verifies(t, s, key(1, "k"))
	}
	storetest.Eventually(t, "all is known", known)
	epoch := r.Do("HGET", "farm:{qos}:rev", "epoch")
	r.Do("FLUSHALL")
	must(t, c.PutKey(ctx, key(2, "l")))
	storetest.Eventually(t, "the other database is read", func() bool { return verifies(t, s, key(2, "l")) })
	if !known() || r.Do("HGET", "farm:{qos}:rev", "epoch") == epoch {
		t.Error("a flush has changed what was known")
	}
	storetest.Eventually(t, "the services are read", s.Ready)
	s.Close()
	info, err := os.Stat(cfg.StateFile)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the state file, which has keys in it, is %s", info.Mode())
	}
	r.Kill()
	s, err = store.Open(cfg)
	must(t, err)
	defer s.Close()
	if !known() || !verifies(t, s, key(2, "l")) {
		t.Error("a restart without Redis entitles nobody")
	}
	if st := s.Status(); st.Keys != 2 || st.Handles != 2 {
		t.Errorf("%d keys and %d handles", st.Keys, st.Handles)
	}
	r.Restart()
	must(t, c.PutKey(ctx, key(3, "m")))
	storetest.Eventually(t, "it follows again", func() bool { return verifies(t, s, key(3, "m")) })
	if !known() {
		t.Error("an empty database has changed what was known")
	}
}

// What is deleted while a replica is down is gone when it comes back to the same database.
func TestKeyDeletedMeanwhile(t *testing.T) {
	r := storetest.Start(t)
	ctx := context.Background()
	cfg := store.Config{URLs: []string{r.URL}, StateFile: filepath.Join(t.TempDir(), "state")}
	s, err := store.Open(cfg)
	must(t, err)
	c := dial(t, r.URL)
	must(t, c.PutKey(ctx, key(1, "k")))
	storetest.Eventually(t, "the key is known", func() bool { return s.Ready() && verifies(t, s, key(1, "k")) })
	s.Close()
	_, err = c.DeleteKey(ctx, 1)
	must(t, err)
	s, err = store.Open(cfg)
	must(t, err)
	defer s.Close()
	storetest.Eventually(t, "the key is gone", func() bool { return !verifies(t, s, key(1, "k")) })
}

func TestKeyFile(t *testing.T) {
	r := storetest.Start(t)
	path := filepath.Join(t.TempDir(), "keys")
	write := func(keys ...qos.Key) {
		next := path + ".next"
		must(t, os.WriteFile(next, qos.AppendKeys(nil, keys), 0o600))
		must(t, os.Rename(next, path))
	}
	cfg := store.Config{URLs: []string{r.URL}, KeyFile: path}
	if _, err := store.Open(cfg); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("got %v, want that there is no key file", err)
	}
	write(key(1, "f"), key(2, "f"))
	s := open(t, cfg)
	c := dial(t, r.URL)
	must(t, c.PutKey(context.Background(), key(1, "r")))
	must(t, c.PutKey(context.Background(), key(3, "r")))
	storetest.Eventually(t, "both are in the ring", func() bool { return verifies(t, s, key(3, "r")) && verifies(t, s, key(2, "f")) })
	if verifies(t, s, key(1, "r")) || !verifies(t, s, key(1, "f")) || s.Status().Keys != 3 {
		t.Error("expected that the file's word goes over the database's")
	}
	write(key(2, "g"))
	storetest.Eventually(t, "the file is read again", func() bool { return verifies(t, s, key(2, "g")) && verifies(t, s, key(1, "r")) })
	must(t, os.WriteFile(path, []byte("garbage"), 0o600))
	must(t, c.PutKey(context.Background(), key(4, "r")))
	storetest.Eventually(t, "the database goes on", func() bool { return verifies(t, s, key(4, "r")) })
	if !verifies(t, s, key(2, "g")) {
		t.Error("a bad file has changed what was read before")
	}
}

// What stands there by hand and cannot be read, is named; what was known stands. Nothing that is said shows a secret.
func TestBadEntitlements(t *testing.T) {
	r := storetest.Start(t)
	ctx := context.Background()
	c := dial(t, r.URL)
	must(t, c.PutKey(ctx, key(1, "k")))
	var said strings.Builder
	s, err := store.Open(store.Config{URLs: []string{r.URL}, Logger: store.Logger{
		Infof: func(f string, args ...any) { fmt.Fprintf(&said, f+"\n", args...) },
		Warnf: func(f string, args ...any) { fmt.Fprintf(&said, f+"\n", args...) },
	}})
	must(t, err)
	storetest.Eventually(t, "the key is known", func() bool { return verifies(t, s, key(1, "k")) })
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0"
	r.Do("HSET", "farm:{qos}:keys", "1", `{"secret":"`+secret+`!"}`, "300", `{"secret":"`+secret+`"}`)
	r.Do("HSET", "farm:{qos}:hdls", "x", "{}", strings.Repeat("0", 32), `{"client":"0"}`)
	must(t, c.PutKey(ctx, key(2, "l"))) // the keys are read again
	storetest.Eventually(t, "the good one is there", func() bool { return verifies(t, s, key(2, "l")) })
	if !verifies(t, s, key(1, "k")) {
		t.Error("a key that is damaged was forgotten")
	}
	st := s.Status()
	text := fmt.Sprintf("%+v\n%s", st, said.String())
	if len(st.Rejects) != 2 || strings.Contains(text, secret) || strings.Contains(text, strings.Repeat("k", 32)) {
		t.Errorf("said %s", text)
	}
	s.Close()
	if stream := r.Do("XRANGE", "farm:{qos}:chg", "-", "+"); strings.Contains(stream, "secret") {
		t.Errorf("the stream has %s", stream)
	}
}

func TestEntitleScript(t *testing.T) {
	r := storetest.Start(t)
	const id = "0123456789abcdef0123456789abcdef"
	h := func(expires int64) string { return fmt.Sprintf(`{"expires":%d}`, expires) }
	later := time.Now().Add(time.Hour).UnixMilli()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"key", "7", "set", `{"secret":"x"}`}, "OK 1"},
		{[]string{"key", "7", "set", `{"secret":"x"}`}, "OK 1"}, // nothing changed
		{[]string{"key", "7", "set", `{"secret":"y"}`}, "OK 2"},
		{[]string{"key", "7", "del"}, "OK 3"},
		{[]string{"key", "7", "del"}, "NONE 4"},
		{[]string{"key", "256", "set", `{"secret":"x"}`}, "FARM id"},
		{[]string{"key", "07", "set", `{"secret":"x"}`}, "FARM id"},
		{[]string{"key", "x", "set", `{"secret":"x"}`}, "FARM id"},
		{[]string{"key", "7", "set", `{}`}, "FARM secret"},
		{[]string{"key", "7", "put", `{}`}, "FARM operation"},
		{[]string{"lock", "7", "set", `{}`}, "FARM kind"},
		{[]string{"handle", id, "set", h(later)}, "OK 5"},
		{[]string{"handle", id, "set", `{}`}, "FARM expires"},
		{[]string{"handle", id, "set", `[]`}, "FARM record"},
		{[]string{"handle", "7", "set", h(later)}, "FARM id"},
		{[]string{"handle", strings.ToUpper(id), "set", h(later)}, "FARM id"},
		{[]string{"handle", id, "del"}, "OK 6"},
	} {
		args := append([]string{"--eval", "scripts/entitle.lua"}, store.EntitleKeys("farm")...)
		got := strings.ReplaceAll(r.Do(append(append(args, ",", "."), tt.args...)...), "\n", " ")
		if got != tt.want && !(strings.HasPrefix(tt.want, "FARM") && strings.Contains(got, tt.want)) {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
	out := r.Do("--eval", "scripts/entitle.lua", "farm:{qos}:rev", ",", ".", "key", "7", "del")
	if !strings.Contains(out, "FARM expected 4 keys") {
		t.Error(out)
	}
	// Handles that have expired make room.
	for i := range 20 {
		r.Do("HSET", "farm:{qos}:hdls", fmt.Sprintf("%032x", i), h(1))
	}
	c := dial(t, r.URL)
	storetest.Eventually(t, "handles that have expired are swept", func() bool {
		_, rec := handle("one")
		rec.Expires = time.Now().Add(time.Hour).UnixMilli()
		must(t, c.PutHandle(context.Background(), qos.HandleOf([]byte("one")), rec))
		return r.Do("HLEN", "farm:{qos}:hdls") == "1"
	})
}

func TestEntitlementsAreChecked(t *testing.T) {
	c := dial(t, "redis://127.0.0.1:1") // nothing may be sent
	ctx := context.Background()
	id, rec := handle("one")
	rec.Rank = 0
	for name, err := range map[string]error{
		"short secret": c.PutKey(ctx, qos.Key{ID: 1, Secret: []byte("k")}), "no rank": c.PutHandle(ctx, id, rec),
	} {
		if !store.IsInvalid(err) {
			t.Errorf("%s: got %v, want that it is invalid", name, err)
		}
	}
}
