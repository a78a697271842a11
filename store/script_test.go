package store_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// script runs a script file through redis-cli, as a foreign agent would.
func script(r *storetest.Redis, name, service string, args ...string) string {
	all := append([]string{"--eval", "scripts/" + name + ".lua"}, store.Keys(store.DefaultPrefix, service)...)
	return strings.ReplaceAll(r.Do(append(append(all, ",", service), args...)...), "\n", " ")
}

// Every script begins with the same lines, and says so.
func TestScriptsShareTheirPrologue(t *testing.T) {
	part := func(name, from string) string {
		_, rest, _ := strings.Cut(store.Script(name), from)
		text, _, ok := strings.Cut(rest, "\n--\n")
		if !ok {
			return ""
		}
		return text
	}
	const all, ofServices = "is the same in every script.\n", "is the same in every script of a service.\n"
	for _, name := range store.Scripts() {
		if got := part(name, all); got == "" || got != part("report", all) {
			t.Errorf("%s.lua: expected the prologue of report.lua", name)
		}
		if got := part(name, ofServices); got != part("report", ofServices) && name != "entitle" || got == "" && name != "entitle" {
			t.Errorf("%s.lua: expected the second part of the prologue of report.lua", name)
		}
	}
	if store.Script("nothing") != "" {
		t.Error("there is a script called nothing")
	}
}

