// Package test looks at farm from outside: real processes of CoreDNS, farm, Redis and HTTP servers on loopback, and DNS
// clients that ask them.
package test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stock is a CoreDNS that others built with farm in it: scripts/stock.sh.
var stock = flag.String("coredns", "", "test this CoreDNS instead of ours")

// TestMain lets the test binary be an HTTP server of the farm under test, so that such a server can be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		serve(os.Args[2:])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == lookupArgument {
		lookupHost(os.Args[2])
		return
	}
	// A command that was built with the race detector waits a second at its end unless told otherwise.
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is where the commands are that have been built.
var built struct {
	sync.Mutex
	dir  string
	errs map[string]error
}

// command returns the path of a command: coredns or farm. It is built once, with the race detector.
func command(t testing.TB, name string) string {
	t.Helper()
	if name == "coredns" && *stock != "" {
		return *stock
	}
	built.Lock()
	defer built.Unlock()
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "farm-test")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.errs = dir, make(map[string]error)
	}
	path := filepath.Join(built.dir, name)
	if _, done := built.errs[name]; !done {
		out, err := exec.Command("go", "build", "-race", "-o", path, module+"/cmd/"+name).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cannot build %s: %w\n%s", name, err, out)
		}
		built.errs[name] = err
	}
	if err := built.errs[name]; err != nil {
		t.Fatal(err)
	}
	return path
}

// patience is how long a test waits for what must come. It says nothing about how fast it should be.
const patience = 30 * time.Second

// await polls until a condition holds, and fails the test if it never does.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Expected %s within %v", what, patience)
		}
	}
}

// ports holds those that were given out, for none may be given twice.
var ports struct {
	sync.Mutex
	given map[int]bool
}

// freePort returns a port that is free for UDP and TCP on 127.0.0.1. It lies below those that the kernel gives to
// clients, so that it is still free when a server comes to take it.
func freePort(t testing.TB) int {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = make(map[int]bool)
	}
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if !ports.given[port] && isFree(port) {
			ports.given[port] = true
			return port
		}
	}
	t.Fatal("Expected a free port on 127.0.0.1")
	return 0
}

func isFree(port int) bool {
	addr := local(port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
