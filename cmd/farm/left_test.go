package main

import (
	"context"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// Status shows which servers have left; ready puts a server into service without an agent only if it is named, after it has
// ended a drain or maint.
func TestServersThatLeft(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View(store.Base{
		Servers: map[string][]steer.Server{"www.example.org.": {{ID: "web1", Target: "a.example.net."}, {ID: "web2", Target: "b.example.net."}, {ID: "web3", Target: "c.example.net."}}},
	})
	defer v.Close()
	storetest.Eventually(t, "the replica has synced and says so", func() bool { return strings.Contains(f.ok("status"), "synced") })
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, id := range []string{"web1", "web2"} {
		f.ok("report", "www.example.org", id, "--lease", "24h")
		if _, err := db.Leave(context.Background(), "www.example.org.", id, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	f.run("maint", "www.example.org", "web2")
	status := func() string {
		var lines []string
		for line := range strings.Lines(f.ok("status")) {
			if w := strings.Fields(line); len(w) > 12 && !strings.HasSuffix(w[1], ":") && strings.HasPrefix(w[1], "web") {
				lines = append(lines, strings.Join([]string{w[1], w[2], w[3], w[8], w[len(w)-2]}, " "))
			}
		}
		return strings.Join(lines, ", ")
	}
	says := func(command, want string) {
		t.Helper()
		if got := f.ok(strings.Fields(command)...); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
	is := func(want string) {
		t.Helper()
		if got := status(); got != want {
			t.Errorf("status: got %q, want %q", got, want)
		}
	}
	is("web1 left ready 0% stopped, web2 maint maint 0% stopped, web3 open ready 100% none")
	says("status", `web1: its agent stopped just now; out of service until an agent reports, or "farm ready" puts it into service without one`)
	says("explain www.example.org", "left")
	says("server set www.example.org web1 --weight 2", "its agent has left")
	says("ready www.example.org --all", "unchanged, left")
	is("web1 left ready 0% stopped, web2 left ready 0% stopped, web3 open ready 100% none")
	says("maint www.example.org web2", "changed")
	says("ready www.example.org web2", "its agent has left: it is in service when one reports, or after another ready")
	is("web1 left ready 0% stopped, web2 left ready 0% stopped, web3 open ready 100% none")
	says("ready www.example.org web2", "in service without an agent")
	is("web1 left ready 0% stopped, web2 open ready 50% none, web3 open ready 50% none")
	says("report www.example.org web1 --lease 24h", "")
	if got := status(); !strings.HasPrefix(got, "web1 open ready ") || !strings.Contains(got, " reports, web2") {
		t.Errorf("status: got %q, want web1 to be back", got)
	}
}