func TestScripts(t *testing.T) {
	r := storetest.Start(t)
	const a, b = `{"addresses":["192.0.2.1"],"by":"agent"}`, `{"addresses":["192.0.2.2"]}`
	report := func(more string) string { return `{"lease":5` + more + `}` }
	long := `{"x":"` + strings.Repeat("x", 8192) + `"}`
	tests := []struct {
		name, svc string
		args      []string
		want      string // a prefix
	}{
		// The first change implies the service: two revisions.
		{"server", www, []string{"a", "set", a}, "OK 2"},
		{"server", www, []string{"a", "set", a}, "OK 2"}, // nothing changed
		{"server", www, []string{"b", "set", b}, "OK 3"},
		{"server", www, []string{"b", "set", a}, "KEPT 3"}, // an operator's stands
		{"server", www, []string{"b", "set", `{"addresses":["192.0.2.3"]}`}, "OK 4"},
		{"server", www, []string{"c", "del"}, "NONE 5"},
		{"server", www, []string{"B", "set", a}, "KEPT 5"}, // ids have no letter case
		{"server", www, []string{"b_", "set", a}, "FARM id"},
		{"server", www, []string{"-b", "set", a}, "FARM id"},
		{"server", www, []string{strings.Repeat("b", 64), "set", a}, "FARM id"},
		{"server", www, []string{"b", "put", a}, "FARM operation"},
		{"server", www, []string{"b", "set", `["a"]`}, "FARM record"},
		{"server", www, []string{"b", "set", `{"a":`}, "FARM record"},
		{"server", www, []string{"b", "set", long}, "FARM record"},
		{"server", "www.example.org", []string{"b", "set", a}, "FARM service"},
		{"server", "WWW.example.org.", []string{"b", "set", a}, "FARM service"},

		{"report", www, []string{"a", report(``)}, "OK 6"},
		{"report", www, []string{"x", report(``)}, "OK 7"}, // it may stand in a Corefile
		{"report", www, []string{"x", report(`,"agent":"1","seq":1`)}, "UNKNOWN 7"},
		{"report", www, []string{"x@p", report(`,"agent":"p","seq":1`)}, "OK 8"},
		{"report", www, []string{"a", report(`,"agent":"1","seq":7`)}, "OK 9"},
		{"report", www, []string{"a", report(`,"agent":"1","seq":7`)}, "STALE 9 7"},
		{"report", www, []string{"A", report(`,"agent":"1","seq":6`)}, "STALE 9 7"},
		{"report", www, []string{"a", report(`,"agent":"2","seq":2`)}, "CLAIMED 9 1"},
		{"report", www, []string{"a", report(`,"agent":"2","seq":1`)}, "OK 10"},
		{"report", www, []string{"a", report(`,"agent":"1","seq":8`)}, "CLAIMED 10 2"},
		{"report", www, []string{"a", report(``)}, "OK 11"},
		{"report", www, []string{"a", report(`,"x":"` + strings.Repeat("x", 8160) + `"`)}, "FARM report: expected at most 8192 octets with"},
		{"report", www, []string{"a", `{"lease":0}`}, "FARM lease"},
		{"report", www, []string{"a", `{"lease":86401}`}, "FARM lease"},
		{"report", www, []string{"a", `{"lease":"5"}`}, "FARM lease"},
		{"report", www, []string{"a", `{"lease":NaN}`}, "FARM lease"},
		{"report", www, []string{"a", report(`,"agent":"1"`)}, "FARM agent and seq"},
		{"report", www, []string{"a@", report(``)}, "FARM id"},
		{"report", www, []string{"a@b@c", report(``)}, "FARM id"},

		{"admin", www, []string{"A", "drain"}, "OK 12"},
		{"admin", www, []string{"a", "drain", "operator"}, "OK 12"}, // a drain under way goes on
		{"admin", www, []string{"a", "ready", "agent"}, "KEPT 12"},
		{"admin", www, []string{"a", "maint", "agent"}, "KEPT 12"},
		{"admin", www, []string{"a", "ready"}, "OK 13"},
		{"admin", www, []string{"a", "ready"}, "OK 14"}, // passed on to readers that keep a lost state
		{"admin", www, []string{"a", "ready", "agent"}, "OK 14"},
		{"admin", www, []string{"a", "drain", "agent"}, "OK 15"},
		{"admin", www, []string{"a", "ready", "agent"}, "OK 16"},
		{"admin", www, []string{"a", "off"}, "FARM state"},
		{"admin", www, []string{"a", "drain", "me"}, "FARM by"},

		{"report", www, []string{"a", `{"leave":true,"agent":"1","seq":1}`}, "OK 17"}, // the one before had no agent
		{"report", www, []string{"a", `{"leave":true,"agent":"1","seq":1}`}, "UNKNOWN 17"},
		{"server", www, []string{"a", "set", a}, "OK 18"},
		{"report", www, []string{"a", report(`,"agent":"1","seq":1`)}, "OK 20"}, // and it is taken back that it left
		{"report", www, []string{"a", `{"leave":true,"agent":"2","seq":1}`}, "CLAIMED 20 1"},
		{"report", www, []string{"x@p", `{"leave":true}`}, "FARM leave"},

		{"service", www, []string{"set", `{"policy":"first"}`}, "OK 21"},
		{"service", www, []string{"set", `{"policy":"first"}`}, "OK 21"},
		{"service", www, []string{"set", `first`}, "FARM record"},
		{"service", www, []string{"del"}, "OK 22"},
		{"service", www, []string{"del"}, "NONE 23"},
	}
	for _, tt := range tests {
		if got := script(r, tt.name, tt.svc, tt.args...); got != tt.want && !(strings.HasPrefix(tt.want, "FARM") && strings.Contains(got, tt.want)) {
			t.Errorf("%s %q: got %q, want %q", tt.name, tt.args, got, tt.want)
		}
	}
	if left := r.Do("KEYS", "*"); strings.Contains(left, www) {
		t.Errorf("the service left %q", left)
	}
	if n := r.Do("XLEN", tag("chg")); n != "23" {
		t.Errorf("%s changes, want 23", n)
	}
}

// Readers did not read what hangs under a service that was not listed: the revision that is left out tells them to.
func TestListingWhatWasThere(t *testing.T) {
	r := storetest.Start(t)
	script(r, "server", www, "a", "set", `{"addresses":["192.0.2.1"]}`)
	for i, again := range [][]string{{"report", "a", `{"lease":5}`}, {"service", "set", `{"policy":"first"}`}, {"admin", "a", "drain"}} {
		r.Do("DEL", tag("svcs"))
		before, _ := strconv.Atoi(r.Do("HGET", tag("rev"), "rev"))
		script(r, again[0], www, again[1:]...)
		after, _ := strconv.Atoi(r.Do("HGET", tag("rev"), "rev"))
		if want := before + 3 - i%2; after != want { // the gap, the service and, but for the service itself, the change
			t.Errorf("%s: revision %d after %d, want %d", again[0], after, before, want)
		}
	}
}

