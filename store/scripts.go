package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed scripts/service.lua
	serviceLua string
	//go:embed scripts/server.lua
	serverLua string
	//go:embed scripts/admin.lua
	adminLua string
	//go:embed scripts/report.lua
	reportLua string
	//go:embed scripts/grant.lua
	grantLua string
	//go:embed scripts/entitle.lua
	entitleLua string
)

var (
	scriptService = redis.NewScript(serviceLua)
	scriptServer  = redis.NewScript(serverLua)
	scriptAdmin   = redis.NewScript(adminLua)
	scriptReport  = redis.NewScript(reportLua)
	scriptGrant   = redis.NewScript(grantLua)
	scriptEntitle = redis.NewScript(entitleLua)
)

var scripts = map[string]string{
	"service": serviceLua, "server": serverLua, "admin": adminLua, "report": reportLua, "grant": grantLua, "entitle": entitleLua,
}

// Scripts lists the names of the scripts.
func Scripts() []string { return slices.Sorted(maps.Keys(scripts)) }

// Script returns the Lua source of a script that writes to the database, for agents in other languages; "" if there is none
// of that name. docs/redis.md says what keys and arguments it takes.
func Script(name string) string { return scripts[name] }

// reply is what every script returns: a status, the shard's revision, and a word more.
type reply struct {
	status string
	rev    uint64
	detail string
}

// run runs a script on the keys of a service.
func (c *Client) run(ctx context.Context, s *redis.Script, service string, args ...any) (reply, error) {
	return c.runOn(ctx, s, Keys(c.prefix, service), service, args...)
}

// runOn runs a script on some keys. The first argument of every script is what it is about.
func (c *Client) runOn(ctx context.Context, s *redis.Script, keys []string, what string, args ...any) (reply, error) {
	ctx, cancel := deadline(ctx, 2*ioTimeout)
	defer cancel()
	r, err := replyOf(s.Run(ctx, c.db, keys, append([]any{what}, args...)...))
	return r, c.wrap(what, err)
}

func replyOf(cmd *redis.Cmd) (reply, error) {
	got, err := cmd.StringSlice()
	if err != nil {
		return reply{}, refusal(err)
	}
	if len(got) < 2 {
		return reply{}, fmt.Errorf("script returned %d values: expected 2 or 3", len(got))
	}
	r := reply{status: got[0]}
	if r.rev, err = strconv.ParseUint(got[1], 10, 64); err != nil {
		return reply{}, fmt.Errorf("script returned revision %q: expected a number", clip(got[1]))
	}
	if len(got) > 2 {
		r.detail = got[2]
	}
	return r, nil
}

// refusal turns what a script refuses into a bad record.
func refusal(err error) error {
	var e redis.Error
	if errors.As(err, &e) {
		if why, ok := strings.CutPrefix(e.Error(), "FARM "); ok {
			return bad("refused", "%s", why)
		}
		// Without a password Redis does not even read a command of this many arguments, and says so in its own terms.
		if strings.Contains(e.Error(), "unauthenticated") {
			return fmt.Errorf("NOAUTH Authentication required. (%w)", err)
		}
	}
	return err
}
