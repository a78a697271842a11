package store

import (
	"maps"
	"slices"
)

// Status is how the store fares. It is a copy.
type Status struct {
	Target      string             // the database, without secrets
	Loaded      bool               // whether there are records: from the database, or from the state file
	Warm        bool               // whether they are still those of the state file
	Connected   bool               // whether every shard is followed and was heard lately
	Stale       bool               // the opposite, as snapshots say it
	StaleSince  int64              // ms on the clock of View.Now; if Stale
	LastContact int64              // ms on the clock of View.Now; 0 is never
	Error       string             // why a shard is not followed; empty if all are
	Shards      [Shards]ShardState // by number
	Services    int                // known to Redis
	Servers     int                // registered in Redis
	Orphans     int                // servers that the database has lost, and that are still served
	orphans     []string           // some of them
	Applied     map[string]uint64  // records taken, by kind: service, server, admin, report, grant
	Rejected    map[string]uint64  // records not taken, by reason
	Rejects     []Reject           // the last of them, oldest first
	Resyncs     uint64             // complete reads of a shard, the first included
	Gaps        uint64             // those of them because a stream did not go on
	Revived     uint64             // leases begun anew because everybody had been silent
	StateError  string             // why the state file could not be written
	Grants      int                // live ones
	Asks        AskCounts          // what became of requests for grants
	Keys        int                // that sign handles
	Handles     int                // that something is known of
}

// ShardState is a shard's place.
type ShardState struct {
	Epoch  uint64 `json:"epoch"`
	Rev    uint64 `json:"rev"`
	Behind uint64 `json:"behind"` // revisions that the database was ahead at the last look
	Synced bool   `json:"synced"`
}

// Status returns how the store fares. It takes time in proportion to the number of servers.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c := &s.replica.counts
	st := Status{
		Target: s.client.String(), Loaded: s.hasLoaded(), LastContact: s.tally.contact,
		Applied: maps.Clone(c.applied), Rejected: maps.Clone(c.rejected), Rejects: slices.Clone(c.recent),
		Resyncs: s.tally.resyncs, Gaps: s.tally.gaps, Revived: c.revived, StateError: s.tally.saveErr,
	}
	st.Asks = s.asks.read()
	st.Keys, st.Handles = s.entitled.count()
	st.Stale, st.StaleSince = s.staleness(now)
	st.Connected = !st.Stale
	for i, sh := range s.replica.shards {
		st.Shards[i] = ShardState{sh.epoch, sh.rev, s.tally.behind[i], sh.synced}
		st.Warm = st.Warm || s.warmedAt != 0 && !sh.read
		if st.Error == "" && !sh.synced {
			st.Error = s.tally.errs[i]
		}
		sh.count(&st, sh.clock.at(now))
	}
	return st
}

func (sh *shard) count(st *Status, life int64) {
	for name, s := range sh.services {
		st.Services++
		if s.held != nil {
			st.Grants += s.held.live
		}
		for _, v := range s.servers {
			if v.rec != nil {
				st.Servers++
			}
		}
		s.orphans(name, life, st)
	}
}

// Ready says whether there are records to answer from: the database was read once, or the state file was.
func (s *Store) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLoaded()
}

func (s *Store) hasLoaded() bool {
	for _, sh := range s.replica.shards {
		if !sh.loaded {
			return false
		}
	}
	return true
}
