package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
)

// CommandProbe passes when its command exits with 0.
type CommandProbe struct {
	Run       []string `yaml:"run"`        // the program and its arguments; no shell
	DrainExit int      `yaml:"drain_exit"` // the exit code with which the server asks to be drained; 0 is none
}

func (c *CommandProbe) validate() error {
	if c.DrainExit < 0 || c.DrainExit > 255 {
		return fmt.Errorf("drain_exit: %d, expected 1 to 255", c.DrainExit)
	}
	return (&Command{c.Run}).validate()
}

type commandProbe struct{ cfg *CommandProbe }

func (c *commandProbe) probe(ctx context.Context) error {
	_, err := runCommand(ctx, c.cfg.Run)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && c.cfg.DrainExit != 0 && exit.ExitCode() == c.cfg.DrainExit {
		return errDrain
	}
	return err
}
