package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// maxOutput is how much a command may write, in octets. A report is far smaller.
const maxOutput = 64 << 10

// killGrace is how long a killed command's pipes may stay open: a child that left the process group can hold them.
const killGrace = 100 * time.Millisecond

var errOutput = fmt.Errorf("output is larger than %d octets", maxOutput)

// runCommand runs argv and returns its standard output. When ctx ends, or it writes too much, its whole process group is
// killed. A command that fails returns an error with what it wrote to its standard error, cut short.
func runCommand(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &boundedBuffer{limit: maxOutput, full: func() { cancel(errOutput) }}
	diag := &boundedBuffer{limit: maxOutput, full: func() { cancel(errOutput) }}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, diag
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("%s: %w", argv[0], cause)
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("%s: %w%s", argv[0], err, said(diag.b))
	}
	return out.b, nil
}

func said(diag []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(diag), []byte("\n"))
	if len(line) == 0 {
		return ""
	}
	return ": " + printable(string(line), 100)
}

// boundedBuffer keeps what fits its limit and says when it is full. exec writes to it from one goroutine. It embeds no
// bytes.Buffer, whose ReadFrom would let io.Copy go round Write.
type boundedBuffer struct {
	b     []byte
	limit int
	full  func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.b)+len(p) > b.limit {
		b.full()
		return 0, errOutput
	}
	b.b = append(b.b, p...)
	return len(p), nil
}
