package agent

import "context"

// commandProbe passes when its command exits with 0.
type commandProbe struct{ argv []string }

func (c *commandProbe) probe(ctx context.Context) error {
	_, err := runCommand(ctx, c.argv)
	return err
}
