package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// What the commands that write say they did, one after the other on the same database.
func TestChanges(t *testing.T) {
	f, _ := onRedis(t)
	for _, step := range []struct{ command, want string }{
		{"service set WWW.Example.org --policy sticky --ttl 1m", "www.example.org.: created: policy - -> sticky, ttl - -> 1m"},
		{"service set www.example.org --ttl 60 --soft 0.7", "www.example.org.: changed: soft - -> 70%"},
		{"service set www.example.org --ttl 60s", "www.example.org.: unchanged"},
		{"service set www.example.org --policy= --fallback a.test,b.test", "www.example.org.: changed: policy sticky -> -, fallback - -> a.test.,b.test."},
		{"service set www.example.org --fallback c.test", "www.example.org.: changed: fallback a.test.,b.test. -> c.test."},
		{"service set www.example.org --flatten", "www.example.org.: changed: flatten - -> yes"},
		{"service set www.example.org --flatten=true", "www.example.org.: unchanged"},
		{"service set www.example.org --flatten=false", "www.example.org.: changed: flatten yes -> no"},
		{"service set www.example.org --flatten=", "www.example.org.: changed: flatten no -> -"},
		{"service set www.example.org --fallback=", "www.example.org.: changed: fallback c.test. -> -"},

		{"server set www.example.org web1 --address 192.0.2.1 --address 2001:db8::1 --weight 2.5", "www.example.org. web1: created: address - -> 192.0.2.1,2001:db8::1, weight - -> 2.5"},
		{"server set www.example.org web1 --address 192.0.2.11", "www.example.org. web1: changed: address 192.0.2.1,2001:db8::1 -> 192.0.2.11"},
		{"server set www.example.org web1 --weight 2.5", "www.example.org. web1: unchanged"},
		{"server set www.example.org web1 --address= --target web.Example.net", "www.example.org. web1: changed: address 192.0.2.11 -> -, target - -> web.example.net."},
		{"server set www.example.org web2 --address 192.0.2.2", "www.example.org. web2: created: address - -> 192.0.2.2"},
		{"server set api.example.org web2 --address 192.0.2.2", "api.example.org. web2: created: address - -> 192.0.2.2"},

		{"server set a.example.org s --target b.example.org", "a.example.org. s: created: target - -> b.example.org."},
		{"server set b.example.org S --address 192.0.2.3 --weight 0", "b.example.org. s: created: address - -> 192.0.2.3, weight - -> 0"},
		{"server set b.example.org s --weight default", "b.example.org. s: changed: weight 0 -> -"},
		{"service set b.example.org --ttl 0 --slow-start 0s --drain 0 --soft 0", "b.example.org.: created: ttl - -> 0s, soft - -> 0%, slow-start - -> 0s, drain - -> 0s"},
		{"service set b.example.org --ttl= --slow-start default --drain= --soft=", "b.example.org.: changed: ttl 0s -> -, soft 0% -> -, slow-start 0s -> -, drain 0s -> -"},
		{"server delete a.example.org S", "a.example.org. s: deleted"},

		{"drain www.example.org web1", "www.example.org. web1: changed: admin ready -> drain; will be drained in 30s"},
		{"drain www.example.org web1", "www.example.org. web1: unchanged, drain"},
		{"ready --everywhere web1 web2", "api.example.org. web2: unchanged, ready\nwww.example.org. web2: unchanged, ready"},
		{"ready www.example.org web2", "www.example.org. web2: unchanged, ready"},

		{"report www.example.org web1 --utilization 40%", "www.example.org. web1: reported, stands for 30s; after 30s without another report it is silent"},
		{"report www.example.org web1 --utilization 50%", "www.example.org. web1: reported, stands for 30s"},
		{"report www.example.org web1 --reporter probe1 --lease 1m30s", "www.example.org. web1: reported, stands for 1m30s"},

		{"server delete www.example.org web1 web2 --dry-run", "www.example.org. web1: would be deleted\nwww.example.org. web2: would be deleted"},
		{"server delete www.example.org web1", "www.example.org. web1: deleted"},
		{"service delete www.example.org --dry-run", "www.example.org.: would be deleted; with 1 server"},
		{"service delete www.example.org", "www.example.org.: deleted; with 1 server"},
	} {
		got := f.ok(strings.Fields(step.command)...)
		if !strings.HasSuffix(got, step.want+"\n") {
			t.Errorf("farm %s: got %q, want %q", step.command, got, step.want)
		}
	}
	if got := f.ok("service", "list"); strings.Contains(got, "www") || !strings.Contains(got, "api.example.org.") {
		t.Errorf("what is left:\n%s", got)
	}
}

