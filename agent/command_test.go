package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var outputTests = []struct{ name, out, want, err string }{
	{"words", "utilization=0.4 rps=10\nhealth=degraded reason=disk\n", `utilization=0.4 rps=10 health=degraded reason="disk"`, ""},
	{"all words", "utilization=1 cpu=.5 mem=0 rps=1e3 eps=2 in_flight=3 latency=0.01", "utilization=1 cpu=0.5 mem=0 rps=1000 eps=2 in_flight=3 latency=0.01", ""},
	{"JSON", ` {"utilization":0.4,"health":"down","reason":"no disk"}` + "\n", `utilization=0.4 health=down reason="no disk"`, ""},
	{"nothing", "", "", ""},
	{"health in capitals", "health=DOWN", "health=down", ""},
	{"nothing but an unknown word", "load=3", "", "expected report fields"},
	{"a usage text", "usage: queue-load --queue NAME", "", "expected report fields"},
	{"unknown words beside others", "health=down disk full load=3", `health=down (word: "disk", expected a report field)`, ""},
	{"no number", "rps=many health=down", `health=down (rps: is "many", expected a number)`, ""},
	{"no value", "rps eps=1", `eps=1 (rps: is "", expected a number)`, ""},
	{"unknown fields", `{"load":3,"health":"down","a":1}`, `health=down (word: "a", expected a report field)`, ""},
	{"JSON in capitals", `{"CPU":0.5,"Health":"Down"}`, "cpu=0.5 health=down", ""},
	{"JSON of nulls", `{"cpu":null,"health":null,"reason":null}`, "", ""},
	{"not JSON", `{"rps":`, "", "unexpected EOF"},
	{"two objects", `{"rps":1}{"rps":2}`, "", "more than one"},
	{"a number as text", `{"rps":"1","cpu":0.5}`, `cpu=0.5 (rps: is "\"1\"", expected a number)`, ""},
	{"health as a number", `{"health":1}`, "health=1", ""},
}

func TestParseOutput(t *testing.T) {
	for _, tt := range outputTests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parseOutput([]byte(tt.out))
			if !wantError(t, err, tt.err) {
				wantSample(t, s, tt.want)
			}
		})
	}
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  []string
		want string
		err  string
	}{
		{"works", sh("echo utilization=0.25; echo noise >&2"), "utilization=0.25", ""},
		{"exits", sh("echo rps=1; echo no disk >&2; exit 3"), "", "exit status 3: no disk"},
		{"is not there", []string{"/nowhere/at/all"}, "", "no such file"},
		{"floods", sh("exec yes"), "", "output is larger"},
		{"floods its standard error", sh("exec yes >&2"), "", "output is larger"},
		{"hangs", sh("exec sleep 1000"), "", "deadline exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := soon(t)
			if tt.name == "hangs" {
				ctx = brief(t)
			}
			s, err := (&commandCollector{tt.run}).collect(ctx, epoch)
			if !wantError(t, err, tt.err) {
				wantSample(t, s, tt.want)
			}
		})
	}
}

// What a command has started ends with it.
func TestCommandEndsWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	_, err := runCommand(brief(t), sh("sleep 1000 & echo $! >"+file+"; wait"))
	wantError(t, err, "deadline exceeded")
	text, err := os.ReadFile(file)
	wantError(t, err, "")
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	wantError(t, err, "")
	await(t, "the child's end", func() bool { return gone(pid) })
}

// gone says whether a process has ended; one that nobody has waited for yet counts as well.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == syscall.ESRCH
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
