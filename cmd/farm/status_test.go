package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// lived returns the program before a database with a server in every state.
func lived(t *testing.T) (*farm, *storetest.Redis) {
	f, r := onRedis(t)
	for _, command := range []string{
		"service set www.example.org --policy headroom --soft 80% --drain 100ms --max-ttl 1m",
		"server set www.example.org web1 --address 192.0.2.1 --capacity 500 --region eu --port 8080",
		"server set www.example.org web2 --address 192.0.2.2,2001:db8::2 --capacity 1000 --weight 2",
		"server set www.example.org web3 --address 192.0.2.3 --capacity 500",
		"server set www.example.org web4 --address 192.0.2.4 --capacity 500",
		"server set www.example.org web5 --address 192.0.2.5 --capacity 500",
		"server set www.example.org web6 --address 192.0.2.6 --capacity 500",
		"server set www.example.org web7 --address 192.0.2.7 --capacity 500 --hard 90%",
		"server set www.example.org web8 --address 192.0.2.8 --capacity 500 --region us --priority 1",
		"server set www.example.org web9 --address 2001:db8::9",
		"service set *.apps.example.org --policy weighted",
		"server set *.apps.example.org edge --target lb.example.net",
		"service set _http._tcp.api.example.org --policy sticky --fallback sorry.example.net",
		"report www.example.org web1 --utilization 40% --rps 200 --eps 0.5 --in-flight 12 --latency 20ms --lease 24h",
		"report www.example.org web2 --cpu 90% --mem 10% --rps 950 --lease 24h",
		"report www.example.org web3 --utilization 0.2 --lease 24h",
		"report www.example.org web4 --health down --lease 24h",
		"report www.example.org web5 --utilization 10% --lease 100ms",
		"report www.example.org web6 --utilization 10% --lease 24h",
		"report www.example.org web7 --utilization 95% --rps 480 --lease 24h",
		"report www.example.org web8 --utilization 10% --health degraded --lease 24h --reason slow-disk",
		"report www.example.org web9 --health down --reporter probe1 --lease 24h --reason timeout",
		"report www.example.org web9 --health down --reporter probe2 --lease 24h",
		"report www.example.org web9 --reporter probe3 --lease 24h",
		"maint www.example.org web3",
		"drain www.example.org web6 --wait",
	} {
		f.ok(strings.Fields(command)...)
	}
	r.Do("HSET", store.Keys("farm", "www.example.org.")[3], "web10", `{"addresses":["nowhere"]}`)
	storetest.Eventually(t, "the lease of web5 runs out", func() bool {
		return strings.Contains(f.ok("status"), "silent")
	})
	return f, r
}

// Tables as people see them. Look at the golden files when they change: would you find your way?
func TestTables(t *testing.T) {
	f, _ := lived(t)
	for _, command := range []string{
		"status",
		"status -o wide",
		"status _http._tcp.api.example.org WWW.EXAMPLE.ORG",
		"service list",
		"service show www.example.org",
		"service show _http._tcp.api.example.org",
		"server list",
		"server list *.apps.example.org",
		"server show www.example.org web2",
		"explain www.example.org --chance 17",
		"explain www.example.org --chance 17 --type AAAA",
		"explain www.example.org --chance 17 --region eu --client 198.51.100.77/24",
		"explain _http._tcp.api.example.org --type SRV --chance 1",
		"explain shop.apps.example.org --chance 1",
		"explain web2.www.example.org",
	} {
		name := strings.NewReplacer(" ", "_", "*", "any", "/", "-", "--", "").Replace(command)
		f.golden(name, timeless(f.ok(strings.Fields(command)...)))
	}
}

// The JSON forms are an interface: what a script reads must stay where it is.
func TestJSONForms(t *testing.T) {
	f, _ := lived(t)
	f.golden("json-forms", f.forms(
		"status", "service list", "service show www.example.org", "server list", "server show www.example.org web2",
		"explain www.example.org", "explain web2.www.example.org", "report www.example.org web9 --lease 24h",
		"drain www.example.org web1", "service set www.example.org --ttl 30s", "server delete www.example.org web9",
	))
}

