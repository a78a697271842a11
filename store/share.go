package store

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// Times and bounds of sharing.
const (
	shareEvery = 5 * time.Second // less up to a fifth
	shareLeast = time.Second     // between two rounds
	shareTime  = 2 * time.Second // for one shard
	firstShare = 200 * time.Millisecond
	maxRound   = 2000 // services in one round; of more, each gets its turn
)

// sharing tells other replicas what was learned here, and hears what they say. It belongs to one goroutine, which nobody
// waits for.
type sharing struct {
	peers
	out     map[string]Shared // what is to be told, by service
	heard   map[string]bool   // services of which the others were heard
	refused bool              // whether the last write was
	turn    string            // the service with which the next round begins, if there are too many for one
}

func newSharing(s *Store) *sharing {
	return &sharing{peers: newPeers(s), out: make(map[string]Shared), heard: make(map[string]bool)}
}

// shareLoop shares every few seconds, for the first time as soon as the database was read.
func (s *Store) shareLoop(ctx context.Context) {
	x := newSharing(s)
	for pause(ctx, firstShare) && !s.hasServers() {
	}
	for ctx.Err() == nil {
		x.round(ctx)
		if pause(ctx, shareLeast) {
			s.awaitTold(ctx, shareEvery-rand.N(shareEvery/5)-shareLeast)
		}
	}
}

// hasServers says whether the database was read: only then are there servers that a capacity can be adopted for.
func (s *Store) hasServers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasRead()
}

// awaitTold waits until a view has something to tell, at most for d.
func (s *Store) awaitTold(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.told:
	case <-t.C:
	}
}

// round shares once. What cannot be shared now is not missed: in a few seconds there is something better to tell.
func (x *sharing) round(ctx context.Context) {
	views := x.store.openViews()
	services := x.collect(views)
	for number, names := range x.due(services) {
		if len(names) == 0 {
			continue
		}
		timed, cancel := context.WithTimeout(ctx, shareTime)
		x.shard(timed, number, names, views)
		cancel()
	}
}

func (s *Store) openViews() []*View {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	views := make([]*View, 0, len(s.views))
	for v := range s.views {
		views = append(views, v)
	}
	return views
}

// collect takes what is to be told, and returns the services that anybody wants to hear of, and whether that is more than
// their capacities. What was told stays until it is too old, for a value is always written whole.
func (x *sharing) collect(views []*View) map[string]bool {
	services := make(map[string]bool)
	for _, v := range views {
		if !v.mail.empty(x.out) {
			continue
		}
		for _, f := range v.Load().Farms() {
			name := f.Service.Name
			services[name] = services[name] || f.Service.Policy == steer.Predict
		}
	}
	now := x.store.now()
	for name, s := range x.out {
		if _, ok := services[name]; !ok || now-s.At > learnedFresh {
			delete(x.out, name)
		}
	}
	for name := range x.heard {
		if _, ok := services[name]; !ok {
			delete(x.heard, name)
		}
	}
	return services
}

// due lists, by shard, the services of this round: those under predict, those that were not heard of yet, and those that
// there is something to tell of.
func (x *sharing) due(services map[string]bool) (byShard [Shards][]string) {
	var names []string
	for name, predicts := range services {
		if predicts || !x.heard[name] || x.store.measures(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > maxRound {
		i, _ := slices.BinarySearch(names, x.turn)
		names = slices.Concat(names[i:], names[:i])
		x.turn, names = names[maxRound], names[:maxRound]
	}
	for _, name := range names {
		n := Shard(name)
		byShard[n] = append(byShard[n], name)
	}
	return byShard
}

// measures says whether any capacity of the service was measured here.
func (s *Store) measures(service string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	svc := s.replica.shards[Shard(service)].services[service]
	if svc == nil {
		return false
	}
	for _, v := range svc.servers {
		if v.measured.Capacity > 0 {
			return true
		}
	}
	return false
}

// batch is how many services go in one pipeline: a few hundred KiB at most as things are, some MiB at worst.
const batch = 64

// shard shares the services of one shard. An error ends it: the reader says when the database is lost.
func (x *sharing) shard(ctx context.Context, number int, names []string, views []*View) {
	s := x.store
	now, err := timeOf(ctx, s.client.db, revKey(s.cfg.Prefix, number))
	if err != nil {
		return
	}
	offset := now - s.now()
	for names := range slices.Chunk(names, batch) {
		said, err := fetchLearned(ctx, s.client.db, s.cfg.Prefix, names)
		if err != nil {
			return
		}
		for i, name := range names {
			x.hear(name, said[i], offset, views)
		}
		if x.tell(ctx, names, said, offset) != nil {
			return
		}
	}
}