// Taking out the last open server is done, and said.
func TestLastOpenServer(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	f.ok("server", "set", "www.example.org", "web2", "--address", "192.0.2.2")
	f.ok("maint", "www.example.org", "web1")
	const want = "farm: warning: no other server of www.example.org. is open\n"
	if got := f.run("maint", "www.example.org", "web2"); got.code != exitOK || got.err != want {
		t.Errorf("%+v, want the warning %q", got, want)
	}
	if got := f.run("drain", "www.example.org", "--all"); strings.Count(got.out, "maint -> drain") != 2 {
		t.Errorf("%+v", got)
	}
	f.ok("ready", "www.example.org", "--all")
}

// --wait returns when the drain is over, and not because somebody ended it.
func TestWait(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--drain", "300ms", "--max-ttl", "2m")
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	f.ok("server", "set", "www.example.org", "web2", "--address", "192.0.2.2")
	start := time.Now()
	if got := f.ok("drain", "www.example.org", "web1", "--wait"); !strings.HasSuffix(got, "drained; answers given before may stand for another 2m\n") {
		t.Errorf("%q", got)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("returned after %s, before the drain was over", took)
	}

	f.ok("service", "set", "www.example.org", "--drain", "3s")
	ended := make(chan result)
	go func() { ended <- f.run("drain", "www.example.org", "web2", "--wait") }()
	storetest.Eventually(t, "web2 drains", func() bool { return strings.Contains(f.ok("status"), "web2: drains") })
	f.ok("ready", "www.example.org", "web2")
	if got := <-ended; got.code != exitRefused || !strings.Contains(got.err, "web2 of www.example.org. is ready again") {
		t.Errorf("%+v", got)
	}
}

// A server that an agent registered becomes an operator's when it is set by hand.
func TestAgentsServer(t *testing.T) {
	f, r := onRedis(t)
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx := t.Context()
	rec := steer.Server{ID: "web1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	if _, err := db.PutServer(ctx, "api.example.org.", rec, store.ByAgent); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Report(ctx, store.Report{Service: "api.example.org.", ID: "web1", Lease: 60, Agent: "a", Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if got := f.ok("server", "list", "api.example.org"); !strings.Contains(got, "agent") {
		t.Errorf("%q", got)
	}
	if got := f.ok("report", "api.example.org", "web1"); !strings.Contains(got, "its agent runs, and overrules it") {
		t.Errorf("%q", got)
	}
	if _, err := db.Report(ctx, store.Report{Service: "api.example.org.", ID: "web1", Lease: 60, Agent: "a", Seq: 2}); err != nil {
		t.Fatal(err)
	}
	if got := f.ok("server", "delete", "api.example.org", "web1", "--dry-run"); !strings.Contains(got, "an agent reports for it") {
		t.Errorf("%q", got)
	}
	if got := f.ok("server", "set", "api.example.org", "web1", "--port", "80"); !strings.Contains(got, "it was its agent's until now") {
		t.Errorf("%q", got)
	}
}

func TestCompletion(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	for _, tc := range []struct{ line, want string }{
		{"status|", "www.example.org."},
		{"drain|", "www.example.org."},
		{"drain|www.example.org|", "web1"},
		{"server|delete|www.example.org.|", "web1"},
		{"explain|www.example.org|--type|", "HTTPS"},
		{"service|set|www.example.org|--policy|", "sticky"},
		{"status|-o|", "json"},
		{"script|", "report"},
	} {
		args := append([]string{"__complete"}, strings.Split(tc.line, "|")...)
		if got := f.run(args...); !strings.Contains("\n"+got.out, "\n"+tc.want+"\n") {
			t.Errorf("%s: got %q, want %s in it", tc.line, got.out, tc.want)
		}
	}
	f.env["FARM_REDIS"] = "redis://127.0.0.1:" + storetest.FreePort(t)
	if got := f.run("__complete", "status", ""); got.code != exitOK || strings.Contains(got.out, "example") {
		t.Errorf("without a database: %+v", got)
	}
}

// The environment says where the database is, flags know better.
func TestWhere(t *testing.T) {
	f, r := onRedis(t)
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1", "--prefix", "other")
	if got := f.ok("service", "list", "-o", "json"); got != "[]\n" {
		t.Errorf("prefix farm holds %q, want nothing", got)
	}
	f.env = map[string]string{"FARM_PREFIX": "other", "FARM_REDIS": "redis://127.0.0.1:1"}
	if got := f.ok("service", "list", "--redis", r.URL); !strings.Contains(got, "www.example.org.") {
		t.Errorf("prefix other holds\n%s", got)
	}
}
