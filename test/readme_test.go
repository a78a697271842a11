package test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snippet is a fenced block of a page.
type snippet struct {
	line   int
	lang   string
	marked bool // whether <!-- test --> stands before it
	text   string
}

const readme = "../README.md"

var fence = regexp.MustCompile("^(~~~|```) ?([a-z]*)$")

func snippets(t *testing.T, page string) []snippet {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []snippet
	var open *snippet
	before := ""
	for i, line := range strings.Split(string(text), "\n") {
		switch m := fence.FindStringSubmatch(line); {
		case m != nil && open == nil:
			open = &snippet{line: i + 1, lang: m[2], marked: before == "<!-- test -->"}
		case m != nil:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
		if strings.TrimSpace(line) != "" {
			before = line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: expected the block to be closed", page, open.line)
	}
	return list
}

// serverBlock is the first line of a server block.
var serverBlock = regexp.MustCompile(`(?m)^([a-z.]+)(:\d+)? \{$`)

// TestReadmeCorefiles starts a server from every Corefile that the README shows.
func TestReadmeCorefiles(t *testing.T) {
	t.Parallel()
	shown := 0
	for _, s := range snippets(t, readme) {
		if s.lang != "corefile" {
			continue
		}
		shown++
		t.Run(fmt.Sprintf("line %d", s.line), func(t *testing.T) {
			text := serverBlock.ReplaceAllString(s.text, "$1:PORT {\n    bind 127.0.0.1")
			text = strings.NewReplacer("/var/lib/coredns", t.TempDir(), ":6379", fmt.Sprint(":", freePort(t))).Replace(text)
			startCoreDNS(t, text)
		})
	}
	if shown == 0 {
		t.Error("Expected the README to show a Corefile")
	}
}

// TestReadmeCommands runs what the README has its reader try, on the server that it has been told to start: the one of
// Corefile.example, here on ports of its own.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	c, redis := startExample(t)
	_, port, _ := strings.Cut(c.addr, ":")
	here := strings.NewReplacer("go run ./cmd/coredns", command(t, "coredns"), "go run ./cmd/farm", command(t, "farm"), "1053", port)
	script := ""
	for _, s := range snippets(t, readme) {
		if s.marked {
			script += here.Replace(s.text)
		}
	}
	if !strings.Contains(script, "farm") {
		t.Fatal("Expected the README to have commands that are marked <!-- test -->")
	}
	// One shell runs them all; what they leave in the background ends with it.
	shell := exec.Command("sh", "-eux")
	shell.Stdin = strings.NewReader("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script)
	shell.Dir = ".."
	shell.Env = append(os.Environ(), "FARM_REDIS="+redis)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("Expected the README's commands to succeed: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	before, after := addressesAround(t, string(out))
	if !slices.Contains(before, "192.0.2.11") || slices.Contains(after, "192.0.2.11") || len(after) == 0 {
		t.Errorf("Expected the README's report to take 192.0.2.11 out of the answer: %v before it, %v after it", before, after)
	}
}

// addressesAround returns the addresses that a shell with -x printed after each of its two dig commands.
func addressesAround(t *testing.T, out string) (before, after []string) {
	t.Helper()
	parts := strings.Split(out, "+ dig ")
	if len(parts) != 3 {
		t.Fatalf("Expected the README to ask twice, got %d times:\n%s", len(parts)-1, out)
	}
	for i, list := range []*[]string{&before, &after} {
		for _, line := range strings.Split(parts[i+1], "\n") {
			if _, err := netip.ParseAddr(line); err == nil {
				*list = append(*list, line)
			}
		}
	}
	return before, after
}

// TestExampleFollowsReports repeats the README's demonstration on the shipped example: each report shows in the very next
// lookup.
func TestExampleFollowsReports(t *testing.T) {
	t.Parallel()
	c, redis := startExample(t)
	farm := func(utilization string) {
		out, err := exec.Command(command(t, "farm"), "--redis", redis, "report", "www.example.org", "web1", "--utilization", utilization, "--rps", "120", "--lease", "5m").CombinedOutput()
		if err != nil {
			t.Fatalf("Expected the report to be taken: %v\n%s", err, out)
		}
	}
	_, port, _ := strings.Cut(c.addr, ":")
	dig := func() []string {
		out, err := exec.Command("dig", "+short", "@127.0.0.1", "-p", port, "www.example.org", "A").CombinedOutput()
		if err != nil {
			t.Fatalf("Expected dig to be answered: %v\n%s", err, out)
		}
		return strings.Fields(string(out))
	}
	for i := range 100 {
		farm("0.2")
		if got := dig(); !slices.Contains(got, "192.0.2.11") {
			t.Errorf("Expected 192.0.2.11 in the answer while it is at 20 %%, got %v in run %d", got, i)
		}
		farm("0.97")
		if got := dig(); slices.Contains(got, "192.0.2.11") || len(got) != 2 {
			t.Errorf("Expected the others while 192.0.2.11 is at 97 %%, got %v in run %d", got, i)
		}
	}
}

// startExample starts Corefile.example on ports of its own, and returns the URL of its embedded store, once the commands
// know its services.
func startExample(t *testing.T) (c *coredns, redis string) {
	t.Helper()
	example, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	embedded := fmt.Sprint(freePort(t))
	c = startCoreDNS(t, strings.NewReplacer("1053", "PORT", "6399", embedded, "state example.state",
		"state "+filepath.Join(t.TempDir(), "state")).Replace(string(example)))
	redis = "redis://127.0.0.1:" + embedded
	// A reader types more slowly than the server makes itself known to the commands.
	await(t, "farm status to show the example", func() bool {
		out, _ := exec.Command(command(t, "farm"), "--redis", redis, "status").CombinedOutput()
		return strings.Contains(string(out), "web1")
	})
	return c, redis
}
