package main

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// Ready tells what it changed, or why it could not change anything.
func TestReadyTellsWhatItDid(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--failback", "manual")
	for _, server := range []string{"web1", "web2"} {
		f.ok("server", "set", "www.example.org", server, "--address", "192.0.2."+server[3:])
	}
	ready := func(id, want string) {
		t.Helper()
		if got, want := f.ok("ready", "www.example.org", id), "www.example.org. "+id+": "+want+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	gate := func(id, want string) {
		t.Helper()
		storetest.Eventually(t, id+" is "+want, func() bool {
			for line := range strings.Lines(f.ok("status")) {
				if w := strings.Fields(line); len(w) > 2 && w[1] == id {
					return w[2] == want
				}
			}
			return false
		})
	}
	ready("web1", "unchanged, ready")
	f.ok("report", "www.example.org", "web1", "--health", "down", "--lease", "1m")
	ready("web1", "unchanged, ready; it is down: it comes back when it is reported up")
	f.ok("report", "www.example.org", "web2", "--lease", "100ms")
	gate("web2", "silent")
	ready("web2", "unchanged, ready; its agent is silent: it comes back when the agent reports")
	f.run("drain", "www.example.org", "web2") // warns that no other server is open
	ready("web2", "changed: admin drain -> ready; its agent is silent: it comes back when the agent reports")
}

// A server that failback holds is used again, and ready says that this is what it did.
func TestReadyEndsTheHold(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--failback", "manual")
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	f.ok("server", "set", "www.example.org", "web2", "--address", "192.0.2.2", "--priority", "1")
	f.ok("report", "www.example.org", "web1", "--health", "down", "--lease", "1m")
	f.ok("report", "www.example.org", "web1", "--lease", "1m")
	if out := f.ok("status"); !strings.Contains(out, " held ") {
		t.Fatalf("status:\n%s", out)
	}
	const want = "www.example.org. web1: ready; ends the hold of its tier\n"
	if got := f.ok("ready", "www.example.org", "web1"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if out := f.ok("status"); strings.Contains(out, " held ") {
		t.Errorf("status:\n%s", out)
	}
}

// The first report on a server of the Corefile by hand makes it one with an agent: the command says what follows, and what
// ends it.
func TestFirstReportByHand(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View(store.Base{Servers: map[string][]steer.Server{"www.example.org.": {{ID: "web1", Target: "a.example.net."}}}})
	defer v.Close()
	storetest.Eventually(t, "the server is known", func() bool { return strings.Contains(f.ok("status"), "web1") })
	agent := func() string {
		for line := range strings.Lines(f.ok("status", "-o", "json")) {
			if _, a, ok := strings.Cut(line, `"agent": "`); ok {
				return strings.TrimRight(a, "\",\n")
			}
		}
		return ""
	}
	const want = "www.example.org. web1: reported, stands for 100ms; after 100ms without another report it is silent; \"farm server delete\" forgets the report\n"
	if got := f.ok("report", "www.example.org", "web1", "--lease", "100ms"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	storetest.Eventually(t, "it is silent", func() bool { return agent() == "silent" })
	f.ok("server", "delete", "www.example.org", "web1")
	if got := agent(); got != "none" {
		t.Errorf("agent %q after the report was deleted, want none", got)
	}
}
