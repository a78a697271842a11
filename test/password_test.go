package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secretURLs hold a password, whose letters stand nowhere else, in URLs with the mistakes that people make.
var secretURLs = []string{
	"redis://:XYZZY@127.0.0.1:1", // no mistake: nothing listens
	"redis://:XYZZY/XYZZY@127.0.0.1:1",
	"redis://:XYZZY?XYZZY@127.0.0.1:1",
	"XYZZY@127.0.0.1:1",
	"redis://:XYZZY#XYZZY@127.0.0.1:1",
	"redis://user:XYZZY%@127.0.0.1:1",
	"redis://:XYZZY@127.0.0.1:port",
	"redis://:XYZZY@127.0.0.1:1?clustre=XYZZY",
	"redis://:XYZZY@127.0.0.1:1/XYZZY",
	"redis:/:XYZZY@127.0.0.1:1",
	"http://:XYZZY@127.0.0.1:1",
	"redis+sentinel://:XYZZY@127.0.0.1:1?sentinel_password=XYZZY",
	"unix://:XYZZY@/nowhere",
}

// commonMistakes is how many of them are tried in every place.
const commonMistakes = 4

// secretReaders are the programs that take a URL, each in the places where it is given, or by mistake.
var secretReaders = []struct {
	name string
	args func(t *testing.T, url string) []string
}{
	{"flag", func(_ *testing.T, url string) []string {
		return []string{"farm", "status", "--timeout", "1s", "--redis", url}
	}},
	{"environment", func(t *testing.T, _ string) []string { return []string{"farm", "status", "--timeout", "1s"} }},
	{"other flag", func(_ *testing.T, url string) []string { return []string{"farm", "status", "--timeout", url} }},
	{"mistyped flag", func(_ *testing.T, url string) []string { return []string{"farm", "status", "--reddis=" + url} }},
	{"agent", func(t *testing.T, url string) []string {
		return []string{"farm", "agent", "-c", agentOf(t, "redis: [%q]", url)}
	}},
	{"agent, no list", func(t *testing.T, url string) []string {
		return []string{"farm", "agent", "--check", "-c", agentOf(t, "redis: {%q: 1}", url)}
	}},
	{"agent, not closed", func(t *testing.T, url string) []string {
		return []string{"farm", "agent", "--check", "-c", agentOf(t, "redis: [%q", url)}
	}},
	{"broker", func(t *testing.T, url string) []string {
		return []string{"farm", "broker", "--check", "-c", fileOf(t, "broker.yaml", fmt.Sprintf(
			"redis: [%q]\nelements: [{name: edge, linux: {dry_run: true, links: [{interface: lo, rate: 10000, toward: clients}]}}]\n", url))}
	}},
	{"redis", func(t *testing.T, url string) []string { return corednsOf(t, "redis "+url) }},
	{"mistyped property", func(t *testing.T, url string) []string { return corednsOf(t, "rediss "+url) }},
	{"embedded", func(t *testing.T, url string) []string { return corednsOf(t, "embedded "+url) }},
}

func fileOf(t *testing.T, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func agentOf(t *testing.T, line, url string) string {
	return fileOf(t, "agent.yaml", fmt.Sprintf(line, url)+"\nservices: [www.example.org]\nserver: a\naddresses: [192.0.2.1]\ninterval: 1s\n")
}

func corednsOf(t *testing.T, property string) []string {
	text := fmt.Sprintf(".:%d {\n bind 127.0.0.1\n farm example.org {\n  %s\n }\n}\n", freePort(t), property)
	return []string{"coredns", "-conf", fileOf(t, "Corefile", text)}
}

// A password in a URL stays out of what programs write, wherever the URL is given and whatever is wrong with it.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, reader := range secretReaders {
		for i, url := range secretURLs {
			if i >= commonMistakes && reader.name != "flag" {
				break // the URL is read by the same code
			}
			out, ended := outputOf(t, reader.args(t, url), url, reader.name == "environment")
			if strings.Contains(strings.ToUpper(out), "XYZZY") {
				t.Errorf("%s, %s: the password is shown:\n%s", reader.name, url, out)
			}
			if ended && strings.TrimSpace(out) == "" {
				t.Errorf("%s, %s: nothing is said", reader.name, url)
			}
		}
	}
}

// outputOf runs a program until it ends, or for two seconds: with a good URL agents and CoreDNS go on.
func outputOf(t *testing.T, args []string, url string, byEnvironment bool) (out string, ended bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, command(t, args[0]), args[1:]...)
	if byEnvironment {
		c.Env = append(os.Environ(), "FARM_REDIS="+url)
	}
	text, err := c.CombinedOutput()
	if err == nil && !strings.Contains(strings.Join(args, " "), "--check") {
		t.Errorf("%s ended well", args)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Fatal(err)
	}
	return string(text), ctx.Err() == nil
}
