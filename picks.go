package farm

import (
	"sync"
	"sync/atomic"

	"github.com/coredns-farm/farm/steer"
)

// picks counts how often each server was picked. What a query finds by its server's record takes no lock; names are
// looked up only when the record is new.
type picks struct {
	byRecord sync.Map // *steer.Server -> *atomic.Uint64; what byName would say

	full atomic.Bool // there is no room for another record: what is not found in byRecord is not counted

	mu        sync.Mutex
	byName    map[pickName]*atomic.Uint64
	records   int // in byRecord
	uncounted atomic.Uint64
}

type pickName struct{ service, server string }

// maxPicks bounds the servers that are counted; a metric of more is of no use to anybody.
const maxPicks = 10_000

func (c *picks) add(f *steer.Farm, p *steer.Pick) {
	for _, i := range p.Servers[:p.N] {
		s := f.Servers[i]
		n, ok := c.byRecord.Load(s)
		if !ok && c.full.Load() {
			continue
		}
		if !ok {
			n = c.counter(s, pickName{f.Service.Name, s.ID})
		}
		n.(*atomic.Uint64).Add(1)
	}
}

// counter finds the counter of a record that was not picked before.
func (c *picks) counter(s *steer.Server, name pickName) *atomic.Uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.byName[name]
	switch {
	case n != nil:
	case len(c.byName) >= maxPicks:
		n = &c.uncounted
	default:
		if c.byName == nil {
			c.byName = make(map[pickName]*atomic.Uint64)
		}
		n = new(atomic.Uint64)
		c.byName[name] = n
	}
	c.byRecord.Store(s, n)
	c.records++
	c.full.Store(c.records >= 2*maxPicks)
	return n
}

// forgetRecords lets go of the records of servers that were edited or are gone. Those that stand are found by name again.
func (c *picks) forgetRecords() {
	c.byRecord.Clear()
	c.records = 0
	c.full.Store(false)
}

// collect calls each with every count, and forgets the servers that are in none of the snapshots: names that come and
// go do not pile up.
func (c *picks) collect(snaps []*steer.Snapshot, each func(pickName, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.full.Load()
	for name, n := range c.byName {
		if !isIn(snaps, name) {
			delete(c.byName, name)
			old = true
			continue
		}
		each(name, n.Load())
	}
	if old {
		c.forgetRecords()
	}
}

func isIn(snaps []*steer.Snapshot, name pickName) bool {
	for _, s := range snaps {
		if f := s.Farm(name.service); f != nil && f.ByID(name.server) >= 0 {
			return true
		}
	}
	return false
}
