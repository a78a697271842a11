// Package measured is what the commands that measure have in common: how they end, and how they write what is published.
package measured

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitInterrupted = 130 // as of a process that SIGINT ended
)

// usageError is a mistake of the one who gave the command.
type usageError struct{ error }

// Misused makes an error one of usage.
func Misused(err error) error { return usageError{err} }

// Execute is what a command line asks for. Its context ends when the command is interrupted.
type Execute func(ctx context.Context) error

// Run runs the command of a name and returns its exit code. parse reads the command line; what it returns is a mistake, or
// flag.ErrHelp. What went wrong is said on stderr.
func Run(name string, stderr io.Writer, parse func() (Execute, error)) int {
	say := func(err any) { fmt.Fprintf(stderr, "%s: %v\n", name, err) }
	execute, err := parse()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return ExitOK
	case err != nil:
		say(err)
		return ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = execute(ctx)
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil {
		say("interrupted; nothing was written")
		return ExitInterrupted
	}
	say(err)
	if _, bad := errors.AsType[usageError](err); bad {
		return ExitUsage
	}
	return ExitFailure
}

// JSON writes results for programs.
func JSON(w io.Writer, results any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}
