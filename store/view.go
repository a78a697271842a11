package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// View is the services of some zones, as the Corefile and the database have them, in snapshots. Load and Now may be
// called by anyone at any time and never block.
type View struct {
	store *Store
	snap  atomic.Pointer[steer.Snapshot]

	// Guarded by Store.publishing.
	board *board
	farms map[string]*built
	edits uint64
	seed  uint64
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

// Close ends the view: its last snapshot stands. Close it before its Store.
func (v *View) Close() { v.store.closeView(v) }

func newView(s *Store, b Base) *View {
	return &View{store: s, board: newBoard(b), farms: make(map[string]*built), seed: rand.Uint64()}
}

// job is a farm to be built.
type job struct {
	name string
	in   steer.Input
	next int64
	gone bool
}

// collect lists what is to be built: the changed services, or every one. The replica must be locked.
func (v *View) collect(r *replica, dirty map[string]struct{}, all bool, now int64) []job {
	names := slices.Collect(maps.Keys(dirty))
	if all {
		names = append(v.board.names(r), slices.Collect(maps.Keys(v.farms))...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for name, b := range v.farms {
		if b.next != 0 && b.next <= now && !all {
			names = append(names, name)
		}
	}
	jobs := make([]job, 0, len(names))
	for _, name := range names {
		in, next, ok := v.board.input(r, name, now)
		if ok || v.farms[name] != nil {
			jobs = append(jobs, job{name, in, next, !ok})
		}
	}
	return jobs
}

// publish builds the farms and publishes a snapshot if it differs from the last.
func (v *View) publish(jobs []job, edits uint64, stale bool, since int64) {
	old := v.snap.Load()
	names := old == nil
	changed := make([]*steer.Farm, 0, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		if j.gone {
			delete(v.farms, j.name)
			names = true
			continue
		}
		names = names || v.farms[j.name] == nil
		changed = append(changed, v.build(j))
	}
	if len(jobs) == 0 && old != nil && old.Stale == stale && v.edits == edits {
		return
	}
	v.snap.Store(v.next(old, changed, names, edits, stale, since))
	v.edits = edits
}

func (v *View) build(j *job) *steer.Farm {
	old := v.farms[j.name]
	j.in.Seed = v.seed
	if old != nil {
		j.in.Prev = old.farm
	}
	f := steer.Build(j.in)
	next := f.Next
	if next == 0 || j.next != 0 && j.next < next {
		next = j.next
	}
	v.farms[j.name] = &built{f, next}
	return f
}

func (v *View) next(old *steer.Snapshot, changed []*steer.Farm, names bool, edits uint64, stale bool, since int64) *steer.Snapshot {
	var snap *steer.Snapshot
	if names {
		farms := make([]*steer.Farm, 0, len(v.farms))
		for _, b := range v.farms {
			farms = append(farms, b.farm)
		}
		slices.SortFunc(farms, func(a, b *steer.Farm) int { return strings.Compare(a.Service.Name, b.Service.Name) })
		snap = steer.NewSnapshot(farms, v.board.Regions)
	} else {
		snap = old.With(changed...)
	}
	snap.Serial = nextSerial(old, names || edits != v.edits)
	snap.Stale, snap.Since = stale, since
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
