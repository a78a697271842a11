package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// digs returns the transcript of dig with what differs from run to run taken out.
func digs(t *testing.T, c *coredns, args string) string {
	t.Helper()
	host, port, _ := strings.Cut(c.addr, ":")
	line := append([]string{"@" + host, "-p", port, "+norecurse", "+nocookie", "+nocmd", "+nostats", "+tries=1", "+time=5"}, strings.Fields(args)...)
	out, err := exec.Command("dig", line...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %s: %v\n%s", args, err, out)
	}
	return normal(string(out))
}

// volatile is what differs from run to run, and what stands for it.
var volatile = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`, id: \d+`), ", id: ID"},
	{regexp.MustCompile(`(SOA\s+\S+ \S+) \d+`), "$1 SERIAL"},
	{regexp.MustCompile(`(r(?:ev|evision)[=: ]+)\d+`), "${1}N"},
	{regexp.MustCompile(`127\.0\.0\.1#\d+`), "SERVER"},
	{regexp.MustCompile(`(?m)^;; Query time.*\n`), ""},
	{regexp.MustCompile(`(?m)^;; WHEN.*\n`), ""},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
	{regexp.MustCompile(`\t+`), " "},
}

var counts = regexp.MustCompile(`((?:ANSWER|ADDITIONAL): )\d+`)

// cut is a reply that was truncated.
var cut = regexp.MustCompile(`flags:[a-z ]* tc[; ]`)

// normal takes out what differs from run to run, and sorts the records within their sections: which server comes first
// is the decision's to make. Of a truncated reply no records are left: which of them fitted is nobody's to say.
func normal(transcript string) string {
	for _, v := range volatile {
		transcript = v.re.ReplaceAllString(transcript, v.to)
	}
	isRecord := func(l string) bool { return l != "" && l[0] != ';' }
	lines := strings.Split(transcript, "\n")
	if cut.MatchString(transcript) {
		lines = slices.DeleteFunc(lines, isRecord)
		for i := range lines {
			lines[i] = counts.ReplaceAllString(lines[i], "${1}N")
		}
	}
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && isRecord(lines[to]) {
			to++
		}
		slices.Sort(lines[from:to])
		from = to
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n") + "\n"
}

// golden compares with a golden file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("Expected what %s holds (run with -update to write it anew):\n%s\ngot:\n%s", file, want, got)
	}
}
