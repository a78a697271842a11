package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

// View is the services of some zones, as the Corefile and the database have them, in snapshots. Load and Now may be
// called by anyone at any time and never block.
type View struct {
	store *Store
	snap  atomic.Pointer[steer.Snapshot]
	mail  mailbox

	// Guarded by Store.publishing.
	refs    int
	board   *board
	farms   map[string]*built
	members []steer.Member // for building, again and again
	edits   uint64
	seed    uint64
}

// built is a farm and when it is to be built anew, in ms of the running clock; 0 is never.
type built struct {
	farm *steer.Farm
	next int64
}

// Load returns the current snapshot, never nil: before the database was first heard, the Corefile's services alone,
// stale. Its times are those of Now.
func (v *View) Load() *steer.Snapshot { return v.snap.Load() }

// Now returns the time, in ms, on the clock of snapshots: it starts at the time of day and then never jumps.
func (v *View) Now() int64 { return v.store.now() }

// Grant returns the live grant of a client at a service, or its last for some minutes after it was refused or has ended;
// false if there is none. It is immutable; its times are those of Now. A live one whose End is past is over: the database has
// just not said so yet. It never blocks and allocates nothing.
func (v *View) Grant(service string, c qos.ClientID) (*qos.Grant, bool) {
	return v.store.grants.get(holder{service, c})
}

// Close gives one View back. With the last one it ends: its last snapshot stands. Close it before its Store.
func (v *View) Close() { v.store.closeView(v) }

func newView(s *Store, b Base) *View {
	return &View{store: s, board: newBoard(b), farms: make(map[string]*built), seed: rand.Uint64()}
}

// due lists what is to be built: the changed services, and those that change by time alone; or every one. The replica
// must be locked.
func (v *View) due(r *replica, dirty map[string]struct{}, all bool, now int64) []string {
	names := slices.Collect(maps.Keys(dirty))
	for name, b := range v.farms {
		if all || b.next != 0 && b.next <= now {
			names = append(names, name)
		}
	}
	if all {
		names = append(names, v.board.names(r)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// generation is what a publication is made of, apart from farms.
type generation struct {
	now   int64
	edits uint64
	stale bool
	since int64

	unread bool
}

// publish builds the named farms and publishes a snapshot if it differs from the last. It locks the replica for each
// farm, not while it builds.
func (v *View) publish(mu sync.Locker, r *replica, names []string, g generation) {
	old := v.snap.Load()
	fresh := old == nil
	changed := make([]*steer.Farm, 0, len(names))
	for _, name := range names {
		had := v.farms[name] != nil
		f := v.build(mu, r, name, g.now)
		if f != nil {
			changed = append(changed, f)
		}
		fresh = fresh || had != (f != nil)
	}
	if !fresh && len(changed) == 0 && old.Stale == g.stale && old.Unread == g.unread && v.edits == g.edits {
		return
	}
	v.snap.Store(v.next(old, changed, fresh, g))
	v.edits = g.edits
}

// build builds one farm; nil if there is no such service (any more).
func (v *View) build(mu sync.Locker, r *replica, name string, now int64) *steer.Farm {
	mu.Lock()
	in, next, ok := v.board.input(r, name, now, v.members[:0])
	mu.Unlock()
	v.members = in.Members
	if !ok {
		delete(v.farms, name)
		return nil
	}
	in.Seed = v.seed
	if old := v.farms[name]; old != nil {
		in.Prev = old.farm
	}
	f := steer.Build(in)
	if next == 0 || f.Next != 0 && f.Next < next {
		next = f.Next
	}
	v.farms[name] = &built{f, next}
	return f
}

// next makes a snapshot; fresh when the set of services is another.
func (v *View) next(old *steer.Snapshot, changed []*steer.Farm, fresh bool, g generation) *steer.Snapshot {
	var snap *steer.Snapshot
	if fresh {
		farms := make([]*steer.Farm, 0, len(v.farms))
		for _, b := range v.farms {
			farms = append(farms, b.farm)
		}
		slices.SortFunc(farms, func(a, b *steer.Farm) int { return strings.Compare(a.Service.Name, b.Service.Name) })
		snap = steer.NewSnapshot(farms, v.board.Regions)
	} else {
		snap = old.With(changed...)
	}
	snap.Serial = nextSerial(old, fresh || g.edits != v.edits)
	snap.Stale, snap.Since, snap.Unread = g.stale, g.since, g.unread
	return snap
}

// nextSerial grows with every edit and, because it is at least the time of day, over restarts.
func nextSerial(old *steer.Snapshot, edited bool) uint32 {
	if old != nil && !edited {
		return old.Serial
	}
	serial := uint32(time.Now().Unix())
	if old != nil && old.Serial >= serial {
		serial = old.Serial + 1
	}
	return serial
}
