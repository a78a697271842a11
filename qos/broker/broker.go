// Package broker takes requests for quality of service from the services database to the network elements that can
// grant them, and brings the grants back. Several brokers may run: each piece of work is handed to one of them, and to
// another one if that one dies.
//
// The database is the truth. A broker remembers nothing that it could not read again: it does what a grant, as it
// stands, needs; every call to an element may be made twice; and every answer is written only if the grant is still what
// it was when it was read.
package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/store"
)

// database is what a broker needs of the services database. Times are Redis's.
type database interface {
	Take(ctx context.Context) ([]store.Work, error)
	Ack(ctx context.Context, w store.Work) error
	Answer(ctx context.Context, service string, g qos.Grant) (bool, error)
	Sweep(ctx context.Context) (int, error)
	Grant(ctx context.Context, service string, id qos.GrantID) (qos.Grant, bool, error)
	Grants(ctx context.Context, services ...string) ([]qos.Grant, error)
}

// queued is the database as it is.
type queued struct {
	*store.Client
	*store.Queue
}

// sites are the elements of a broker.
type sites []*site

// of returns the element of that name; an empty one is the only one's. It is nil if there is none.
func (all sites) of(name string) *site {
	if name == "" && len(all) == 1 {
		return all[0]
	}
	for _, s := range all {
		if s.name == name && name != "" {
			return s
		}
	}
	return nil
}

// broker is a running broker.
type broker struct {
	db      database
	sites   sites
	log     *slog.Logger
	metrics *metrics
	lanes   *lanes

	quit <-chan struct{} // closed when it has to end
	life context.Context // of what is under way then: it has a little longer

	lost bool // whether the log says that the database cannot be read; the taker's alone
}

// How often things are done.
const (
	sweepEvery     = time.Second
	lookEvery      = 10 * time.Second
	reconcileLooks = 6                // every so many looks, elements are reconciled
	forgotten      = 5 * time.Second  // after which a request that nobody has answered is looked at
	lastWords      = 10 * time.Second // for what is under way when the broker has to end
	maxLanes       = 1024
)

func newBroker(db database, all sites, log *slog.Logger, m *metrics) *broker {
	b := &broker{db: db, sites: all, log: log, metrics: m}
	b.lanes = newLanes(maxLanes, b.work)
	return b
}

// run does all of a broker's work until ctx ends.
func (b *broker) run(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, end) })()
	b.quit, b.life = ctx.Done(), life

	// No work is taken before each element knows what it holds.
	for _, s := range b.sites {
		for !b.reconcile(ctx, s) && !b.ended() {
			pause(b.quit, nil, time.Second)
		}
	}
	var loops sync.WaitGroup
	loops.Go(func() { b.take(ctx) })
	loops.Go(func() { b.sweep(ctx) })
	loops.Go(func() { b.look(ctx) })
	for _, s := range b.sites {
		if s.element.Events() != nil {
			loops.Go(func() { b.listen(s) })
		}
	}
	loops.Wait()
	b.lanes.wait()
}

func (b *broker) ended() bool {
	select {
	case <-b.quit:
		return true
	default:
		return false
	}
}

// take takes work from the queue.
func (b *broker) take(ctx context.Context) {
	for !b.ended() {
		all, err := b.db.Take(ctx)
		if b.ended() {
			return
		}
		b.heard(err)
		for i := range all {
			w := &all[i]
			b.lanes.put(b.quit, element.GrantOf{Service: w.Grant.Service, ID: w.Grant.ID}, item{work: w})
		}
	}
}

// heard logs that the database cannot be read any more, or that it can again.
func (b *broker) heard(err error) {
	switch {
	case err != nil && !b.lost:
		b.log.Warn("the services database cannot be read; what is granted stands", "error", err)
	case err == nil && b.lost:
		b.log.Info("the services database can be read again")
	}
	b.lost = err != nil
	up := 1.0
	if b.lost {
		up = 0
	}
	b.metrics.database.Set(up)
}

// listen takes in what an element tells.
func (b *broker) listen(s *site) {
	for {
		select {
		case ev, ok := <-s.element.Events():
			if !ok {
				return
			}
			b.lanes.put(b.quit, ev.ID, item{event: &ev, site: s})
		case <-b.quit:
			return
		}
	}
}

// sweep has grants end whose time is over.
func (b *broker) sweep(ctx context.Context) {
	for !b.ended() {
		if _, err := b.db.Sweep(ctx); err != nil {
			b.log.Debug("grants cannot be swept", "error", err)
		}
		pause(b.quit, nil, sweepEvery)
	}
}

// look finds what the queue has lost, or has handed to a broker that does not have the element; and has elements
// reconciled.
func (b *broker) look(ctx context.Context) {
	for looks := 1; ; looks++ {
		pause(b.quit, nil, lookEvery)
		if b.ended() {
			return
		}
		for _, s := range b.sites {
			if looks%reconcileLooks == 0 || s.failing.Load() {
				b.reconcile(ctx, s)
			}
		}
		all, err := b.db.Grants(ctx)
		if err != nil {
			b.log.Debug("grants cannot be listed", "error", err)
			continue
		}
		for i := range all {
			id := element.GrantOf{Service: all[i].Service, ID: all[i].ID}
			if b.isForgotten(&all[i]) && !b.lanes.busy(id) {
				b.lanes.put(b.quit, id, item{})
			}
		}
	}
}

// isForgotten says whether a request has been open for long, one of our elements can answer it, and none has been asked.
func (b *broker) isForgotten(g *qos.Grant) bool {
	return actOf(g) == ask && g.Session == "" && b.sites.of(g.Element) != nil &&
		g.End-nowMillis() < (time.Minute-forgotten).Milliseconds()
}

// reconcile has an element hold what is live. Nothing else is asked of it meanwhile: what is granted while the grants are
// listed would else be taken for a remnant. It returns false if the grants cannot be listed; an element that cannot be
// reconciled is tried again at the next look.
func (b *broker) reconcile(ctx context.Context, s *site) bool {
	s.whole.Lock()
	defer s.whole.Unlock()
	all, err := b.db.Grants(ctx)
	if err != nil {
		b.log.Warn("grants cannot be listed, so nothing is reconciled", "element", s.name, "error", err)
		return false
	}
	live := b.liveAt(s, all, nowMillis())
	b.metrics.held.WithLabelValues(s.name).Set(float64(len(live)))
	ctx, cancel := context.WithTimeout(ctx, reconcileTime)
	defer cancel()
	begin := time.Now()
	err = s.element.Reconcile(ctx, live)
	b.metrics.called(s.name, "reconcile", begin, err)
	s.note(err)
	return true
}

// liveAt returns the live grants that an element has to hold, or may be asked for. Their times are ours.
func (b *broker) liveAt(s *site, all []qos.Grant, now int64) (live []*qos.Grant) {
	for i := range all {
		g := &all[i]
		if g.State.Live() && g.Network && b.sites.of(g.Element) == s {
			g.End = localEnd(g, now)
			live = append(live, g)
		}
	}
	return live
}
