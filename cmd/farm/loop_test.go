package main

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// What an answer leaves out for want of a port or of https, explain leaves out, too.
func TestExplainLeavesOutWhatAnswersDo(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("server", "set", "www.example.org", "web1", "--address", "192.0.2.1")
	for qtype, want := range map[string]string{
		"A": "of no region: web1\n", "SVCB": "of no region: web1\n",
		"SRV":   "of no region: no SRV record\nrung normal, ttl 20s, chance 1\nwhy:",
		"HTTPS": "no HTTPS record of web1: neither alpn nor its port says that it speaks https\n",
	} {
		if got := f.ok("explain", "www.example.org", "--type", qtype, "--chance", "1"); !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant %q in it", qtype, got, want)
		}
	}
}

// Servers that do not speak https are told of, whichever are drawn.
func TestExplainHTTPSOfTheServersThatSpeakIt(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("server", "set", "one.example.org", "p", "--address", "192.0.2.50", "--port", "443")
	f.ok("server", "set", "one.example.org", "q", "--address", "192.0.2.51")
	for _, chance := range []string{"1", "2", "3", "4"} {
		got := f.ok("explain", "one.example.org", "--type", "HTTPS", "--chance", chance)
		for _, want := range []string{"of no region: p\n", "no HTTPS record of q: neither alpn nor its port says that it speaks https\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("Chance %s: got\n%s\nwant %q in it", chance, got, want)
			}
		}
	}
}

func TestLoopsAreRefused(t *testing.T) {
	f, r := onRedis(t)
	f.ok("server", "set", "a.example.org", "s", "--target", "b.example.org")
	for _, tc := range []struct{ command, want string }{
		{"server set b.example.org s --target a.example.org", "the aliases of b.example.org. would go round: b.example.org. -> a.example.org. -> b.example.org."},
		{"service set b.example.org --fallback a.example.org", "would go round"},
	} {
		if got := f.run(strings.Fields(tc.command)...); got.code != exitRefused || !strings.Contains(got.err, tc.want) {
			t.Errorf("farm %s: got %+v, want %q", tc.command, got, tc.want)
		}
	}
	// What arrives from elsewhere is named.
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.PutServer(t.Context(), "b.example.org.", steer.Server{ID: "s", Target: "a.example.org."}, store.ByAgent); err != nil {
		t.Fatal(err)
	}
	if got := f.ok("status"); !strings.Contains(got, "a.example.org.: its aliases go round: a.example.org. -> b.example.org. -> a.example.org.") {
		t.Errorf("status does not name the loop:\n%s", got)
	}
}
