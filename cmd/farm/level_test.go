package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// What the commands about levels say they did, one after the other on the same database.
func TestLevels(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--policy", "weighted")
	for _, step := range []struct{ command, want string }{
		{"level set WWW.example.org gold --rank 30 --unit 5% --share 0.5 --keep 10% --class fast --down 8M --up 500k --delay 20ms --dscp ef --requires both --duration 10m --handle",
			"www.example.org. gold: created: rank - -> 30, unit - -> 5%, share - -> 50%, keep - -> 10%, class - -> fast, up - -> 500k, down - -> 8M, delay - -> 20ms, dscp - -> EF, requires - -> both, duration - -> 10m, handle - -> yes"},
		{"level set www.example.org silver --rank 20 --ceiling 80% --jitter 5ms --loss 3 --profile QOS_L --element tower --refuse",
			"www.example.org. silver: created: rank - -> 20, ceiling - -> 80%, jitter - -> 5ms, loss - -> 3, profile - -> QOS_L, element - -> tower, refuse - -> yes"},
		{"level set www.example.org gold --unit 0.2% --handle=false --down 1.234M --dscp 47", "gold: changed: unit 5% -> 0.2%, down 8M -> 1.234M, dscp EF -> 47, handle yes -> -"},
		{"level set www.example.org gold --unit 0.25%", "gold: changed: unit 0.2% -> 0.25%"},
		{"level set www.example.org gold --unit 0.0025", "gold: unchanged"},
		{"level set www.example.org gold --class= --delay default --requires none", "gold: changed: class fast -> -, delay 20ms -> -, requires both -> none"},
		{"service set www.example.org --policy sticky", "changed: policy weighted -> sticky"},
		{"level delete www.example.org gold silver --dry-run", "www.example.org. gold: would be deleted\nwww.example.org. silver: would be deleted"},
		{"level delete www.example.org silver", "www.example.org. silver: deleted"},
	} {
		if got := f.ok(strings.Fields(step.command)...); !strings.HasSuffix(got, step.want+"\n") {
			t.Errorf("farm %s: got %q, want %q", step.command, got, step.want)
		}
	}
	if got := f.ok("service", "show", "www.example.org"); !strings.Contains(got, "sticky") || !strings.Contains(got, "levels      gold") {
		t.Errorf("one half of the record has undone the other:\n%s", got)
	}
	f.ok("level", "set", "www.example.org", "silver", "--rank", "20", "--profile", "QOS_L", "--refuse")
	f.golden("level_list", f.ok("level", "list"))
	f.golden("level_list_wide", f.ok("level", "list", "www.example.org", "-o", "wide"))
	f.golden("level_show", f.ok("level", "show", "www.example.org", "gold"))
	var list []levelOf
	if err := json.Unmarshal([]byte(f.ok("level", "list", "-o", "json")), &list); err != nil || len(list) != 2 || list[0].Unit != 0.0025 || list[0].In != byDatabase {
		t.Errorf("as JSON: %+v, %v", list, err)
	}
}

func TestLevelsRefused(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--policy", "weighted")
	f.ok("level", "set", "www.example.org", "gold", "--rank", "30")
	for _, tc := range []struct {
		command string
		code    int
		want    string
	}{
		{"level set ww.example.org gold --rank 30", exitNotFound, "did you mean www.example.org.?"},
		{"level set www.example.org silver", exitRefused, "rank: expected 1 to 255"},
		{"level set www.example.org silver --rank 30", exitRefused, "different names and ranks"},
		{"level set www.example.org sil_ver --rank 20", exitRefused, "lower-case letters"},
		{"level set www.example.org silver --rank 20 --requires server", exitRefused, "expected a unit above 0"},
		{"level set www.example.org silver --rank 256", exitUsage, "expected a whole number from 1 to 255"},
		{"level set www.example.org silver --down 8", exitUsage, "expected a rate in bit/s"},
		{"level set www.example.org silver --down 1000000G", exitUsage, "expected a rate in bit/s"},
		{"level set www.example.org silver --delay 20", exitUsage, "expected whole milliseconds"},
		{"level set www.example.org silver --delay 1.5ms", exitUsage, "expected whole milliseconds"},
		{"level set www.example.org silver --dscp AF44", exitUsage, "expected a code point"},
		{"level set www.example.org silver --dscp 64", exitUsage, "expected a code point"},
		{"level set www.example.org silver --handle=perhaps", exitUsage, "expected true or false"},
		{"level show www.example.org gould", exitNotFound, "did you mean gold?"},
		{"level delete www.example.org gold silver", exitNotFound, "no level silver"},
	} {
		got := f.run(strings.Fields(tc.command)...)
		if got.code != tc.code || !strings.Contains(got.err, tc.want) {
			t.Errorf("farm %s: %+v, want code %d and %q", tc.command, got, tc.code, tc.want)
		}
	}
	if got := f.ok("level", "list"); !strings.Contains(got, "gold") {
		t.Errorf("what was refused has changed something:\n%s", got)
	}
}

