package store

import (
	"fmt"
	"maps"
	"slices"
)

// tally is what the store counts and remembers of its readers. Store.mu guards it.
type tally struct {
	errs     [Shards]string // why a shard is not followed; empty is followed, or not yet
	lostAt   int64          // ms; when the first of them was lost; 0 is none
	resyncs  uint64
	gaps     uint64
	contact  int64 // ms; when anything was last heard
	behind   [Shards]uint64
	connects uint64
	saved    uint64 // version of the replica in the state file
	saveErr  string
}

// staleAfter is how long, in ms, the database may be silent before the replica counts as stale.
const staleAfter = 3000

// loaded takes a complete read.
func (s *Store) loaded(shard int, d *dump) {
	s.mu.Lock()
	now := s.now()
	s.replica.load(shard, d, now)
	s.tellGrants()
	s.tally.resyncs++
	s.tally.contact = now
	s.tally.errs[shard] = ""
	s.tally.behind[shard] = 0
	s.found(now)
	s.mu.Unlock()
	s.wakeUp()
}

// found notes, and logs, when nothing is missing any more.
func (s *Store) found(now int64) {
	for _, sh := range s.replica.shards {
		if !sh.synced {
			return
		}
	}
	if s.tally.connects == 0 {
		s.tally.connects++
		s.announceNode()
		s.cfg.Logger.info("store %s: connected", s.client)
	} else if s.tally.lostAt != 0 {
		s.tally.connects++
		s.announceNode()
		s.cfg.Logger.info("store %s: in step again after %.1f s", s.client, float64(now-s.tally.lostAt)/1000)
	}
	s.tally.lostAt = 0
}

// known lists the services of a shard of which anything was read.
func (s *Store) known(shard int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.replica.shards[shard].services))
}

// lost notes that a shard cannot be read.
func (s *Store) lost(shard int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	sh := s.replica.shards[shard]
	sh.clock.silence(now)
	sh.synced = false
	if s.tally.lostAt == 0 {
		s.tally.lostAt = now
		s.cfg.Logger.warn("store %s: %s: %s; %s", s.client, s.tally.howLost(), clipLong(s.client.target.explain(err).Error()), s.meanwhile())
	}
	s.tally.errs[shard] = clip(err.Error())
	s.wakeUp()
}

func (t *tally) howLost() string {
	if t.connects == 0 {
		return "not reached yet"
	}
	return "lost"
}

// meanwhile says what answers are made of while the database is not there.
func (s *Store) meanwhile() string {
	if s.hasLoaded() {
		return "answers go on from what was read last"
	}
	return "only the services of the Corefile are known"
}

// gap notes that a shard has to be read anew. It is at once, and so not worth a line.
func (s *Store) gap(shard int, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica.shards[shard].synced = false
	s.tally.gaps++
	s.tally.errs[shard] = clip(why.Error())
}

// heard notes that the database answered for some shards.
func (s *Store) heard(shards []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, i := range shards {
		s.replica.shards[i].clock.hear(now)
	}
	s.tally.contact = now
}

// follow applies entries of a stream.
func (s *Store) follow(shard int, entries []entry) error {
	s.mu.Lock()
	err := s.replica.follow(shard, entries, s.now())
	s.tellGrants()
	s.mu.Unlock()
	s.wakeUp()
	return err
}

// compare says what is wrong with the replica's place in a shard, given the database's. A revision that is ahead only
// counts if it was already ahead at the look before.
func (s *Store) compare(t *tail, epoch, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.replica.shards[t.shard]
	behind := t.seen > sh.rev
	s.tally.behind[t.shard] = max(rev, sh.rev) - sh.rev
	t.seen = rev
	switch {
	case epoch != sh.epoch && !(sh.epoch == 0 && rev > 0 && !behind):
		return fmt.Errorf("shard %02d: epoch %d instead of %d: another database", t.shard, epoch, sh.epoch)
	case rev < sh.rev:
		return fmt.Errorf("shard %02d: revision went back from %d to %d", t.shard, sh.rev, rev)
	case behind:
		return fmt.Errorf("shard %02d: revision %d did not come", t.shard, t.seen)
	}
	return nil
}

// staleness says whether, and since when, the replica may differ from the database.
func (s *Store) staleness(now int64) (bool, int64) {
	since := int64(0)
	for _, sh := range s.replica.shards {
		if sh.synced && now-sh.clock.heard <= staleAfter {
			continue
		}
		at := sh.clock.lastHeard
		if at == 0 {
			at = s.start.UnixMilli()
		}
		if since == 0 || at < since {
			since = at
		}
	}
	return since != 0, since
}