// forms runs commands, and returns the paths of what they print as JSON.
func (f *farm) forms(commands ...string) string {
	f.Helper()
	var forms strings.Builder
	for _, command := range commands {
		var got any
		if err := json.Unmarshal([]byte(f.ok(append(strings.Fields(command), "-o", "json")...)), &got); err != nil {
			f.Fatalf("%s: %s", command, err)
		}
		paths := map[string]bool{}
		walk("", got, paths)
		id := regexp.MustCompile("[0-9a-f]{32}").ReplaceAllString(command, "ID")
		fmt.Fprintf(&forms, "%s\n", id)
		for _, p := range sorted(paths) {
			fmt.Fprintf(&forms, "    %s\n", p)
		}
	}
	return forms.String()
}

// walk collects the paths of a JSON value and their types.
func walk(at string, v any, paths map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			walk(at+"."+name, inner, paths)
		}
	case []any:
		for _, inner := range v {
			walk(at+"[]", inner, paths)
		}
	default:
		paths[fmt.Sprintf("%s %T", at, v)] = true
	}
}

func sorted(set map[string]bool) []string {
	var list []string
	for s := range set {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

func TestNothingThere(t *testing.T) {
	f, _ := onRedis(t)
	if got := timeless(f.ok("status")); got != "no services in URL\n" {
		t.Errorf("status: %q", got)
	}
	for _, command := range []string{"service list", "server list"} {
		if got := f.ok(append(strings.Fields(command), "-o", "json")...); got != "[]\n" {
			t.Errorf("%s: %q, want an empty list", command, got)
		}
	}
}

// A living replica makes the services of its Corefile known, and is shown itself.
func TestReplica(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View(store.Base{
		Services: []steer.Service{{Name: "www.example.org.", Policy: steer.RoundRobin}},
		Servers:  map[string][]steer.Server{"www.example.org.": {{ID: "web1", Target: "a.example.net."}}},
	})
	defer v.Close()
	storetest.Eventually(t, "the replica has synced and says so", func() bool {
		return strings.Contains(f.ok("status"), "synced")
	})
	status := f.ok("status")
	for _, want := range []string{"www.example.org.  web1", "REPLICA", "1.2.3"} {
		if !strings.Contains(status, want) {
			t.Errorf("status: want %q in\n%s", want, status)
		}
	}
	if got := f.ok("service", "list"); !strings.Contains(got, "roundrobin") || !strings.Contains(got, "corefile") {
		t.Errorf("service list:\n%s", got)
	}
	for _, command := range []string{"service delete www.example.org", "server delete www.example.org web1"} {
		if got := f.run(strings.Fields(command)...); got.code != exitRefused || !strings.Contains(got.err, "stands in a Corefile") {
			t.Errorf("%s: %+v", command, got)
		}
	}
	// Setting one thing of a server of the Corefile keeps the rest of it.
	f.ok("server", "set", "www.example.org", "web1", "--weight", "3")
	if got := f.ok("server", "show", "www.example.org", "web1"); !strings.Contains(got, "a.example.net.") || !strings.Contains(got, "operator") {
		t.Errorf("server show:\n%s", got)
	}
	f.run("maint", "www.example.org", "web1")
	storetest.Eventually(t, "the replica follows", func() bool {
		return v.Load().Farm("www.example.org.").State[0].Gate == steer.InMaint
	})
}

// After a flush the database is empty, and the replica serves on: status says so.
func TestOrphansAreTold(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f.ok("server", "set", "www.example.org", "a", "--address", "192.0.2.1")
	storetest.Eventually(t, "the server is known", func() bool { return s.Status().Servers == 1 })
	r.Do("FLUSHALL")
	storetest.Eventually(t, "the replica tells of what it serves", func() bool {
		return strings.Contains(f.ok("status"), ": still serves 1 server that the database has lost")
	})
}

// A service that no replica answers for looks well in the database; status and explain say that nobody is given it.
func TestServiceInNoZoneOfAReplica(t *testing.T) {
	f, r := onRedis(t)
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.View(store.Base{Zones: []string{"example.org."}})
	f.ok("server", "set", "www.example.org", "a", "--address", "192.0.2.1")
	f.ok("server", "set", "www.example.com", "a", "--address", "192.0.2.1")
	storetest.Eventually(t, "the replica tells of itself", func() bool { return strings.Contains(f.ok("status"), "REPLICA") })
	const note = "no replica answers for it: it is in none of their zones"
	if out := f.ok("status"); strings.Count(out, note) != 1 || !strings.Contains(out, "www.example.com.: "+note) {
		t.Errorf("status:\n%s", out)
	}
	for name, want := range map[string]bool{"www.example.org": false, "www.example.com": true} {
		if out := f.ok("explain", name); strings.Contains(out, "but: "+note) != want {
			t.Errorf("explain:\n%s", out)
		}
	}
}
