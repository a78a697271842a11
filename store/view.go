package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	queue   buildQueue     // what is to be built
	members []steer.Member // for building, again and again
	seed    uint64

	unchecked bool                            // whether anything was edited since conflicts of names were looked for
	conflicts map[steer.HostConflict]struct{} // those that were logged
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
	return &View{store: s, board: newBoard(b), farms: make(map[string]*built), queue: newBuildQueue(), seed: rand.Uint64()}
}

// addAll has every service built. The replica must be locked.
func (v *View) addAll(r *replica) {
	for name := range v.farms {
		v.queue.add(name, edited)
	}
	for _, name := range v.board.names(r) {
		v.queue.add(name, edited)
	}
}

// addDue has those built that change by time alone.
func (v *View) addDue(now int64) {
	for name, b := range v.farms {
		if b.next != 0 && b.next <= now {
			v.queue.add(name, 0)
		}
	}
}

// maxConflicts bounds the conflicts of names that are logged.
const maxConflicts = 100

// checkHosts logs each conflict of names once, when it comes up.
func (v *View) checkHosts(warn func(format string, args ...any)) {
	if !v.unchecked {
		return
	}
	v.unchecked = false
	found := make(map[steer.HostConflict]struct{})
	for _, c := range v.snap.Load().HostConflicts(maxConflicts) {
		found[c] = struct{}{}
		if _, ok := v.conflicts[c]; !ok {
			name := steer.HostName(c.Service, c.Server)
			warn("server %s of %s: %s is answered with the addresses of %s, so SRV leaves the server out: give it another id",
				c.Server, c.Service, name, c.Keeper)
		}
	}
	v.conflicts = found
}

// generation is what a publication is made of, apart from farms.
type generation struct {
	now    int64
	stale  bool
	since  int64
	unread bool
	serial uint32
}

// publish builds what waits, for as long as it may, and publishes a snapshot if it differs from the last. It locks the
// replica for each farm, not while it builds. It says whether anything still waits.
func (v *View) publish(mu sync.Locker, r *replica, g generation, may func() bool) (more bool) {
	old := v.snap.Load()
	fresh := old == nil
	var changed []*steer.Farm
	for v.queue.len() > 0 && may() {
		name, c := v.queue.take()
		v.unchecked = v.unchecked || c&edited != 0
		had := v.farms[name] != nil
		f := v.build(mu, r, name, g.now)
		if f != nil {
			changed = append(changed, f)
		}
		fresh = fresh || had != (f != nil)
	}
	if fresh || len(changed) > 0 || old.Stale != g.stale || old.Unread != g.unread || old.Serial != g.serial {
		v.snap.Store(v.next(old, changed, fresh, g))
	}
	return v.queue.len() > 0
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
	snap.Serial = g.serial
	snap.Stale, snap.Since, snap.Unread = g.stale, g.since, g.unread
	return snap
}
