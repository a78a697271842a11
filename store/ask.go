package store

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
)

// asks is what lookups ask for: a bounded queue, and what became of it.
type asks struct {
	queue chan *Request

	asked, held, refused, dropped, failed atomic.Uint64
}

// AskCounts counts what became of the requests that Store.Ask was given.
type AskCounts struct {
	Asked   uint64 // that came to the database
	Held    uint64 // of these, those that found a grant that stands
	Refused uint64 // of these, those for which there was no room
	Dropped uint64 // that never came there: too many waited, or it was away
	Failed  uint64 // that it did not take
}

// Bounds of asking.
const (
	maxAsks  = 1024 // that wait
	askBatch = 64   // in one pipeline
	askTime  = 2 * time.Second
)

func (a *asks) read() AskCounts {
	return AskCounts{
		Asked: a.asked.Load(), Held: a.held.Load(), Refused: a.refused.Load(), Dropped: a.dropped.Load(), Failed: a.failed.Load(),
	}
}

// Ask files a request without waiting; false means that too many wait already. What becomes of it, View.Grant shows: also
// that there was no room, which the database does not keep. See Client.Ask; but a live grant of which this replica has not
// heard is not replaced by one at another level or server: it stands, for two replicas may be asked at once.
func (s *Store) Ask(r Request) bool {
	select {
	case s.asks.queue <- &r:
		return true
	default:
		s.asks.dropped.Add(1)
		return false
	}
}

// askLoop takes requests to the database.
func (s *Store) askLoop(ctx context.Context) {
	told := false
	for {
		batch := s.nextAsks(ctx)
		if batch == nil {
			return
		}
		err := s.ask(ctx, batch)
		refused := isRefused(err)
		if refused && !told {
			s.cfg.Logger.warn("store %s: cannot ask for grants: %s", s.client, clip(err.Error()))
		}
		told = refused
	}
}

// nextAsks waits for requests and takes those that are there. It returns nil when ctx ends.
func (s *Store) nextAsks(ctx context.Context) (batch []*Request) {
	select {
	case <-ctx.Done():
		return nil
	case r := <-s.asks.queue:
		batch = append(batch, r)
	}
	for len(batch) < askBatch {
		select {
		case r := <-s.asks.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// asking is a request on its way.
type asking struct {
	*Request
	args []any
	cmd  *redis.Cmd
}

// ask runs the script for each of some requests, in one pipeline, and returns what the last of those that failed met.
func (s *Store) ask(ctx context.Context, batch []*Request) (err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var all []*asking
	for _, r := range batch {
		args, err := r.args(s.seen(r))
		if err != nil {
			s.asks.failed.Add(1)
			continue
		}
		all = append(all, &asking{Request: r, args: append([]any{r.Service}, args...)})
	}
	_, _ = s.client.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, a := range all {
			a.cmd = scriptGrant.EvalSha(ctx, p, GrantKeys(s.cfg.Prefix, a.Service), a.args...)
		}
		return nil
	}) // each command has its own error
	for _, a := range all {
		if redis.HasErrorPrefix(a.cmd.Err(), "NOSCRIPT") {
			a.cmd = scriptGrant.Eval(ctx, s.client.db, GrantKeys(s.cfg.Prefix, a.Service), a.args...)
		}
		if e := a.cmd.Err(); e != nil {
			err = e
		}
		s.asked(a)
	}
	return err
}

// seen names the live grant that this replica knows the client to have.
func (s *Store) seen(r *Request) string {
	g, ok := s.grants.get(holder{r.Service, r.Client})
	if !ok || !g.State.Live() {
		return ""
	}
	return g.ID.String()
}

// asked counts what became of a request, and keeps that there was no room.
func (s *Store) asked(a *asking) {
	got, err := replyOf(a.cmd)
	if IsUnreachable(err) {
		s.asks.dropped.Add(1)
		return
	}
	if err != nil {
		s.asks.failed.Add(1)
		return
	}
	s.asks.asked.Add(1)
	switch got.status {
	case "HELD":
		s.asks.held.Add(1)
	case "FULL", "MANY":
		s.asks.refused.Add(1)
		s.noRoom(a.Request)
	}
}

// noRoom keeps for a while, in this replica alone, that there was no room.
func (s *Store) noRoom(r *Request) {
	g := r.Grant
	g.State, g.Reason, g.Version = qos.Refused, qos.Full, 1
	s.mu.Lock()
	defer s.mu.Unlock()
	g.End = s.now()
	s.replica.refuse(&g, g.End)
	s.tellGrants()
}
