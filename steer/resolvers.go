package steer

import (
	"math"
	"sync/atomic"
)

// The table of resolvers: one for all services, keyed by service and resolver, of a fixed size. Queries write what they
// saw (facts), Tick writes what follows from it (belief), and nobody waits for anybody: a query that finds another one
// writing the same slot leaves its own facts out.

const (
	bucket    = 8 // slots in which a key may stand
	intervals = 6 // of the last ones between queries, those that are remembered

	// How long, in ms, a slot may be idle before another resolver gets it.
	idleKnown = 20 * 60_000 // whose load is known
	idleNew   = 2 * 60_000  // whose load is being learned
	idleFresh = 10_000      // that asked since the last Tick for the first time
)

// slot is one place of the table. Its words are atomic, and those of the facts are guarded by seq: odd while they are
// being written.
type slot struct {
	key     atomic.Uint64 // of service, resolver and the table's seed; 0 is empty
	seq     atomic.Uint64
	service atomic.Uint64                 // hash of its name
	asked   atomic.Int64                  // ms; the last lookup
	turn    atomic.Uint64                 // the chance of the last answer
	meta    atomic.Uint64                 // answers 8 | families 7 | told 1 | lookups seen 8 | TTL in ms 40
	answer  [MaxAnswers / 2]atomic.Uint64 // places, two a word
	gaps    [intervals / 2]atomic.Uint64  // ms between lookups, two a word, a ring

	belief atomic.Uint64 // the load and its standard deviation, as float32; 0 is nothing
	who    atomic.Uint64 // hash of the resolver, the same in every replica
	_      uint64        // two cache lines
}

// Parts of slot.meta.
const (
	metaServers = 0xff
	metaTold    = 1 << 15
)

// facts are what queries saw of a resolver of a service.
type facts struct {
	service  uint64
	asked    int64
	turn     uint64
	n        int
	families Family // in which the last answer was given
	told     bool   // whether another replica gave it
	seen     int    // lookups, up to 200 or so
	ttl      int64  // ms; of the last answer
	places   [MaxAnswers]int32
	gaps     [intervals]uint32
}

// belief is what Tick makes of it: the load behind the resolver (requests a second), and its standard deviation.
type belief struct{ mean, sigma float64 }

// doubt is the variance of a load, relative to the load.
func (b belief) doubt() float64 { return (b.sigma / b.mean) * (b.sigma / b.mean) }

func (l *Learned) key(f *Farm, who uint64) uint64 {
	return mix(who^f.hash^l.seed) | 1
}

// find returns the slot of a key, or -1.
func (l *Learned) find(key uint64) int {
	first := l.bucketOf(key)
	for i := first; i < first+bucket; i++ {
		if l.slots[i].key.Load() == key {
			return i
		}
	}
	return -1
}

func (l *Learned) bucketOf(key uint64) int {
	return int(key>>1) & (len(l.slots) - 1) &^ (bucket - 1)
}

// read copies the facts of a slot. It fails if somebody is writing them.
func (s *slot) read(key uint64, f *facts) bool {
	for range 2 {
		before := s.seq.Load()
		if before&1 != 0 {
			continue
		}
		s.load(f)
		if s.key.Load() == key && s.seq.Load() == before {
			return true
		}
	}
	return false
}

func (s *slot) load(f *facts) {
	meta := s.meta.Load()
	f.service, f.asked, f.turn = s.service.Load(), s.asked.Load(), s.turn.Load()
	f.n, f.families, f.seen, f.ttl = int(meta&metaServers), Family(meta>>8)&0x7f, int(meta>>16&0xff), int64(meta>>24)
	f.told = meta&metaTold != 0
	for i := 0; i < f.n && i < MaxAnswers; i += 2 {
		w := s.answer[i/2].Load()
		f.places[i], f.places[i+1] = int32(uint32(w)), int32(uint32(w>>32))
	}
	for i := range s.gaps {
		w := s.gaps[i].Load()
		f.gaps[2*i], f.gaps[2*i+1] = uint32(w), uint32(w>>32)
	}
}

// lock takes the right to write the facts, if nobody has it.
func (s *slot) lock() bool {
	v := s.seq.Load()
	return v&1 == 0 && s.seq.CompareAndSwap(v, v+1)
}

func (s *slot) unlock() { s.seq.Add(1) }

// store writes the facts. The caller has the lock.
func (s *slot) store(f *facts) {
	s.service.Store(f.service)
	s.asked.Store(f.asked)
	s.turn.Store(f.turn)
	meta := uint64(f.n) | uint64(f.families)<<8 | uint64(f.seen)<<16 | uint64(f.ttl)<<24
	if f.told {
		meta |= metaTold
	}
	s.meta.Store(meta)
	for i := 0; i < f.n; i += 2 {
		s.answer[i/2].Store(uint64(uint32(f.places[i])) | uint64(uint32(f.places[i+1]))<<32)
	}
	for i := range s.gaps {
		s.gaps[i].Store(uint64(f.gaps[2*i]) | uint64(f.gaps[2*i+1])<<32)
	}
}

// claim gives a new key a slot: an empty one of its bucket, else the one that has been idle for longest, if it may be
// given away. What is well known may stay idle for longer, so that a flood of strangers displaces strangers.
func (l *Learned) claim(key, who uint64, now int64) int {
	first := l.bucketOf(key)
	victim := -1
	longest := int64(0)
	for i := first; i < first+bucket; i++ {
		s := &l.slots[i]
		if s.key.Load() == 0 {
			victim = i
			break
		}
		if over := now - s.asked.Load() - s.mayIdle(); over > longest {
			victim, longest = i, over
		}
	}
	if victim < 0 || !l.slots[victim].lock() {
		return -1
	}
	s := &l.slots[victim]
	s.key.Store(key)
	s.who.Store(who)
	s.belief.Store(0)
	s.meta.Store(0)
	return victim
}

func (s *slot) mayIdle() int64 {
	b, ok := s.believed()
	switch {
	case ok && b.sigma < b.mean:
		return idleKnown
	case ok:
		return idleNew
	}
	return idleFresh
}

func (s *slot) believed() (belief, bool) {
	w := s.belief.Load()
	return belief{float64(math.Float32frombits(uint32(w >> 32))), float64(math.Float32frombits(uint32(w)))}, w != 0
}

func (s *slot) believe(b belief) {
	s.belief.Store(uint64(math.Float32bits(float32(b.mean)))<<32 | uint64(math.Float32bits(float32(b.sigma))))
}
