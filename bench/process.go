package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// process is a program that is measured, or helps to.
type process struct {
	name string
	cmd  *exec.Cmd
	log  transcript
	done chan struct{} // closed when it has ended
}

// transcript keeps the beginning of what a process wrote.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxTranscript = 16 << 10

// Write implements io.Writer. It never fails: a process must not be held up by what it has to say.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b[:min(len(b), maxTranscript-t.buf.Len())])
	return len(b), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// start starts a program, which ends with the lab at the latest.
func (l *lab) start(name, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Dir = l.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	// It does not outlive this program, however that ends; nor does the terminal's interrupt end it before its turn.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is of no interest: it was told to, or await says that it has
		close(p.done)
	}()
	l.running = append(l.running, p)
	return p, nil
}

// stopTime is how long a process may take to end by itself.
const stopTime = 5 * time.Second

// stop ends a process and waits until it has.
func (l *lab) stop(p *process) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	l.running = slices.DeleteFunc(l.running, func(q *process) bool { return q == p })
}

// taken is what a process has taken so far.
type taken struct {
	cpu      time.Duration // user and system, of all threads
	resident int           // octets of memory, now
}

// used returns what a process has taken so far. The clock of processors ticks a hundred times a second.
func (p *process) used() (taken, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return taken{}, fmt.Errorf("cannot look at %s: %w", p.name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return taken{}, fmt.Errorf("cannot look at %s: %w", p.name, err)
	}
	return taken{time.Duration(stat.CPUTime() * float64(time.Second)), stat.ResidentMemory()}, nil
}

// cost returns the processor time that a process takes while something is done.
func (p *process) cost(do func() error) (time.Duration, error) {
	before, err := p.used()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := p.used()
	return after.cpu - before.cpu, err
}

// machineTime returns the seconds for which the machine's processors have worked, all of them together; 0 where nobody says.
func machineTime() float64 {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0
	}
	t := stat.CPUTotal
	return t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal
}
