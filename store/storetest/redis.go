// Package storetest starts real Redis processes on loopback for tests. Every process ends with its test.
package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Redis is a redis-server process. Its methods fail the test when they cannot do what they should.
type Redis struct {
	Addr string // HOST:PORT
	URL  string // redis://HOST:PORT, or rediss:// with the CA's and the client's files

	t    testing.TB
	dir  string
	args []string
	env  []string // beyond the test's own
	proc *process
	tls  *TLS
}

// process is one run of a server.
type process struct {
	cmd *exec.Cmd
	log bytes.Buffer  // to be read once it is over
	end chan struct{} // closed then
}

// Start starts a redis-server that keeps nothing on disk, with further command line arguments, and waits until it answers.
func Start(t testing.TB, args ...string) *Redis {
	t.Helper()
	return startIn(t, nil, args...)
}

// startIn starts one with further variables in its environment.
func startIn(t testing.TB, env []string, args ...string) *Redis {
	t.Helper()
	r := &Redis{t: t, dir: t.TempDir(), env: env}
	r.Addr = net.JoinHostPort("127.0.0.1", FreePort(t))
	r.URL = "redis://" + r.Addr
	_, port, _ := net.SplitHostPort(r.Addr)
	r.args = append([]string{"--port", port}, common(r.dir)...)
	r.args = append(r.args, args...)
	r.begin()
	return r
}

func common(dir string) []string {
	return []string{"--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--enable-debug-command", "yes"}
}

// begin starts the process and waits until it answers.
func (r *Redis) begin() {
	r.t.Helper()
	p := &process{cmd: exec.Command(binary(r.t, "redis-server"), r.args...), end: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), r.env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		r.t.Fatalf("redis-server: %s", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.end)
	}()
	r.proc = p
	r.t.Cleanup(p.kill)
	Eventually(r.t, "redis-server at "+r.Addr+" answers", func() bool {
		select {
		case <-p.end:
			r.t.Fatalf("redis-server at %s has ended:\n%s", r.Addr, p.log.String())
		default:
		}
		out, err := r.cli("PING")
		return err == nil && strings.Contains(out, "PONG")
	})
}

// kill ends the process, if it has not ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.end
}

// binary finds a program, or fails with what to install.
func binary(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install redis-server (and redis-sentinel) 7.0 or later, or run make test as root", name)
	}
	return path
}

// FreePort returns a port of 127.0.0.1 on which nobody listens. It lies below those that the system gives to clients, so
// that none of them takes it before a server does.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(22_000))
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// Eventually waits until ok returns true, and fails the test when that takes too long.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", patience, what)
}

// Do runs a command through redis-cli and returns its output, which is one of an error if Redis refused.
func (r *Redis) Do(args ...string) string {
	r.t.Helper()
	out, err := r.cli(args...)
	if err != nil {
		r.t.Fatalf("redis-cli %s: %s: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func (r *Redis) cli(args ...string) (string, error) {
	out, err := exec.Command(binary(r.t, "redis-cli"), append(r.CLI(), args...)...).CombinedOutput()
	return string(out), err
}

// CLI returns the arguments with which redis-cli connects.
func (r *Redis) CLI() []string {
	host, port, _ := net.SplitHostPort(r.Addr)
	args := []string{"-h", host, "-p", port}
	if r.tls != nil {
		args = append(args, "--tls", "--cacert", r.tls.CA, "--cert", r.tls.Cert, "--key", r.tls.Key)
	}
	return args
}

// Kill ends the process at once (SIGKILL).
func (r *Redis) Kill() { r.proc.kill() }

// Stop makes the process hang (SIGSTOP): connections stay open and nobody answers.
func (r *Redis) Stop() { r.signal(syscall.SIGSTOP) }

// Cont lets a stopped process go on (SIGCONT).
func (r *Redis) Cont() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.proc.cmd.Process.Signal(s); err != nil {
		r.t.Fatalf("redis-server at %s: %s: %s", r.Addr, s, err)
	}
}

// Restart kills the process, if it runs, and starts it again on the same port. Unless it was started with other
// arguments, it comes back empty.
func (r *Redis) Restart() {
	r.t.Helper()
	r.proc.kill()
	r.begin()
}

func writeFile(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// StartWithUsers starts a redis-server with ACL users; each is a line of an ACL file, such as
// "user agent on >secret ~farm:* +@read". The default user may do everything without a password, for the test itself.
func StartWithUsers(t testing.TB, users ...string) *Redis {
	t.Helper()
	text := strings.Join(users, "\n") + "\nuser default on nopass ~* &* +@all\n"
	return Start(t, "--aclfile", writeFile(t, t.TempDir(), "users.acl", text))
}

// As returns the URL of the server for a user.
func (r *Redis) As(user, password string) string {
	return fmt.Sprintf("redis://%s:%s@%s", user, password, r.Addr)
}
