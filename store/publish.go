package store

import (
	"context"
	"time"
)

// How building is spread: at once when little happens. In bursts it is published in strides, so that what was built does not
// wait for the rest, and built for at most half of the time, unless one farm alone made answers older than longestWait.
const (
	stride      = 2 * time.Millisecond
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
			s.addDue()
		}
		began := time.Now()
		if s.publish(func() bool { return time.Since(began) < stride }) {
			s.wakeUp()
		}
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
	if n := s.replica.countLost(now); n != s.lostSeen {
		s.lostSeen = n
		s.announceNode()
	}
}

// addDue has what changes by time alone built.
func (s *Store) addDue() {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	for v := range s.views {
		v.addDue(s.now())
		v.checkHosts(s.cfg.Logger.warn)
	}
}

// publish brings every view up to date, as far as it may, and says whether there is more to do.
func (s *Store) publish(may func() bool) (more bool) {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	s.mu.Lock()
	dirty := s.replica.dirty
	s.replica.dirty = make(map[string]change)
	s.mu.Unlock()
	for v := range s.views {
		for name, c := range dirty {
			v.queue.add(name, c)
		}
		more = s.refresh(v, may) || more
	}
	return more
}

// refresh brings a view up to date, as far as it may, and says whether there is more to do.
func (s *Store) refresh(v *View, may func() bool) (more bool) {
	s.mu.Lock()
	g := generation{now: s.now(), unread: !s.hasLoaded(), serial: s.serial()}
	g.stale, g.since = s.staleness(g.now)
	s.mu.Unlock()
	return v.publish(&s.mu, s.replica, g, may)
}

// always is the leave to do everything.
func always() bool { return true }
