package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/measured"
)

// badScenarios are files that are refused, and what is said of them.
var badScenarios = []struct{ name, text, want string }{
	{"a key that is not known", "utilisation: 0.5", "utilisation"},
	{"out of range", "utilization: 11", "utilization: expected more than 0, up to 10"},
	{"not a number", "ttl: soon", "ttl"},
	{"not a mapping", "- 1", "scenario bad"},
	{"not YAML", "{", "scenario bad"},
	{"no servers", "servers: []", "servers: expected 1 to 10,000"},
	{"measured after its end", "from: 900", "from: expected a time before the end"},
	{"an event that is not known", "events: [{kind: fire, at: 1}]", "event 1: unknown kind"},
	{"an event without its servers", "events: [{kind: slow, at: 1, size: 3, factor: 0.5}]", "event 1: there is no such server"},
	{"a replica that is not there", "events: [{kind: restart, at: 1, skip: 2}]", "event 1: there is no replica 2"},
	{"agents that are not there", "unreported: [{count: 4, size: 8}]", "unreported 1: expected a count of servers that there are"},
	{"times that do not grow", "load: [{at: 9, factor: 1}, {at: 9, factor: 2}]", "load 2: at: expected times that grow"},
	{"a name that is a path", "name: ../../etc/passwd", "expected up to 64 letters"},
	{"too long", "#" + strings.Repeat("x", maxFile), "expected at most"},
}

func TestBadScenarios(t *testing.T) {
	for _, tc := range badScenarios {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "bad.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, stderr, code := command("-scenario", file)
			if code != measured.ExitUsage || !strings.Contains(stderr, file) || !strings.Contains(stderr, tc.want) {
				t.Errorf("Expected %s and %q, got exit code %d: %s", file, tc.want, code, stderr)
			}
		})
	}
}

// TestExamples: what the docs show can be read.
func TestExamples(t *testing.T) {
	all, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(all) < 4 {
		t.Fatalf("Expected examples, got %v: %v", all, err)
	}
	for _, file := range all {
		if _, err := readScenario(file); err != nil {
			t.Error(err)
		}
	}
}
