package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// lab is where a measurement takes place: a folder for its files, and the processes that it started. It belongs to one
// goroutine.
type lab struct {
	dir     string
	notes   io.Writer // for whoever waits
	coredns string    // path of the build under test
	running []*process
	ports   map[int]bool // that were given out
}

// newLab makes a lab and builds CoreDNS with farm, as it is shipped: without the race detector. Close it.
func newLab(ctx context.Context, notes io.Writer) (*lab, error) {
	for _, program := range []string{"redis-server", "redis-cli", "dnsperf"} {
		if _, err := findProgram(program); err != nil {
			return nil, fmt.Errorf("%w: scripts/bench-setup.sh installs what is needed", err)
		}
	}
	dir, err := os.MkdirTemp("", "farm-bench")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, notes: notes, coredns: filepath.Join(dir, "coredns"), ports: make(map[int]bool)}
	build := exec.CommandContext(ctx, "go", "build", "-o", l.coredns, "github.com/coredns-farm/farm/cmd/coredns")
	if out, err := build.CombinedOutput(); err != nil {
		l.close()
		return nil, errors.Join(fmt.Errorf("cannot build CoreDNS: %w\n%s", err, out), ctx.Err())
	}
	return l, nil
}

// close ends the processes, the last one first, and removes the files.
func (l *lab) close() {
	for len(l.running) > 0 {
		l.stop(l.running[len(l.running)-1])
	}
	os.RemoveAll(l.dir)
}

func (l *lab) note(format string, args ...any) { fmt.Fprintf(l.notes, "bench: "+format+"\n", args...) }

// write writes a file of the lab and returns its path.
func (l *lab) write(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// findProgram finds a program, also where servers are and a user's shell does not look.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path, nil
	}
	return "", absentError(name)
}

// absentError names a program that is not installed.
type absentError string

func (e absentError) Error() string { return string(e) + " is not installed" }

// freePort returns a port that is free for UDP and TCP on 127.0.0.1. It lies below those that the kernel gives to
// clients, so that it is still free when a server comes to take it.
func (l *lab) freePort() (int, error) {
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if !l.ports[port] && isFree(local(port)) {
			l.ports[port] = true
			return port, nil
		}
	}
	return 0, errors.New("expected a free port on 127.0.0.1")
}

func isFree(addr string) bool {
	t, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer t.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// patience is how long a server may take to come up. It says nothing about how fast it should.
const patience = 60 * time.Second

// await polls until a condition holds; it ends early with the process whose doing it is.
func await(ctx context.Context, p *process, what string, holds func() bool) error {
	return awaitEvery(ctx, 5*time.Millisecond, p, what, holds)
}

// awaitEvery polls at a pace, for conditions that take their time to look at.
func awaitEvery(ctx context.Context, pace time.Duration, p *process, what string, holds func() bool) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s has ended: expected %s\n%s", p.name, what, p.log.String())
		case <-late.C:
			return fmt.Errorf("%s: expected %s within %v\n%s", p.name, what, patience, p.log.String())
		case <-time.After(pace):
		}
	}
	return nil
}

// sleep waits, unless the measurement is interrupted.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// answers says whether a server answers a question, with records or at least without an error.
func answers(addr, name string) bool {
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	c := dns.Client{Timeout: time.Second}
	r, _, err := c.Exchange(m, addr)
	return err == nil && r.Rcode == dns.RcodeSuccess && len(r.Answer)+len(r.Extra) > 0
}
