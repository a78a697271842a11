package main

import (
	"strings"
	"testing"
)

// A longest TTL below the TTL that holds would not hold itself, and is refused.
func TestMaxTTLAlone(t *testing.T) {
	f, r := onRedis(t)
	replicaOn(r, "true")
	for _, tc := range []struct {
		command string
		want    string
	}{
		{"service set a.example.org --max-ttl 10s", "flag --max-ttl: 10s: expected 20s or more, the TTL of the service, or a lower --ttl beside it"},
		{"service set a.example.org --max-ttl 20s", ""},
		{"service set b.example.org --max-ttl 10s --ttl 5s", ""},
		{"service set b.example.org --max-ttl 7s", ""},
		{"service set b.example.org --ttl default", "flag --max-ttl: 7s: expected 20s or more"},
		{"service set c.slow.example.org --max-ttl 50s", "flag --max-ttl: 50s: expected 1m or more"},
		{"service set d.slow.example.org --max-ttl 1m", ""},
	} {
		got := f.run(strings.Fields(tc.command)...)
		if code := map[bool]int{true: exitOK, false: exitRefused}[tc.want == ""]; got.code != code || !strings.Contains(got.err, tc.want) {
			t.Errorf("farm %s: got %d and %q, want %q", tc.command, got.code, got.err, tc.want)
		}
	}
}
