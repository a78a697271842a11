package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// clients are those who ask in these tests.
var clients = map[string]qos.ClientID{"alice": qos.Client(qos.KindID, "alice"), "bob": qos.Client(qos.KindID, "bob")}

// granting is the program before a service with levels, and what asks for grants there.
type granting struct {
	*farm
	db *store.Client
}

func onLevels(t *testing.T) *granting {
	f, r := onRedis(t)
	for _, command := range []string{
		"service set www.example.org --policy headroom",
		"server set www.example.org web1 --address 192.0.2.1 --class fast",
		"server set www.example.org web2 --address 192.0.2.2",
		"level set www.example.org gold --rank 30 --unit 40% --share 50% --class fast --requires server",
		"level set www.example.org silver --rank 20 --unit 5% --keep 20%",
		"level set www.example.org fast --rank 10 --down 8M --dscp EF --requires network --element router",
	} {
		f.ok(strings.Fields(command)...)
	}
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &granting{f, db}
}

// request is what the plugin files for a client.
func (f *granting) request(client, level, server string) store.Request {
	f.Helper()
	var levels []levelOf
	if err := json.Unmarshal([]byte(f.ok("level", "list", "www.example.org", "-o", "json")), &levels); err != nil {
		f.Fatal(err)
	}
	for i := range levels {
		if l := &levels[i].Level; l.Name == level {
			return store.Request{Grant: qos.Grant{
				ID: qos.GrantID{client[0], byte(len(level))}, Service: "www.example.org.", Client: clients[client], Server: server,
				Asked: level, Offer: qos.OfferOf(l), ClientAddr: netip.MustParseAddr("198.51.100.7"), ClientPort: 4000,
				ServerAddr: netip.MustParseAddr("192.0.2.1"), Phone: "+15550100",
			}}
		}
	}
	f.Fatalf("no level %s", level)
	return store.Request{}
}

// ask asks for a grant, and returns its id.
func (f *granting) ask(client, level, server string) string {
	f.Helper()
	g, err := f.db.Ask(f.Context(), f.request(client, level, server))
	if err != nil || !g.State.Live() {
		f.Fatalf("%s asks for %s: %+v, %v", client, level, g, err)
	}
	return g.ID.String()
}

var (
	leftForm  = regexp.MustCompile(`\b([0-9]m)?[0-9][0-9.]*(m?s|m)\b`) // what is left of a grant
	blankForm = regexp.MustCompile(` {2,}`)
)

// ageless hides what differs from run to run, and the blanks that it moves.
func ageless(s string) string {
	return blankForm.ReplaceAllString(leftForm.ReplaceAllString(timeless(s), "LEFT"), "  ")
}