func TestScriptsRefuseForeignKeys(t *testing.T) {
	r := storetest.Start(t)
	keys := store.Keys("farm", "other.example.org.")
	out := r.Do(append(append([]string{"--eval", "scripts/report.lua"}, keys...), ",", www, "a", `{"lease":5}`)...)
	if !strings.Contains(out, "FARM key 4") {
		t.Error(out)
	}
	out = r.Do("--eval", "scripts/report.lua", keys[0], ",", www, "a", `{"lease":5}`)
	if !strings.Contains(out, "FARM expected 6 keys") {
		t.Error(out)
	}
}

// A lease that ran out claims nothing.
func TestClaimEndsWithTheLease(t *testing.T) {
	r := storetest.Start(t)
	script(r, "server", www, "a", "set", `{"addresses":["192.0.2.1"]}`)
	script(r, "report", www, "a", `{"lease":0.1,"agent":"1","seq":9}`)
	storetest.Eventually(t, "another agent may go on", func() bool {
		return strings.HasPrefix(script(r, "report", www, "a", `{"lease":0.1,"agent":"2","seq":9}`), "OK")
	})
}

// What agents left behind an hour ago is swept, and what operators said is not.
func TestSweep(t *testing.T) {
	r := storetest.Start(t)
	longAgo := time.Now().Add(-2 * time.Hour).UnixMilli()
	old := fmt.Sprintf(`{"lease":5,"at":%d}`, longAgo)
	for _, id := range []string{"a", "b", "c", "out"} {
		script(r, "server", www, id, "set", `{"addresses":["192.0.2.1"],"by":"agent"}`)
	}
	script(r, "admin", www, "c", "drain", "agent")
	script(r, "admin", www, "out", "maint")
	script(r, "server", www, "op", "set", `{"addresses":["192.0.2.1"]}`)
	for _, field := range []string{"b", "c", "op", "out", "b@p", "gone"} {
		r.Do("HSET", tag("reps:"+www), field, old)
	}
	script(r, "report", www, "a", `{"lease":60}`)
	if n := r.Do("HLEN", tag("srvs:"+www)); n != "5" {
		t.Errorf("the first report after a pause has swept: %s servers left", n)
	}
	storetest.Eventually(t, "two agents' servers are swept", func() bool {
		script(r, "report", www, "a", `{"lease":60}`)
		return r.Do("HLEN", tag("srvs:"+www)) == "3" && r.Do("HLEN", tag("reps:"+www)) == "3"
	})
	left := strings.Fields(r.Do("HKEYS", tag("srvs:"+www)))
	if slices.Sort(left); !slices.Equal(left, []string{"a", "op", "out"}) {
		t.Errorf("left are %v, want a, op and out", left)
	}
	for id, want := range map[string]bool{"a": false, "b": true, "c": true, "gone": true, "op": false, "out": false} {
		if got := strings.Contains(r.Do("HGET", tag("adms:"+www), id), `"left":"swept"`); got != want {
			t.Errorf("%s is remembered as swept: %v, want %v", id, got, want)
		}
	}
}

