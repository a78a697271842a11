// Package camara is the network element that is an operator's CAMARA Quality-On-Demand API, version 1.1.0 (release r3.2):
// a grant is a QoS session there. docs/camara.md tells people about it.
//
// One way is trusted to know a session's state: to GET it. Notifications only say when to look; so a forged, a lost or a
// late one changes nothing.
package camara

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/qos/element"
)

// Element asks an operator for grants. Make one with New.
type Element struct {
	cfg      Config
	log      *slog.Logger
	api      *caller
	profiles *profiles
	sink     *sink // nil without one
	now      func() time.Time

	alarmed atomic.Bool // whether the log says that the operator refuses our credentials
	ready   atomic.Bool // whether what was held before our time is known: Reconcile has run

	sessions holdings

	news   chan element.Event
	queue  events
	nudged chan struct{} // tells watch that there is something to look at

	stop func()
	done <-chan struct{}
	runs sync.WaitGroup
}

var _ element.Element = (*Element)(nil)

// New makes an element and starts what watches sessions and takes notifications. It asks the operator nothing. Close
// ends it. Logs tell changes: credentials that are refused, and that are good again.
func New(cfg Config, log *slog.Logger) (*Element, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("camara: %w", err)
	}
	cfg = cfg.withDefaults()
	secret, err := readSecret(cfg.OAuth.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("camara: %w", err)
	}
	client, err := newClient(cfg.CA)
	if err != nil {
		return nil, fmt.Errorf("camara: %w", err)
	}
	e := &Element{cfg: cfg, log: log, now: time.Now, news: make(chan element.Event), nudged: make(chan struct{}, 1)}
	e.queue.signal = make(chan struct{}, 1)
	e.api = &caller{
		base: strings.TrimSuffix(cfg.URL, "/"), client: client, timeout: cfg.Timeout, correlator: cfg.Correlator, now: e.now,
		tokens: &tokens{cfg: cfg.OAuth, client: client},
	}
	e.profiles = newProfiles(cfg.ProfilesURL, e.api)
	ctx, stop := context.WithCancel(context.Background())
	e.stop, e.done = stop, ctx.Done()
	if cfg.Sink != nil {
		if e.sink, err = listen(cfg.Sink, sinkKey(secret), e); err != nil {
			stop()
			return nil, fmt.Errorf("camara: %w", err)
		}
		e.runs.Go(e.sink.serve)
	}
	e.runs.Go(func() { e.watch(ctx) })
	e.runs.Go(func() { e.queue.pump(ctx, e.news) })
	return e, nil
}

// Events tells what became of sessions by the operator's doing, or later than they were asked for.
func (e *Element) Events() <-chan element.Event { return e.news }

// Close ends the element. Sessions stay: they end by themselves, and the next element finds them.
func (e *Element) Close(ctx context.Context) error {
	e.stop()
	var err error
	if e.sink != nil {
		err = e.sink.close(ctx)
	}
	e.runs.Wait()
	e.api.client.CloseIdleConnections()
	return err
}