func TestGrants(t *testing.T) {
	f := onLevels(t)
	if got := f.ok("grant", "list"); strings.Count(got, "\n") != 1 || f.ok("grant", "list", "-o", "json") != "[]\n" {
		t.Errorf("of nothing: %q", got)
	}
	gold, fast := f.ask("alice", "gold", "web1"), f.ask("bob", "fast", "web2")
	masked := func(args ...string) string { return ageless(f.ok(args...)) }
	f.golden("grant_list", masked("grant", "list"))
	f.golden("grant_list_wide", masked("grant", "list", "www.example.org", "-o", "wide"))
	f.golden("grant_show", masked("grant", "show", gold))
	f.golden("grant_status", masked("status"))
	if got := f.ok("grant", "show", fast[:6], "-o", "json"); strings.Contains(got, "5550100") || !strings.Contains(got, `"element": "router"`) {
		t.Errorf("show as JSON, without telephone numbers:\n%s", got)
	}
	for _, step := range []struct{ command, want string }{
		{"grant list --state requested,refused", "fast"},
		{"grant list --state granted", "gold"},
		{"grant revoke " + gold[:8] + " " + fast, "www.example.org. web1 gold " + gold + ": revoked\nwww.example.org. web2 fast " + fast + ": revoked\n"},
		{"grant release " + gold, gold + ": unchanged, over already\n"},
		{"grant list --state ended", "revoked"},
		{"grant list --state all", "revoked"},
	} {
		if got := f.ok(strings.Fields(step.command)...); !strings.Contains(got, step.want) {
			t.Errorf("farm %s: got %q, want %q in it", step.command, got, step.want)
		}
	}
	if got := f.ok("grant", "list"); strings.Count(got, "\n") != 1 {
		t.Errorf("what was revoked lives on:\n%s", got)
	}
	if got := f.ok("status", "-o", "json"); strings.Contains(got, `"part"`) {
		t.Errorf("what was revoked still has something reserved:\n%s", got)
	}
	again := f.request("alice", "silver", "web1")
	again.ID[1] = 0xff
	if _, err := f.db.Ask(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got := f.ok("grant", "release", again.ID.String()[:4]); !strings.HasSuffix(got, ": released\n") {
		t.Errorf("%q", got)
	}
}

func TestGrantsRefused(t *testing.T) {
	f := onLevels(t)
	f.ask("alice", "gold", "web1")
	f.ask("bob", "gold", "web2")
	for _, tc := range []struct {
		command string
		code    int
		want    string
	}{
		{"grant show 6162636465", exitNotFound, "no grant 6162636465"},
		{"grant show abc", exitUsage, "the first 4 or more"},
		{"grant show www.example.org", exitUsage, "expected its id"},
		{"grant revoke 6104 616263", exitNotFound, "no grant 616263"},
		{"grant list ww.example.org", exitNotFound, "did you mean www.example.org.?"},
		{"grant list --state open", exitUsage, "expected one of live, requested"},
		{"grant revoke", exitUsage, "arguments: 0: expected GRANT..."},
	} {
		got := f.run(strings.Fields(tc.command)...)
		if got.code != tc.code || !strings.Contains(got.err, tc.want) {
			t.Errorf("farm %s: %+v, want code %d and %q", tc.command, got, tc.code, tc.want)
		}
	}
	if got := f.ok("grant", "list"); strings.Count(got, "granted") != 2 {
		t.Errorf("what was refused has changed something:\n%s", got)
	}
}

func TestPickGrant(t *testing.T) {
	all := []qos.Grant{{ID: qos.GrantID{0xab, 0xcd, 1}}, {ID: qos.GrantID{0xab, 0xcd, 2}}}
	for digits, want := range map[string]string{"abcd01": "", "ABCD02": "", "abcd": "more than one", "abc": "expected its id", "abce": "no grant"} {
		g, err := pickGrant(all, digits)
		if want == "" && (err != nil || !strings.HasPrefix(g.ID.String(), strings.ToLower(digits))) {
			t.Errorf("%s: %v, %v", digits, g, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", digits, err, want)
		}
	}
}

// What a lookup at a level gets, and why: the golden files are to be read as an operator would.
func TestExplainLevels(t *testing.T) {
	f := onLevels(t)
	explain := func(name string, more ...string) string {
		got := f.ok(append([]string{"explain", "www.example.org", "--chance", "1"}, more...)...)
		f.golden("explain_level_"+name, ageless(got))
		return got
	}
	explain("besteffort")
	explain("gold", "--level", "gold")
	f.ask("alice", "gold", "web1")
	explain("taken", "--level", "gold", "--client-id", "bob")
	explain("granted", "--client-id", "alice")
	explain("granted_by_id", "--grant", qos.GrantID{'a', 4}.String()[:8], "--type", "AAAA")
	f.ask("bob", "fast", "web2")
	explain("requested", "--client-id", "bob")
	f.answer(func(g *qos.Grant) { g.State, g.Reason, g.Detail = qos.Refused, qos.ByElement, "the link is full" })
	explain("refused", "--client-id", "bob", "--level", "fast")
	f.ok("report", "www.example.org", "web1", "--utilization", "85%", "--lease", "1h")
	f.ok("report", "www.example.org", "web2", "--utilization", "85%", "--lease", "1h")
	if got := explain("full"); !strings.Contains(got, "less the 20% that is kept for higher levels") {
		t.Errorf("what is kept free is not told:\n%s", got)
	}
	if got := f.run("explain", "www.example.org", "--level", "gould"); got.code != exitNotFound || !strings.Contains(got.err, "did you mean gold?") {
		t.Errorf("%+v", got)
	}
	if got := f.run("explain", "www.example.org", "--client-id", "a", "--grant", "abcd"); got.code != exitUsage {
		t.Errorf("%+v", got)
	}
}

// The JSON forms are an interface here, too.
func TestJSONFormsOfLevels(t *testing.T) {
	f := onLevels(t)
	id := f.ask("alice", "gold", "web1")
	f.golden("json-forms-levels", f.forms("level list", "level show www.example.org gold", "grant list", "grant show "+id, "status",
		"explain www.example.org --level gold --client-id bob", "explain www.example.org --grant "+id,
		"level set www.example.org new --rank 1", "level delete www.example.org new", "grant revoke "+id))
}

// answer answers the request that is open as an element would.
func (f *granting) answer(say func(*qos.Grant)) {
	f.Helper()
	all, err := f.db.Grants(f.Context(), "www.example.org.")
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range all {
		if g.State != qos.Requested {
			continue
		}
		say(&g)
		q, err := f.db.Requests("test")
		if err != nil {
			f.Fatal(err)
		}
		defer q.Close()
		if ok, err := q.Answer(f.Context(), g.Service, g); !ok || err != nil {
			f.Fatal(ok, err)
		}
	}
}

// Many servers of a level: the table names the fullest, the wide one all.
func TestStatusOfManyServers(t *testing.T) {
	f := onLevels(t)
	for i := range 6 {
		f.ok("server", "set", "www.example.org", fmt.Sprintf("many%d", i), "--address", "192.0.2.1")
		r := f.request("alice", "silver", fmt.Sprintf("many%d", i))
		r.ID[2], r.Client = byte(i), qos.Client(qos.KindID, fmt.Sprint(i))
		if _, err := f.db.Ask(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.ok("status"); !strings.Contains(got, "many0 5%, many1 5%, many2 5%, and 3 more\n") {
		t.Errorf("%s", got)
	}
	if got := f.ok("status", "-o", "wide"); !strings.Contains(got, "many4 5%, many5 5%\n") {
		t.Errorf("%s", got)
	}
	f.ok("level", "delete", "www.example.org", "silver")
	if got := f.ok("status"); !regexp.MustCompile(`silver +- +6 +0 +- +many0 5%`).MatchString(got) {
		t.Errorf("grants of a level that is gone:\n%s", got)
	}
	if got := f.ok("level", "list"); strings.Contains(got, "silver") {
		t.Errorf("%s", got)
	}
}

func TestCompletionOfLevels(t *testing.T) {
	f := onLevels(t)
	id := f.ask("alice", "gold", "web1")
	for _, tc := range []struct{ line, want string }{
		{"level|set|www.example.org|", "silver"},
		{"level|set|www.example.org|new|--requires|", "network"},
		{"grant|revoke|", id + "\tgold for " + clients["alice"].String() + " at web1"},
		{"grant|list|--state|", "refused"},
		{"grant|list|", "www.example.org."},
	} {
		got := f.run(append([]string{"__complete"}, strings.Split(tc.line, "|")...)...)
		if !strings.Contains("\n"+got.out, "\n"+tc.want+"\n") {
			t.Errorf("%s: got %q, want %s in it", tc.line, got.out, tc.want)
		}
	}
	f.env["FARM_REDIS"] = "redis://127.0.0.1:" + storetest.FreePort(t)
	if got := f.run("__complete", "grant", "show", ""); got.code != exitOK {
		t.Errorf("without a database: %+v", got)
	}
}
