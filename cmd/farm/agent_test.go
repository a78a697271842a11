package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// agentProcess runs farm agent as a process of its own.
func agentProcess(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	log := new(bytes.Buffer)
	c := exec.Command(os.Args[0], append([]string{"agent"}, args...)...)
	c.Env = append(os.Environ(), "FARM_TEST_AS_PROGRAM=1")
	c.Stderr = log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c, log
}

// The agent registers, reports, drains at the first signal, and has left when it ends.
func TestAgentDrains(t *testing.T) {
	f, r := onRedis(t)
	c, log := agentProcess(t, "--redis", r.URL, "--server", "web1", "--service", "www.example.org",
		"--address", "192.0.2.1", "--port", "8080", "--capacity", "250", "--interval", "50ms", "--drain", "500ms")
	storetest.Eventually(t, "the agent reports", func() bool {
		out := f.run("status", "-o", "wide").out
		return strings.Contains(out, "agent") && strings.Contains(out, "192.0.2.1") && strings.Contains(out, "250")
	})
	must(c.Process.Signal(syscall.SIGTERM))
	storetest.Eventually(t, "the server drains", func() bool { return strings.Contains(f.run("status").out, "drain") })
	if err := c.Wait(); err != nil {
		t.Errorf("the agent ended with %s; its log:\n%s", err, log)
	}
	if out := f.ok("status"); strings.Contains(out, "web1") {
		t.Errorf("the server has not left:\n%s", out)
	}
}

// A second signal does not wait for the drain.
func TestAgentLeavesAtOnce(t *testing.T) {
	f, r := onRedis(t)
	c, log := agentProcess(t, "--redis", r.URL, "--server", "web1", "--service", "www.example.org",
		"--address", "192.0.2.1", "--interval", "50ms", "--drain", "10m")
	storetest.Eventually(t, "the agent reports", func() bool { return strings.Contains(f.run("status").out, "agent") })
	must(c.Process.Signal(syscall.SIGINT))
	storetest.Eventually(t, "the server drains", func() bool { return strings.Contains(f.run("status").out, "drain") })
	start := time.Now()
	must(c.Process.Signal(syscall.SIGINT))
	if err := c.Wait(); err != nil {
		t.Errorf("the agent ended with %s; its log:\n%s", err, log)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("the second signal took %s", took)
	}
}

// Of two agents for one server the newer one is meant; the older one gives up, and says so.
func TestAgentClaimed(t *testing.T) {
	f, r := onRedis(t)
	args := []string{"--redis", r.URL, "--server", "web1", "--service", "www.example.org", "--address", "192.0.2.1", "--interval", "50ms"}
	older, log := agentProcess(t, args...)
	storetest.Eventually(t, "the older agent reports", func() bool { return strings.Contains(f.run("status").out, "agent") })
	agentProcess(t, args...)
	_ = older.Wait()
	if got := older.ProcessState.ExitCode(); got != exitRefused {
		t.Errorf("exit code %d, want %d; its log:\n%s", got, exitRefused, log)
	}
}

func TestAgentCheck(t *testing.T) {
	f := &farm{T: t}
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "agent.yaml")
		must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := write("redis: [redis://127.0.0.1:6379]\nserver: web1\nservices: [www.example.org]\naddresses: [192.0.2.1]\n")
	for _, tc := range []struct {
		file, flags string
		code        int
		want        string
	}{
		{good, "", exitOK, "the configuration is valid"},
		{good, "--service api.example.org --collect host --probe http://127.0.0.1/ --probe tcp://127.0.0.1:22,grpc://[::1]:9/x", exitOK, "valid"},
		{good, "--target web1.example.net", exitOK, "valid"},
		{good, "--interval 1ms", exitRefused, "interval: expected"},
		{good, "--redis nowhere", exitRefused, "redis"},
		{good, "--collect disk", exitUsage, `: expected host or connections`},
		{good, "--probe ftp://127.0.0.1/", exitUsage, "expected the scheme http, https, tcp or grpc"},
		{good, "--probe nowhere", exitUsage, "expected a URL"},
		{write("servr: web1\n"), "", exitRefused, "servr"},
		{write("redis: [\n"), "", exitRefused, "agent.yaml"},
		{"", "", exitRefused, "services: expected 1 to"},
		{"", "--service www.example.org", exitOK, "valid"},
	} {
		args := append([]string{"agent", "--check"}, strings.Fields(tc.flags)...)
		if tc.file != "" {
			args = append(args, "-c", tc.file)
		}
		if got := f.run(args...); got.code != tc.code || !strings.Contains(got.out+got.err, tc.want) {
			t.Errorf("farm %s: %+v, want exit code %d and %q", strings.Join(args, " "), got, tc.code, tc.want)
		}
	}
}
