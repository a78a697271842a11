// Package store keeps the services database in Redis: it is the only room that talks to Redis. A [Client] writes
// (agents and operators do), a [Store] follows the database and publishes snapshots for decisions. docs/redis.md
// describes keys, scripts and streams.
package store

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// Store follows the services database and publishes it in Views. Whatever happens to the database, views go on from
// the last good records.
type Store struct {
	cfg   Config
	refs  int // guarded by opened
	start time.Time

	client   *Client
	embedded *embedded
	readers  []*reader
	stop     context.CancelFunc
	running  sync.WaitGroup

	// mu guards the replica and what is counted of it. Nobody holds it while waiting or building.
	mu       sync.Mutex
	replica  *replica
	tally    tally
	wake     chan struct{} // one pending wake-up of the publisher
	warmedAt int64         // ms; when the replica was taken from the state file, 0 if it was not
	told     chan struct{} // one pending call to share what was learned
	lostSeen lostCount     // what the node record was last announced for

	exchanged chan struct{} // one pending call to exchange answers

	nodeChanged chan struct{} // one pending call to write the node record

	// Changed by who holds mu, read by anybody.
	grants  table[holder, *qos.Grant] // the live grant of each client, or its last
	waiters waiters

	asks     asks
	entitled Entitlements
	keyFile  keyFile

	// publishing guards the views and what they have built.
	publishing sync.Mutex
	views      map[*View]struct{}
}

// opened holds the running stores, so that those of equal configurations are one: at a reload the new instance of a
// server opens its store before the old one closes its own.
var opened = struct {
	sync.Mutex
	stores map[string]*Store
}{stores: make(map[string]*Store)}

// Open returns the running Store of an equal Config, or starts one. It checks the Config, reads TLS, key and state files and,
// if asked to, starts the embedded store; it does not wait for Redis. Every Open needs a Close.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	opened.Lock()
	defer opened.Unlock()
	key := cfg.key()
	s := opened.stores[key]
	if s == nil {
		var err error
		if s, err = start(cfg); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		opened.stores[key] = s
	}
	s.refs++
	return s, nil
}

// Close gives one Open back. The last one stops the store and waits until it has; it may write the state file.
func (s *Store) Close() {
	opened.Lock()
	defer opened.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	delete(opened.stores, s.cfg.key())
	s.shutdown()
}

// start makes a running store.
func start(cfg Config) (s *Store, err error) {
	s = &Store{
		cfg: cfg, start: time.Now(), replica: newReplica(),
		wake: make(chan struct{}, 1), told: make(chan struct{}, 1), exchanged: make(chan struct{}, 1), nodeChanged: make(chan struct{}, 1), views: make(map[*View]struct{}),
		asks: asks{queue: make(chan *Request, maxAsks)},
	}
	defer func() {
		if err != nil {
			s.closeParts()
		}
	}()
	if len(cfg.URLs) == 0 {
		if s.embedded, err = startEmbedded(cfg.Embedded); err != nil {
			return s, err
		}
		s.cfg.Logger.warn("an embedded store listens on %s: it is for trying and for development, "+
			"holds nothing over a restart and is not shared", s.embedded.address())
	}
	target, err := s.target()
	if err != nil {
		return s, err
	}
	if s.client, err = dial(target, cfg.Prefix); err != nil {
		return s, err
	}
	if s.readers, err = newReaders(s, target); err != nil {
		return s, err
	}
	if err = s.openKeyFile(); err != nil {
		return s, err
	}
	s.warm()
	s.run()
	return s, nil
}

func (s *Store) target() (*Target, error) {
	if s.embedded != nil {
		return ParseURLs([]string{"redis://" + s.embedded.address()})
	}
	return ParseURLs(s.cfg.URLs)
}

// run starts the goroutines: one reader, or one a shard on Cluster, and eight that sleep most of the time.
func (s *Store) run() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	for _, r := range s.readers {
		s.running.Go(func() { r.run(ctx) })
	}
	s.running.Go(func() { s.publishLoop(ctx) })
	s.running.Go(func() { s.nodeLoop(ctx) })
	s.running.Go(func() { s.saveLoop(ctx) })
	s.running.Go(func() { s.shareLoop(ctx) })
	s.running.Go(func() { s.answerLoop(ctx) })
	s.running.Go(func() { s.askLoop(ctx) })
	s.running.Go(func() { s.entitleLoop(ctx) })
	s.running.Go(func() { s.keyFileLoop(ctx) })
}

func (s *Store) shutdown() {
	s.stop()
	for _, r := range s.readers {
		_ = r.db.Close() // wakes blocked reads
	}
	s.running.Wait()
	s.closeParts()
}

// closeParts closes what start opened.
func (s *Store) closeParts() {
	for _, r := range s.readers {
		_ = r.db.Close()
	}
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.embedded != nil {
		s.embedded.close()
	}
}

// now is the store's running clock, in ms: the time of day at the start, and from there on without jumps.
func (s *Store) now() int64 {
	return s.start.UnixMilli() + time.Since(s.start).Milliseconds()
}

// Embedded returns the address on which the embedded store listens, empty if there is none.
func (s *Store) Embedded() string {
	if s.embedded == nil {
		return ""
	}
	return s.embedded.address()
}

// View publishes the services of some zones. Equal bases have one View: what was learned of its servers goes on over a
// reload. The first snapshot is there when it returns. It may wait for builds of other views. Every View needs a Close.
func (s *Store) View(b Base) *View {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	for v := range s.views {
		if reflect.DeepEqual(v.board.Base, b) {
			v.refs++
			return v
		}
	}
	v := newView(s, b)
	v.refs = 1
	s.views[v] = struct{}{}
	s.mu.Lock()
	v.addAll(s.replica)
	s.mu.Unlock()
	s.refresh(v, always)
	s.announceNode()
	return v
}

func (s *Store) closeView(v *View) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	if v.refs--; v.refs == 0 {
		delete(s.views, v)
		s.announceNode()
	}
}

// pause waits, and says whether to go on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