// Who may say what of a server whose agent has left, and what is remembered then.
func TestScriptsOfAServerThatLeft(t *testing.T) {
	r := storetest.Start(t)
	const pure, gone = `{"state":"maint","since":N,"by":"agent","left":"stopped","left_at":N}`, ""
	const went = `{"state":"maint","since":N,"by":"agent","left":"stopped","left_at":N,"addresses":["192.0.2.1"]}`
	op := func(state, more string) string {
		return `{"state":"` + state + `","since":N,"by":"operator"` + more + `}`
	}
	const left = `,"left":"stopped","left_at":N`
	set := []string{"server", "a", "set", `{"addresses":["192.0.2.1"],"by":"agent"}`}
	byOperator := []string{"server", "a", "set", `{"addresses":["192.0.2.1"]}`}
	report, leave := []string{"report", "a", `{"lease":5}`}, []string{"report", "a", `{"leave":true}`}
	admin := func(state, by string) []string { return []string{"admin", "a", state, by} }
	for _, tt := range []struct {
		name       string
		acts       [][]string
		admin      string // what is remembered, times as N
		registered string // HEXISTS
		reported   string
	}{
		{"stops", [][]string{set, report, leave}, went, "0", "0"},
		{"stops, and is registered by an operator", [][]string{byOperator, report, leave}, pure, "1", "0"},
		{"is reported on by hand, and stops", [][]string{report, leave}, pure, "0", "0"},
		{"stops while an operator drains it", [][]string{set, report, admin("drain", "operator"), leave}, op("drain", left), "1", "0"},
		{"stops while it drains itself", [][]string{set, report, admin("drain", "agent"), leave}, went, "0", "0"},
		{"comes back", [][]string{set, report, leave, set, admin("ready", "agent"), report}, gone, "1", "1"},
		{"is registered, not heard", [][]string{set, report, leave, set, admin("ready", "agent")}, went, "1", "0"},
		{"comes back and an operator drains it", [][]string{set, report, admin("drain", "operator"), leave, set, admin("ready", "agent"), report},
			op("drain", ""), "1", "1"},
		{"drains itself before it is heard", [][]string{set, report, leave, set, admin("drain", "agent"), report},
			`{"state":"drain","since":N,"by":"agent"}`, "1", "1"},
		{"an operator has it ready", [][]string{report, []string{"report", "b", `{"lease":5}`}, leave, admin("ready", "operator")}, op("ready", ""), "0", "0"},
		{"an operator takes back a drain first", [][]string{set, report, admin("drain", "operator"), leave, admin("ready", "operator")}, pure, "1", "0"},
		{"an operator puts it in maint, and takes that back", [][]string{set, report, leave, admin("maint", "operator"), admin("ready", "operator")}, went, "0", "0"},
		{"an operator deletes it", [][]string{set, report, leave, {"server", "a", "del"}}, gone, "0", "0"},
		{"a prober reports", [][]string{set, report, leave, {"report", "a@p", `{"lease":5}`}}, went, "0", "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(r, "service", www, "del")
			for _, act := range tt.acts {
				if got := script(r, act[0], www, act[1:]...); strings.Contains(got, "FARM") || strings.Contains(got, "ERR") {
					t.Fatalf("%q: %s", act, got)
				}
			}
			got := regexp.MustCompile(`[0-9]{13}`).ReplaceAllString(r.Do("HGET", tag("adms:"+www), "a"), "N")
			if got != tt.admin {
				t.Errorf("remembered is %s, want %s", got, tt.admin)
			}
			if got := r.Do("HEXISTS", tag("srvs:"+www), "a") + r.Do("HEXISTS", tag("reps:"+www), "a"); got != tt.registered+tt.reported {
				t.Errorf("registered and reported %s, want %s%s", got, tt.registered, tt.reported)
			}
		})
	}
}

// Of a service a thousand servers are remembered that left: who comes and goes under ever new names fills nothing.
func TestServersThatLeaveAreForgottenInTurn(t *testing.T) {
	r := storetest.Start(t)
	script(r, "admin", www, "op", "maint")
	for i := range 1000 {
		r.Do("HSET", tag("adms:"+www), fmt.Sprintf("s%d", i), fmt.Sprintf(`{"state":"maint","since":1,"by":"agent","left":"stopped","left_at":%d}`, i+1))
	}
	for i := range 20 {
		script(r, "report", www, fmt.Sprintf("new%d", i), `{"leave":true}`)
	}
	if n := r.Do("HLEN", tag("adms:"+www)); n != "1001" {
		t.Errorf("%s are remembered, want 1001", n)
	}
	if r.Do("HEXISTS", tag("adms:"+www), "op") != "1" {
		t.Error("what an operator said is forgotten")
	}
	news := 0
	for i := range 20 {
		if r.Do("HEXISTS", tag("adms:"+www), fmt.Sprintf("new%d", i)) == "1" {
			news++
		}
	}
	if news != 20 {
		t.Errorf("%d of the last 20 are remembered", news)
	}
}