// The first level that is set takes those of the Corefile along; when the last is deleted, they count again.
func TestLevelsOfACorefile(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.View(store.Base{Services: []steer.Service{{Name: "www.example.org.", Levels: []steer.Level{
		{Name: "silver", Rank: 20, Keep: 0.1}, {Name: "gold", Rank: 30, Unit: 0.05, Classes: []string{"fast"}},
	}}}})
	storetest.Eventually(t, "the replica tells of its levels", func() bool { return strings.Contains(f.ok("level", "list"), "corefile") })
	if got := f.run("level", "delete", "www.example.org", "gold"); got.code != exitRefused || !strings.Contains(got.err, "stands in a Corefile") {
		t.Errorf("%+v", got)
	}
	if got := f.ok("level", "set", "www.example.org", "gold", "--rank", "30"); !strings.HasSuffix(got, "gold: unchanged\n") {
		t.Errorf("%q", got)
	}
	want := "www.example.org. gold: changed: share - -> 50%; the Corefile's no longer count: its other levels (silver) are in the database, too\n"
	if got := f.ok("level", "set", "www.example.org", "gold", "--share", "50%"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := f.ok("level", "list"); strings.Count(got, "database") != 2 || !strings.Contains(got, "5%    50%") || !strings.Contains(got, "10%") {
		t.Errorf("what the Corefile says of them is lost:\n%s", got)
	}
	storetest.Eventually(t, "the replica follows", func() bool { return s.Status().Services == 1 })
	f.ok("level", "delete", "www.example.org", "gold", "silver")
	if got := f.ok("level", "list"); strings.Count(got, "corefile") != 2 || strings.Contains(got, "50%") {
		t.Errorf("the Corefile's do not count again:\n%s", got)
	}
}

// What is shown of a setting reads back as the same.
func TestLevelTextsReadBack(t *testing.T) {
	for n := uint64(1); n < 1<<31; n = n*7/3 + 1 {
		kbit := uint32(n)
		var back uint32
		if err := rate(&back).Set(rateText(kbit)); err != nil || back != kbit {
			t.Errorf("%s: %d, %v, want %d", rateText(kbit), back, err, kbit)
		}
	}
	for code := uint8(1); code < 64; code++ {
		var back uint8
		if err := codePoint(&back).Set(codePointText(code)); err != nil || back != code {
			t.Errorf("%s: %d, %v, want %d", codePointText(code), back, err, code)
		}
	}
	for name, code := range map[string]uint8{"EF": 46, "AF11": 10, "AF43": 38, "CS1": 8, "CS7": 56, "VA": 44, "LE": 1} {
		if got := codePointText(code); got != name {
			t.Errorf("%d: %s, want %s", code, got, name)
		}
	}
	for millionths := range 1000 {
		x := float64(millionths*millionths) / 1e6
		var back float64
		if err := part(&back, fromZero, 1).Set(exactPercent(x)); err != nil || back-x > 1e-9 || x-back > 1e-9 {
			t.Errorf("%s: %v, %v, want %v", exactPercent(x), back, err, x)
		}
	}
}
