package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snippet is a fenced block of the README.
type snippet struct {
	line   int
	lang   string
	marked bool // whether <!-- test --> stands before it
	text   string
}

var fence = regexp.MustCompile("^(~~~|```) ?([a-z]*)$")

func snippets(t *testing.T) []snippet {
	t.Helper()
	text, err := os.ReadFile("../README.md")
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
		t.Fatalf("README.md:%d: expected the block to be closed", open.line)
	}
	return list
}

// serverBlock is the first line of a server block.
var serverBlock = regexp.MustCompile(`(?m)^([a-z.]+)(:\d+)? \{$`)

// TestReadmeCorefiles starts a server from every Corefile that the README shows.
func TestReadmeCorefiles(t *testing.T) {
	t.Parallel()
	shown := 0
	for _, s := range snippets(t) {
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
	example, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	embedded := fmt.Sprint(freePort(t))
	c := startCoreDNS(t, strings.NewReplacer("1053", "PORT", "6399", embedded, "state example.state",
		"state "+filepath.Join(t.TempDir(), "state")).Replace(string(example)))
	_, port, _ := strings.Cut(c.addr, ":")
	here := strings.NewReplacer("go run ./cmd/coredns", command(t, "coredns"), "go run ./cmd/farm", command(t, "farm"), "1053", port)
	script := ""
	for _, s := range snippets(t) {
		if s.marked {
			script += here.Replace(s.text)
		}
	}
	if !strings.Contains(script, "farm") {
		t.Fatal("Expected the README to have commands that are marked <!-- test -->")
	}
	// A reader types more slowly than the server makes itself known to the commands.
	await(t, "farm status to show the example", func() bool {
		out, _ := exec.Command(command(t, "farm"), "--redis", "redis://127.0.0.1:"+embedded, "status").CombinedOutput()
		return strings.Contains(string(out), "web1")
	})
	// One shell runs them all; what they leave in the background ends with it.
	shell := exec.Command("sh", "-eux")
	shell.Stdin = strings.NewReader("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script)
	shell.Dir = ".."
	shell.Env = append(os.Environ(), "FARM_REDIS=redis://127.0.0.1:"+embedded)
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("Expected the README's commands to succeed: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if strings.Contains(script, "report www.example.org web1 --utilization 0.97") {
		await(t, "answers to follow the report of the README", func() bool {
			return !slices.Contains(given(t, c.addr, "www.example.org"), "192.0.2.11")
		})
	}
}
