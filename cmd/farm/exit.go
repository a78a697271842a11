package main

import (
	"errors"
	"fmt"

	"github.com/coredns-farm/farm/agent"
	"github.com/coredns-farm/farm/store"
)

// The exit codes. Scripts depend on them; exitHelp tells them to people.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotFound    = 4
	exitRefused     = 5
)

const exitHelp = `Exit codes:
  0  done
  1  failed
  2  wrong usage: unknown command, flag or argument
  3  the services database is out of reach
  4  no such service, server, level, grant, key or handle
  5  refused: the value is invalid, or somebody else holds the server`

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func coded(code int, format string, args ...any) error {
	return &codedError{code, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error    { return coded(exitUsage, format, args...) }
func notFoundf(format string, args ...any) error { return coded(exitNotFound, format, args...) }
func refusedf(format string, args ...any) error  { return coded(exitRefused, format, args...) }

// fromDatabase gives an error of the database its exit code, and says what to do about it.
func fromDatabase(err error) error {
	var known *codedError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case store.IsInvalid(err):
		return refusedf("%w", err)
	case store.IsUnreachable(err):
		return coded(exitUnreachable, "%w; --redis or $FARM_REDIS say where it is", err)
	}
	return err
}

// codeOf returns the exit code of an error. Before a command has started, only its usage can be wrong.
func codeOf(err error, started bool) int {
	var c *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, agent.ErrClaimed):
		return exitRefused
	case !started:
		return exitUsage
	}
	return exitFailed
}
