package store

import (
	"context"
	"time"
)

// How building is spread: at once when little happens, and in bursts for at most half of the time, unless that made
// answers older than longestWait.
const (
	buildShare  = 1
	longestWait = 50 * time.Millisecond
	tick        = time.Second
)

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// publishLoop builds what changed, and once a second what time alone changes.
func (s *Store) publishLoop(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-ticker.C:
			s.look()
		}
		began := time.Now()
		s.publish()
		if !pause(ctx, min(buildShare*time.Since(began), longestWait)) {
			return
		}
	}
}

// look does what is due once a second.
func (s *Store) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.replica.dropOrphans(now)
	s.replica.endGrants(now)
	s.tellGrants()
}

func (s *Store) publish() {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	views := make([]*View, 0, len(s.views))
	for v := range s.views {
		views = append(views, v)
	}
	s.mu.Lock()
	dirty := s.replica.dirty
	s.replica.dirty = make(map[string]struct{})
	s.mu.Unlock()
	s.refresh(views, dirty, false)
}

// refresh brings views up to date.
func (s *Store) refresh(views []*View, dirty map[string]struct{}, all bool) {
	for _, v := range views {
		s.mu.Lock()
		g := generation{now: s.now(), edits: s.replica.edits, unread: !s.hasLoaded()}
		g.stale, g.since = s.staleness(g.now)
		names := v.due(s.replica, dirty, all, g.now)
		s.mu.Unlock()
		v.publish(&s.mu, s.replica, names, g)
	}
}
