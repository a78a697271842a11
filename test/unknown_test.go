package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-farm/farm/store/storetest"
)

// measuredPair is two servers, a and b, with an agent each, and a CoreDNS.
type measuredPair struct {
	t   *testing.T
	url string
	dns *coredns
}

const pairName = "www.example.org."

var pairAddrs = map[string]string{"a": "192.0.2.1", "b": "192.0.2.2"}

// newMeasuredPair starts them. The texts are of the agents' configurations: what they collect, by server.
func newMeasuredPair(t *testing.T, collect map[string]string) *measuredPair {
	t.Helper()
	p := &measuredPair{t: t, url: storetest.Start(t).URL}
	p.farm("service", "set", pairName, "--policy", "headroom", "--ttl", "1", "--slow-start", "0s")
	for id, addr := range pairAddrs {
		conf := fmt.Sprintf("redis: [%s]\nserver: %s\nservices: [%s]\naddresses: [%s]\ninterval: 200ms\nlease: 2s\ndrain: 0s\ncollect:\n%s",
			p.url, id, pairName, addr, collect[id])
		file := filepath.Join(t.TempDir(), "agent.yaml")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, "agent of "+id, command(t, "farm"), "agent", "-c", file)
	}
	p.dns = startCoreDNS(t, fmt.Sprintf("example.org:PORT {\n    bind 127.0.0.1\n    errors\n    farm {\n        redis %s\n    }\n}\n", p.url))
	return p
}

func (p *measuredPair) farm(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(command(p.t, "farm"), append([]string{"--redis", p.url}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("farm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// answers returns who is in the answers to a number of lookups.
func (p *measuredPair) answers(lookups int) []string {
	p.t.Helper()
	seen := make(map[string]bool)
	for range lookups {
		for _, rr := range ask(p.t, p.dns.addr, pairName, dns.TypeA).Answer {
			if a, ok := rr.(*dns.A); ok {
				seen[a.A.String()] = true
			}
		}
	}
	var ids []string
	for id, addr := range pairAddrs {
		if seen[addr] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// awaitAnswers waits until lookups are answered with just these servers, and then looks closer.
func (p *measuredPair) awaitAnswers(when string, want ...string) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("answers of %v %s", want, when), func() bool { return slices.Equal(p.answers(4), want) })
	if got := p.answers(40); !slices.Equal(got, want) {
		p.t.Errorf("%s: expected answers of %v, got %v\n%s", when, want, got, p.farm("status", "-o", "wide"))
	}
}

// awaitReason waits until a server's report has a reason that holds a text.
func (p *measuredPair) awaitReason(server, text string) {
	p.t.Helper()
	await(p.t, server+" to report "+text, func() bool {
		var status any
		if err := json.Unmarshal([]byte(p.farm("status", "-o", "json")), &status); err != nil {
			p.t.Fatal(err)
		}
		return strings.Contains(fmt.Sprint(status), text)
	})
}

// fakeProc is a procfs in which so many ticks of 100 are busy, as time goes by.
func fakeProc(t *testing.T, busy int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	put("meminfo", "MemTotal: 1000000 kB\nMemAvailable: 940000 kB\n")
	// With these counts of idle ticks and no further one, the difference of sums in floating seconds is below 0.
	user, idle, iowait := 1000, 185122, 987
	tick := func() {
		user, idle = user+busy, idle+100-busy
		put("stat", fmt.Sprintf("cpu  %d 0 0 %d %d 0 0 0 0 0\nctxt 1\n", user, idle, iowait))
	}
	tick()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for t := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-quit:
				t.Stop()
				return
			case <-t.C:
				tick()
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
	return dir
}

// TestSaturatedServer shows that a server at 100 % CPU, with most of its memory free, gets nobody.
func TestSaturatedServer(t *testing.T) {
	p := newMeasuredPair(t, map[string]string{
		"a": fmt.Sprintf("  - host: {proc: %q}\n", fakeProc(t, 100)),
		"b": fmt.Sprintf("  - host: {proc: %q}\n", fakeProc(t, 50)),
	})
	p.awaitAnswers("while a is saturated", "b")
	if status := p.farm("status"); !strings.Contains(status, "100%") || strings.Contains(status, " 6%") {
		t.Errorf("Expected a utilization of 100%% and none of 6%%, got\n%s", status)
	}
}

// TestAgentCheckDown shows that a server whose agent-check says that it is down gets nobody, whichever of HAProxy's words it
// uses, and that this outlives the check itself.
func TestAgentCheckDown(t *testing.T) {
	var line atomic.Pointer[string]
	say := func(s string) { line.Store(&s) }
	say("up 100%\n")
	check, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer check.Close()
	go func() {
		for {
			c, err := check.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, *line.Load())
			_ = c.Close()
		}
	}()
	p := newMeasuredPair(t, map[string]string{
		"a": fmt.Sprintf("  - haproxy: {address: %q}\n    hold: 1s\n", check.Addr()),
		"b": fmt.Sprintf("  - host: {proc: %q}\n", fakeProc(t, 10)),
	})
	for _, step := range []struct {
		line string
		want []string
	}{
		{"up 100%\n", []string{"a", "b"}},
		{"down #disk\n", []string{"b"}},
		{"up\n", []string{"a", "b"}},
		{"fail #disk\n", []string{"b"}},
		{"Up 100% fine\r\n", []string{"a", "b"}},
		{"DOWN\n", []string{"b"}},
		{"up\n", []string{"a", "b"}},
		{"fail#disk\n", []string{"b"}},
		{"fine\n", []string{"b"}}, // what a line does not mention keeps its state
		{"ready,UP,100%\n", []string{"a", "b"}},
		{"maint\n", []string{"b"}},
		{"ready\n", []string{"a", "b"}},
		{"up\ndown\n", []string{"a", "b"}},
		{"stopped # for good\n", []string{"b"}},
	} {
		say(step.line)
		p.awaitAnswers(fmt.Sprintf("after %q", step.line), step.want...)
	}
	_ = check.Close()
	p.awaitReason("a", "connection refused")
	p.awaitAnswers("after the check is gone", "b")
	p.awaitReason("a", "health unknown, counts as down")
	p.awaitAnswers("after the check is gone for long", "b")
}
