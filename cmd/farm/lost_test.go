package main

import (
	"context"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// After a flush, status and explain show the servers as the replica has them: web1 has left, web2 is silent, web3 never had an
// agent, web4 is in maint, web5 is down.
func TestServersThatTheDatabaseHasLost(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const www = "www.example.org."
	base := store.Base{Servers: map[string][]steer.Server{www: {}}}
	for _, id := range []string{"web1", "web2", "web3", "web4", "web5"} {
		base.Servers[www] = append(base.Servers[www], steer.Server{ID: id, Target: id + ".example.net."})
	}
	v := s.View(base)
	defer v.Close()
	storetest.Eventually(t, "the replica has synced and says so", func() bool { return strings.Contains(f.ok("status"), "synced") })
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f.ok("report", www, "web1", "--lease", "1h")
	if _, err := db.Leave(context.Background(), www, "web1", "", 0); err != nil {
		t.Fatal(err)
	}
	f.ok("report", www, "web2", "--lease", "300ms")
	f.ok("maint", www, "web4")
	f.ok("report", www, "web5", "--health", "down", "--lease", "1h")
	gates := func(f *steer.Farm) (all string) {
		for i := range f.Servers {
			all += f.Servers[i].ID + " " + f.State[i].Gate.String() + " "
		}
		return all
	}
	const want = "web1 left web2 silent web3 open web4 maint web5 down "
	storetest.Eventually(t, "the replica has all of it", func() bool { return gates(v.Load().Farm(www)) == want })
	r.Do("FLUSHALL")
	shown := func(command string, of, gate int) (all string) {
		ids := map[string]string{}
		for line := range strings.Lines(f.run(command, www).out) {
			if w := strings.Fields(line); len(w) > gate && strings.HasPrefix(w[of], "web") {
				ids[w[of]] = w[gate]
			}
		}
		for _, id := range []string{"web1", "web2", "web3", "web4", "web5"} {
			all += id + " " + ids[id] + " "
		}
		return all
	}
	storetest.Eventually(t, "status shows what the replica has", func() bool { return strings.HasPrefix(shown("status", 1, 2), want[:10]) })
	if got := shown("explain", 1, 2); got != want {
		t.Errorf("explain: %q, want %q", got, want)
	}
	out := f.ok("status", www)
	for _, part := range []string{"stopped", "web1: its agent stopped", "web4: taken out by an operator", "web5: says that it is down", " silent ", " replica"} {
		if !strings.Contains(out, part) {
			t.Errorf("status lacks %q:\n%s", part, out)
		}
	}
	if got := f.ok("ready", www, "web2"); !strings.Contains(got, "its agent is silent") {
		t.Errorf("ready: %q", got)
	}
	if got := f.ok("ready", www, "web1"); !strings.Contains(got, "in service without an agent") {
		t.Errorf("ready: %q", got)
	}
}

// The servers that are still served are named; those that are kept out are not counted.
func TestServedOrphansAreNamed(t *testing.T) {
	for _, tt := range []struct {
		of   replicaStatus
		want string
	}{
		{replicaStatus{Orphans: 1, Served: []string{"a. x"}}, ": a. x"},
		{replicaStatus{Orphans: 7, Served: []string{"a. x", "a. y"}}, ": a. x, a. y and 5 more"},
		{replicaStatus{Orphans: 7}, ""},
	} {
		if got := tt.of.served(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.of, got, tt.want)
		}
	}
}
