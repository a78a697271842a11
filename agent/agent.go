package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coredns-farm/farm/store"
)

// ErrClaimed is returned by [Run] when another agent, started later, reports for the same server. Two agents with one
// id would contradict each other for ever; the newer one is taken to be meant.
var ErrClaimed = errors.New("another agent reports for this server")

// maxClaims is how many reports in a row may be refused as claimed before the agent gives up: the other one may be a
// short-lived mistake.
const maxClaims = 3

// agent is a running agent. Only the loop's goroutine touches it, but for self and what probes guard themselves.
type agent struct {
	cfg      *Config
	db       *store.Client
	log      *slog.Logger
	systemd  *notifier
	instance string

	subjects []*subject
	sources  []source
	self     *awareness

	moves    <-chan []string // the addresses after they have changed; nil if the configuration says them
	draining bool
	failures int             // rounds in a row that did not reach the database
	failing  map[string]bool // sources that failed the last time
	absent   map[string]bool // what was absent from samples the last time, as source: what
	unknown  map[string]bool // sources whose health was unknown the last time
}

// Run runs an agent until ctx ends, then drains the server, lets it leave, and returns. That takes cfg.Drain; while it
// drains, Run takes SIGTERM and SIGINT over: another one makes the server leave at once. A prober just stops. Run
// returns early with an error if the configuration is not valid, the database refuses it for good, or with ErrClaimed.
// A database that is out of reach is no error: Run goes on trying.
func Run(ctx context.Context, cfg Config, log *slog.Logger) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	cfg = cfg.withDefaults()
	guessed, err := cfg.askMachine(log)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	db, err := store.Dial(cfg.Redis, cfg.Prefix)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer db.Close()
	// What runs beside the loop goes on while the server drains, so it does not end with ctx.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	a, err := newAgent(life, &cfg, db, log)
	if err != nil {
		end()
		return fmt.Errorf("config: %w", err)
	}
	if guessed {
		a.moves = followAddresses(life, cfg.Addresses, log)
	}
	wait := a.startProbes(life)
	defer wait()
	defer end()
	told, err := startLevels(life, &cfg, db, log)
	if err != nil {
		return fmt.Errorf("config: levels: %w", err)
	}
	defer told()
	return a.loop(ctx, life)
}

// askMachine fills in what is not said and only the machine knows, and says whether the addresses are of that.
func (c *Config) askMachine(log *slog.Logger) (guessed bool, err error) {
	if c.Reporter != "" {
		return false, nil
	}
	if c.Server == "" {
		if c.Server, err = hostID(); err != nil {
			return false, err
		}
	}
	if c.Target != "" || len(c.Addresses) > 0 {
		return false, nil
	}
	c.Addresses, err = hostAddresses(log)
	return true, err
}

func newAgent(life context.Context, cfg *Config, db *store.Client, log *slog.Logger) (*agent, error) {
	a := &agent{
		cfg: cfg, db: db, log: log, systemd: newNotifier(log), instance: newInstance(), self: new(awareness),
		failing: make(map[string]bool), absent: make(map[string]bool), unknown: make(map[string]bool),
	}
	var err error
	if a.subjects, err = newSubjects(cfg, a.self, log); err != nil {
		return nil, err
	}
	if a.sources, err = newSources(life, cfg); err != nil {
		return nil, err
	}
	a.logNotices()
	return a, nil
}

// logNotices logs what an operator may have expected otherwise of a collector.
func (a *agent) logNotices() {
	for _, s := range a.sources {
		if n, ok := s.collector.(interface{ notice() string }); ok && n.notice() != "" {
			a.log.Info(n.notice(), "collector", s.name)
		}
	}
}

// startProbes starts every probe and returns what waits for their end. A prober's first probes are spread over their
// interval; the server's own are not, since it waits for them.
func (a *agent) startProbes(life context.Context) (wait func()) {
	var wg sync.WaitGroup
	for _, s := range a.subjects {
		for _, p := range s.probes {
			delay := time.Duration(0)
			if s.reporter != "" {
				delay = rand.N(p.interval)
			}
			wg.Go(func() { p.run(life, delay) })
		}
	}
	return wg.Wait
}

// loop reports, round after round, until ctx ends.
func (a *agent) loop(ctx, life context.Context) error {
	a.log.Info("agent starts", "server", cmp.Or(a.cfg.Reporter, a.cfg.Server), "instance", a.instance,
		"database", a.db.String(), "interval", a.cfg.Interval, "lease", a.cfg.Lease)
	a.awaitProbes(ctx)
	due := time.Now()
	for first := true; ; first = false {
		next, err := a.round(life, due)
		if err != nil {
			return err
		}
		if first {
			a.systemd.ready()
		}
		due = next
		if !a.sleepUntil(ctx.Done(), due) {
			return a.leave(life)
		}
	}
}

// awaitProbes waits for the first results, but no longer than a round.
func (a *agent) awaitProbes(ctx context.Context) {
	patience := time.After(a.cfg.Interval)
	for _, s := range a.subjects {
		for _, p := range s.probes {
			select {
			case <-p.known:
			case <-patience:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// sleepUntil waits until a round is due, keeps the watchdog quiet, and says whether the agent goes on. A server that has moved
// is registered at once.
func (a *agent) sleepUntil(end <-chan struct{}, due time.Time) bool {
	a.systemd.alive()
	beat, stop := a.systemd.beat()
	defer stop()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		select {
		case <-end:
			return false
		case <-timer.C:
			return true
		case addresses := <-a.moves:
			a.move(addresses)
			return true
		case <-beat:
			a.systemd.alive()
		}
	}
}
