package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/steer"
)

// Client writes to the services database, and reads it once. Its methods may be called by several goroutines; each blocks
// until Redis has answered or its context ends. Set a deadline: a Redis that hangs is only noticed by the clock.
type Client struct {
	db     redis.UniversalClient
	target *Target
	prefix string
}

// Dial makes a client of the database that the URLs name (see [ParseURLs]); an empty prefix is [DefaultPrefix]. It
// reads TLS files but does not wait for Redis: the first call connects.
func Dial(urls []string, prefix string) (*Client, error) {
	t, err := ParseURLs(urls)
	if err != nil {
		return nil, err
	}
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if err := CheckPrefix(prefix); err != nil {
		return nil, err
	}
	return dial(t, prefix)
}

func dial(t *Target, prefix string) (*Client, error) {
	db, err := t.open(nil)
	if err != nil {
		return nil, err
	}
	return &Client{db: db, target: t, prefix: prefix}, nil
}

// String names the database, without user names and passwords.
func (c *Client) String() string { return c.target.String() }

// Close closes the connections.
func (c *Client) Close() error { return c.db.Close() }

// Ping asks Redis whether it is there.
func (c *Client) Ping(ctx context.Context) error {
	return c.wrap("ping", c.db.Ping(ctx).Err())
}

// wrap names the place of an error of Redis.
func (c *Client) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis %s: %s: %w", c.target, what, c.target.explain(err))
}

// IsUnreachable says whether an error of a Client means that the database did not answer, rather than that it refused.
func IsUnreachable(err error) bool {
	var refused redis.Error
	return err != nil && !errors.As(err, &refused) && !IsInvalid(err)
}

// IsInvalid says whether an error of a Client means that what was to be written is not valid.
func IsInvalid(err error) bool {
	var b *badRecord
	return errors.As(err, &b)
}

// PutService writes a service's record, replacing the one that stands.
func (c *Client) PutService(ctx context.Context, s steer.Service) error {
	if err := checkNames(s.Name); err != nil {
		return err
	}
	if err := errors.Join(CheckService(&s), CheckAlias(s.Name, s.Fallback...)); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	data, err := encode(s)
	if err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	_, err = c.run(ctx, scriptService, s.Name, "set", data)
	return err
}

// DeleteService removes a service with its servers, admin states and reports, and ends its grants. It says whether there
// was one. Agents that still run register their servers again; stop them first.
func (c *Client) DeleteService(ctx context.Context, name string) (bool, error) {
	if err := checkNames(name); err != nil {
		return false, err
	}
	if _, err := c.Drain(ctx, name, ""); err != nil {
		return false, err
	}
	r, err := c.run(ctx, scriptService, name, "del", "")
	return r.status == "OK", err
}

// PutServer writes a server's record, replacing the one that stands; by is [ByOperator] or [ByAgent]. What an agent
// says does not replace what an operator said: then kept is true, and nothing was written.
func (c *Client) PutServer(ctx context.Context, service string, s steer.Server, by string) (kept bool, err error) {
	if err := checkNames(service, s.ID); err != nil {
		return false, err
	}
	if err := errors.Join(CheckServer(&s), CheckAlias(service, s.Target)); err != nil {
		return false, fmt.Errorf("server %s of %s: %w", s.ID, service, err)
	}
	data, err := encode(serverRecord{s, by})
	if err != nil {
		return false, fmt.Errorf("server %s of %s: %w", s.ID, service, err)
	}
	r, err := c.run(ctx, scriptServer, service, s.ID, "set", data)
	return r.status == "KEPT", err
}

// DeleteServer removes a server with its admin state and its own report. It says whether there was one.
func (c *Client) DeleteServer(ctx context.Context, service, id string) (bool, error) {
	if err := checkNames(service, id); err != nil {
		return false, err
	}
	r, err := c.run(ctx, scriptServer, service, id, "del", "")
	return r.status == "OK", err
}

// SetAdmin sets a server's admin state; by says who wants it ([ByOperator] or [ByAgent]). An agent cannot change what
// an operator set: then kept is true, and nothing was written. Setting the state that stands changes nothing, so that
// a drain under way does not begin anew. The server may be one that stands only in a Corefile.
func (c *Client) SetAdmin(ctx context.Context, service, id string, state steer.AdminState, by string) (kept bool, err error) {
	if err := checkNames(service, id); err != nil {
		return false, err
	}
	if err := CheckAdmin(state); err != nil {
		return false, err
	}
	r, err := c.run(ctx, scriptAdmin, service, id, string(state), by)
	return r.status == "KEPT", err
}

// Outcome is what became of a report.
type Outcome string

// The outcomes of a report. All but Accepted mean that nothing was written.
const (
	Accepted Outcome = "OK"
	Unknown  Outcome = "UNKNOWN" // the server is not registered (any more): register it, and report again
	Stale    Outcome = "STALE"   // the same agent has already reported with this Seq or a later one
	Claimed  Outcome = "CLAIMED" // another agent, started later, reports for this server
)

// ReportReply is the database's answer to a report.
type ReportReply struct {
	Outcome Outcome
	Rev     uint64 // the shard's revision after it; if Accepted
	Agent   string // the agent that has claimed the server; if Claimed
}

// Report writes a report.
func (c *Client) Report(ctx context.Context, r Report) (ReportReply, error) {
	if err := r.Check(); err != nil {
		return ReportReply{}, fmt.Errorf("report of %s of %s: %w", clip(r.ID), clip(r.Service), err)
	}
	r.At, r.Well = 0, 0
	data, err := encode(r)
	if err != nil {
		return ReportReply{}, fmt.Errorf("report of %s of %s: %w", r.ID, r.Service, err)
	}
	return c.report(ctx, r.Service, r.field(), data)
}

// Leave is an agent's last report: it takes the server out of service until the next report of it. A server that
// stands in a Corefile, or that an operator registered, is remembered as one that left. Agent and seq are those of a
// report, or empty.
func (c *Client) Leave(ctx context.Context, service, id, agent string, seq uint64) (ReportReply, error) {
	if err := checkNames(service, id); err != nil {
		return ReportReply{}, err
	}
	data, err := encode(struct {
		Leave bool   `json:"leave"`
		Agent string `json:"agent,omitempty"`
		Seq   uint64 `json:"seq,omitempty"`
	}{true, agent, seq})
	if err != nil {
		return ReportReply{}, fmt.Errorf("leave of %s of %s: %w", id, service, err)
	}
	return c.report(ctx, service, id, data)
}

func (c *Client) report(ctx context.Context, service, field, data string) (ReportReply, error) {
	got, err := c.run(ctx, scriptReport, service, field, data)
	if err != nil {
		return ReportReply{}, err
	}
	reply := ReportReply{Outcome: Outcome(got.status), Rev: got.rev}
	if reply.Outcome == Claimed {
		reply.Agent = got.detail
	}
	return reply, nil
}

func encode(v any) (string, error) {
	data, err := json.Marshal(v)
	if err == nil && len(data) > maxRecord {
		err = bad("size", "%d octets: expected at most %d", len(data), maxRecord)
	}
	return string(data), err
}

// checkNames checks a service's name and, if given, a server's id.
func checkNames(service string, id ...string) error {
	if err := CheckServiceName(service); err != nil {
		return err
	}
	for _, id := range id {
		if err := CheckID(id); err != nil {
			return fmt.Errorf("server: %w", err)
		}
	}
	return nil
}

// deadline bounds a call whose caller set no deadline.
func deadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
