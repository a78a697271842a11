package test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program under test with all that it wrote.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  transcript
	done chan struct{} // closed when it has ended
	err  error         // of its end; read after done
}

// transcript is a buffer that may be read while it is written.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs a program until the test ends. Then it must end by itself when it is told to, and the race detector must
// have had nothing to say of it.
func start(t testing.TB, name, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0")
	// Whatever becomes of the test, its processes do not outlive it. (The signal comes when the thread that started them
	// ends; Go's threads end with the process.)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.begin(); err != nil {
		t.Fatalf("cannot start %s: %v", name, err)
	}
	t.Cleanup(p.finish)
	return p
}

func (p *process) begin() error {
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return nil
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("cannot send %v to %s: %v", s, p.name, err)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends it without a warning.
func (p *process) kill() {
	if !p.ended() {
		p.cmd.Process.Kill()
	}
	<-p.done
}

// stop asks it to end and waits until it has.
func (p *process) stop() {
	p.t.Helper()
	if !p.ended() {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
		p.t.Errorf("Expected %s to end within %v of SIGTERM", p.name, patience)
	}
}

func (p *process) finish() {
	p.stop()
	log := p.log.String()
	if strings.Contains(log, "WARNING: DATA RACE") {
		p.t.Errorf("Expected no data race in %s", p.name)
	}
	if strings.Contains(log, "panic:") || strings.Contains(log, "Recovered from panic") {
		p.t.Errorf("Expected no panic in %s", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("log of %s:\n%s", p.name, tail(log, 8000))
	}
}

// tail returns the last n octets of a log, and its beginning if a race or a panic stands there.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for _, word := range []string{"WARNING: DATA RACE", "panic"} {
		if i := strings.Index(s, word); i >= 0 {
			return s[i:min(i+n, len(s))]
		}
	}
	return "...\n" + s[len(s)-n:]
}

// says awaits a line of its log that holds the words.
func (p *process) says(words string) {
	p.t.Helper()
	await(p.t, p.name+" to say "+words, func() bool { return strings.Contains(p.log.String(), words) })
}