// A report says since when the server is well again, by Redis's clock.
func TestScriptsTellSinceWhenAServerIsWell(t *testing.T) {
	r := storetest.Start(t)
	say := func(id, more string) func() {
		return func() { script(r, "report", www, id, `{"lease":60`+more+`}`) }
	}
	const down = `,"health":"down"`
	ended := func(id string) func() {
		return func() { r.Do("HSET", tag("reps:"+www), id, `{"lease":5,"at":1}`) }
	}
	for _, tt := range []struct {
		name string
		id   string
		acts []func()
		well bool
	}{
		{"its first report", "a", []func(){say("a", "")}, false},
		{"goes on", "a", []func(){say("a", ""), say("a", "")}, false},
		{"down", "a", []func(){say("a", ""), say("a", down)}, false},
		{"up again", "a", []func(){say("a", down), say("a", "")}, true},
		{"up again, and goes on", "a", []func(){say("a", down), say("a", ""), say("a", ""), say("a", "")}, true},
		{"degraded", "a", []func(){say("a", ""), say("a", `,"health":"degraded"`), say("a", "")}, false},
		{"back from silence", "a", []func(){ended("a"), say("a", "")}, true},
		{"back after it left", "a", []func(){say("a", ""), say("a", `,"leave":true`), say("a", "")}, true},
		{"what a report says of it does not count", "a", []func(){say("a", down), say("a", `,"well":5`)}, true},
		{"a prober's first report", "a@p", []func(){say("a@p", "")}, false},
		{"a prober sees it up again", "a@p", []func(){say("a@p", down), say("a@p", "")}, true},
		{"a prober was away", "a@p", []func(){ended("a@p"), say("a@p", "")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script(r, "service", www, "del")
			for _, act := range tt.acts {
				act()
			}
			got := r.Do("HGET", tag("reps:"+www), tt.id)
			m := regexp.MustCompile(`"well":([0-9]{13}),"at":([0-9]{13})}$`).FindStringSubmatch(got)
			if (m != nil) != tt.well {
				t.Fatalf("report %s, want that it tells since when it is well: %v", got, tt.well)
			}
		})
	}
}

func TestClientRefusesWhatReadersWould(t *testing.T) {
	c := dial(t, "redis://127.0.0.1:1") // nothing may be sent
	ctx := context.Background()
	_, noAddress := c.PutServer(ctx, www, steer.Server{ID: "a"}, store.ByAgent)
	_, loop := c.PutServer(ctx, www, steer.Server{ID: "a", Target: www}, store.ByOperator)
	_, badID := c.DeleteServer(ctx, www, "A")
	_, badState := c.SetAdmin(ctx, www, "a", "off", store.ByOperator)
	_, noLease := c.Report(ctx, store.Report{Service: www, ID: "a"})
	_, negative := c.Report(ctx, store.Report{Service: www, ID: "a", Lease: 1, RPS: ptr(-1)})
	_, badName := c.DeleteService(ctx, "www")
	for name, err := range map[string]error{
		"no address": noAddress, "bad id": badID, "bad state": badState, "no lease": noLease, "negative": negative,
		"alias of itself": loop, "falls back to itself": c.PutService(ctx, steer.Service{Name: www, Fallback: []string{www}}),
		"bad name": badName, "bad policy": c.PutService(ctx, steer.Service{Name: www, Policy: "best"}),
	} {
		if !store.IsInvalid(err) || store.IsUnreachable(err) {
			t.Errorf("%s: got %v, want that it is invalid", name, err)
		}
	}
	if err := c.Ping(ctx); !store.IsUnreachable(err) || store.IsInvalid(err) {
		t.Errorf("got %v, want that it is unreachable", err)
	}
}
