package main

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// withLevels returns the program before a Redis with a service of two levels, and a key.
func withLevels(t *testing.T) (*farm, *store.Client) {
	f, r := onRedis(t)
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s := steer.Service{Name: "www.example.org.", Levels: []steer.Level{{Name: "gold", Rank: 30}, {Name: "silver", Rank: 20}}}
	if err := db.PutService(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	f.ok("key", "rotate")
	return f, db
}

// issue runs farm handle issue and returns what it says, and the octets.
func (f *farm) issue(args ...string) (h issued, octets []byte) {
	f.Helper()
	if err := json.Unmarshal([]byte(f.ok(append([]string{"handle", "issue", "-o", "json"}, args...)...)), &h); err != nil {
		f.Fatal(err)
	}
	octets, err := hex.DecodeString(h.Octets)
	if err != nil {
		f.Fatal(err)
	}
	return h, octets
}

// show runs farm handle show.
func (f *farm) show(args ...string) (h handleOf) {
	f.Helper()
	if err := json.Unmarshal([]byte(f.ok(append([]string{"handle", "show", "-o", "json"}, args...)...)), &h); err != nil {
		f.Fatal(err)
	}
	return h
}

// TestIssue: what is issued entitles whom it is for, and nobody else.
func TestIssue(t *testing.T) {
	f, db := withLevels(t)
	keys, err := db.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := qos.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	home, away := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")
	alice := qos.Client(qos.KindID, "alice")
	for _, c := range []struct {
		args                 string
		rank                 uint8
		alice, atHome, atAll bool // who may show it
		recorded             bool
	}{
		{"--service www.example.org --level gold --client alice", 30, true, false, false, false},
		{"--service WWW.example.org. --level silver --bearer", 20, true, true, true, false},
		{"--service www.example.org --rank 25 --address 192.0.2.7", 25, false, true, false, false},
		{"--service www.example.org --level gold --client alice --address 192.0.2.7", 30, true, false, false, true},
		{"--service www.example.org --level gold --client alice --phone +491234567 --note TV", 30, true, false, false, true},
		{"--service www.example.org --level gold --client alice --looked-up", 30, true, false, false, true},
		{"--service www.example.org --level gold --bearer --looked-up", 30, true, true, true, true},
		{"--service www.example.org --level gold --address 192.0.2.7 --looked-up", 30, false, true, false, true},
	} {
		t.Run(c.args, func(t *testing.T) {
			h, octets := f.issue(strings.Fields(c.args)...)
			r, recorded, err := db.Handle(t.Context(), qos.HandleOf(octets))
			if err != nil || recorded != c.recorded {
				t.Fatalf("in the database: %v, %v, want %v", recorded, err, c.recorded)
			}
			now := time.Now().UnixMilli()
			claim, err := ring.Verify(octets, now)
			if strings.Contains(c.args, "looked-up") {
				claim, err = r.Claim(h.ID, now)
			}
			if err != nil || claim.Rank != c.rank || claim.ID != h.ID || claim.Expires < now+23*3_600_000 {
				t.Fatalf("%+v, %v", claim, err)
			}
			fits := func(shown bool, from netip.Addr) bool {
				return claim.Fits("www.example.org.", alice, shown, from) == nil
			}
			if fits(true, away) != c.alice || fits(false, home) != c.atHome || fits(false, away) != c.atAll {
				t.Errorf("%+v fits alice %v, home %v, anybody %v", claim, fits(true, away), fits(false, home), fits(false, away))
			}
			if claim.Fits("api.example.org.", alice, true, home) == nil {
				t.Error("it fits another service")
			}
			if !recorded {
				h.Address = "" // it is known to who shows the handle
			}
			f.checkForms(&h, octets, strings.Contains(c.args, "alice"))
		})
	}
}

// checkForms reads the forms that a handle was printed in.
func (f *farm) checkForms(h *issued, octets []byte, alice bool) {
	f.Helper()
	var byName, byOption qos.Asked
	rest, _, err := qos.StripLabels(h.Name, &byName)
	if err != nil || rest != h.Service || string(byName.Handle[:byName.HandleLen]) != string(octets) || byName.HasClient != alice {
		f.Errorf("name %s: %+v, %v", h.Name, byName, err)
	}
	option, err := hex.DecodeString(h.Option)
	if err != nil || qos.ParseOption(option, &byOption) != nil || byOption != byName {
		f.Errorf("option %s: %+v, %v", h.Option, byOption, err)
	}
	for _, form := range []string{h.Label, strings.ToUpper(h.Label), strings.TrimPrefix(h.Label, "_h-"), h.Name, h.Octets, h.Option} {
		if got := f.show(form); got.ID != h.ID || got.State != valid || got.Rank != h.Rank || got.Client != h.Client || got.Service != h.Service ||
			got.Shown != h.Shown || got.Expires != h.Expires || got.Kind != h.Kind || got.Address != h.Address || got.Phone != h.Phone {
			f.Errorf("show %s: %+v, want %+v", form, got, h.handleOf)
		}
	}
}

// TestBearersAreApart: two that have no name are two clients.
func TestBearersAreApart(t *testing.T) {
	f, _ := withLevels(t)
	a, _ := f.issue("--service", "www.example.org", "--level", "gold", "--bearer")
	b, _ := f.issue("--service", "www.example.org", "--level", "gold", "--bearer")
	if a.Client == b.Client {
		t.Errorf("both are %s", a.Client)
	}
}

func TestIssueForEveryService(t *testing.T) {
	f, _ := withLevels(t)
	h, _ := f.issue("--service", ".", "--rank", "30", "--client", "alice", "--expires", "1000h")
	if got := f.show(h.Label); h.Name != "" || got.Service != "." || got.State != valid {
		t.Errorf("%+v: %+v", h, got)
	}
}

// TestIssueByFile: with a key file and a rank, no database is asked.
func TestIssueByFile(t *testing.T) {
	f := &farm{t, map[string]string{"FARM_REDIS": "redis://127.0.0.1:1"}}
	file := filepath.Join(t.TempDir(), "farm.keys")
	f.ok("key", "rotate", "--file", file)
	h, octets := f.issue("--service", "www.example.org", "--rank", "30", "--client", strings.Repeat("a", 38), "--file", file)
	keys, err := keyFile(file).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ring, err := qos.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Verify(octets, time.Now().UnixMilli()); err != nil || h.Name != "" {
		t.Errorf("%+v: %v", h, err)
	}
}

func TestRevoke(t *testing.T) {
	f, db := withLevels(t)
	gold := []string{"--service", "www.example.org", "--level", "gold", "--client", "alice"}
	a, _ := f.issue(gold...)
	b, _ := f.issue(append(gold, "--looked-up")...)
	c, _ := f.issue(append(gold, "--bearer", "--note", "TV")...)
	for _, step := range []struct{ handle, want string }{
		{a.Name, a.ID.String() + ": revoked\n"},
		{a.Octets, a.ID.String() + ": unchanged, revoked\n"},
		{a.ID.String(), a.ID.String() + ": unchanged, revoked\n"},
		{b.ID.String(), b.ID.String() + ": revoked\n"},
		{c.Label, c.ID.String() + ": revoked\n"},
	} {
		if got := f.ok("handle", "revoke", step.handle); got != step.want {
			t.Errorf("%s: got %q, want %q", step.handle, got, step.want)
		}
	}
	for _, h := range []*issued{&a, &b, &c} {
		r, ok, err := db.Handle(t.Context(), h.ID)
		if err != nil || !ok || !r.Revoked || r.Note != h.Note || r.Client != h.Client || r.Rank != h.Rank {
			t.Errorf("%s: %+v, %v, %v", h.ID, r, ok, err)
		}
		if got := f.show(h.Octets); got.State != "it is revoked" {
			t.Errorf("show: %+v", got)
		}
	}
	list := f.ok("handle", "list")
	if strings.Count(list, "it is revoked") != 3 || strings.Contains(list, a.Octets) || strings.Contains(list, a.Label) {
		t.Errorf("list:\n%s", list)
	}
}

// TestHandleThatDoesNotHold is shown, with the reason.
func TestHandleThatDoesNotHold(t *testing.T) {
	f, _ := withLevels(t)
	h, octets := f.issue("--service", "www.example.org", "--level", "gold", "--client", "alice")
	octets[6]++
	forged := hex.EncodeToString(octets)
	if got := f.show(forged); got.State != "the signature is wrong" || got.Rank != 31 || got.Level != "gold" {
		t.Errorf("forged: %+v", got)
	}
	if got := f.ok("handle", "revoke", forged); !strings.HasSuffix(got, ": revoked; it did not hold before: the signature is wrong\n") {
		t.Errorf("forged: %q", got)
	}
	f.ok("key", "delete", "0")
	if got := f.show(h.Label); got.State != "expected a key that is known and valid" {
		t.Errorf("without its key: %+v", got)
	}
	f.ok("service", "delete", "www.example.org")
	if got := f.show(h.Label); got.Service != "" || got.Level != "" || got.Rank != 30 {
		t.Errorf("without its service: %+v", got)
	}
}

// TestHandleText is what people see.
func TestHandleText(t *testing.T) {
	f, _ := withLevels(t)
	got := f.ok("handle", "issue", "--service", "www.example.org", "--level", "gold", "--client", "alice", "--note", "TV")
	for _, want := range []string{
		"kind       signed by key 0\n", "state      valid\n", "level      gold, rank 30\n", "client     c364f41306b5ee6a\n", "shown      with the client id\n",
		"note       TV\n", "\nlabel   _h-0", "\noctets  0100", "\noption  01000205616c6963650324", "\n  dig _c-c5m6ior5._h-0", "\n  dig +ednsopt=65400:0100",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

// TestHandleMistakes: what cannot be done says why, and shows no handle.
func TestHandleMistakes(t *testing.T) {
	f, _ := withLevels(t)
	const who = " --client alice"
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"issue --level gold" + who, exitUsage, "flag --service: expected SERVICE"},
		{"issue --service www.example.org" + who, exitUsage, "flags --level and --rank: expected one of them"},
		{"issue --service www.example.org --level gold --rank 3" + who, exitUsage, "flags --level and --rank: expected one of them"},
		{"issue --service . --level gold" + who, exitUsage, "expected --rank instead with --service ."},
		{"issue --service www.example.org --level gold", exitUsage, "who may show it"},
		{"issue --service www.example.org --level gold --expires 59s" + who, exitUsage, "expected at least 1m"},
		{"issue --service www.example.org --level gold --looked-up --file x" + who, exitUsage, "expected one of them"},
		{"issue --service www.example.org --rank 256" + who, exitUsage, "from 1 to 255"},
		{"issue --service www.example.org --rank 30 --address here", exitUsage, "expected an IP address"},
		{"issue --service www.example.org --rank 30 --client " + strings.Repeat("a", 256), exitUsage, "at most 255 octets"},
		{"issue --service www.example.org --rank 30 --phone 12" + who, exitRefused, "phone: expected"},
		{"issue --service www.example.org --level golt" + who, exitNotFound, "no level golt at www.example.org.; did you mean gold?"},
		{"issue --service ww.example.org --level gold" + who, exitNotFound, "did you mean www.example.org.?"},
		{"show x", exitUsage, "expected a handle as a label"},
		{"show www.example.org", exitUsage, "expected a handle as a label"},
		{"show 0102", exitUsage, "expected a handle as a label"},
		{"show " + strings.Repeat("02", 36), exitRefused, "expected 36 octets of version 1"},
		{"show " + strings.Repeat("02", 16), exitNotFound, "no such handle"},
		{"revoke " + strings.Repeat("02", 16), exitNotFound, "no such handle"},
		{"revoke _h-0", exitUsage, "expected a handle as a label"},
	} {
		r := f.run(append([]string{"handle"}, strings.Fields(c.args)...)...)
		if r.code != c.code || !strings.Contains(r.err, c.want) || strings.Contains(r.err, "0202") {
			t.Errorf("farm handle %s: %+v, want %d, %s", c.args, r, c.code, c.want)
		}
	}
	f.ok("key", "delete", "0")
	r := f.run("handle", "issue", "--service", "www.example.org", "--level", "gold", "--client", "alice")
	if r.code != exitNotFound || !strings.Contains(r.err, "farm key rotate makes one") {
		t.Errorf("without a key: %+v", r)
	}
}
