package farm

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// Bounds of what is resolved in the background.
const (
	maxTargets    = 1000                   // names of a block
	maxLookups    = 64                     // at a time
	targetTick    = 250 * time.Millisecond // how soon a new target is looked up
	minTargetTTL  = 5                      // seconds: a target's TTL counts from this ...
	maxTargetTTL  = 3600                   // ... to this
	maxTargetWait = time.Minute            // the longest pause after failures
)

// targetKey names one question: the addresses of one family of a target.
type targetKey struct {
	name   string
	family steer.Family
}

// target is what is known of the addresses of a name that is not ours. It is immutable.
type target struct {
	addrs   []netip.Addr
	until   int64 // ms; the end of its TTL
	known   bool  // whether it was ever answered
	failing bool  // whether the last lookup failed
}

// left is how many seconds an answer made of it may stand. The last good addresses stand on while lookups fail.
func (t *target) left(now int64) uint32 {
	if ms := t.until - now; ms > 0 {
		return uint32((ms + 999) / 1000)
	}
	return staleTTL
}

// state is what the metrics call it.
func (t *target) state() string {
	switch {
	case !t.known:
		return "unknown"
	case t.failing:
		return "failing"
	}
	return "resolved"
}

// describe says how many addresses are known, and whether that may be old.
func (t *target) describe() string {
	switch {
	case t == nil || !t.known:
		return "unknown"
	case t.failing:
		return fmt.Sprintf("%d,failing", len(t.addrs))
	}
	return strconv.Itoa(len(t.addrs))
}

// targetSet is one generation of targets.
type targetSet = map[targetKey]*target

// targets publishes generations to queries.
type targets struct{ current atomic.Pointer[targetSet] }

// load returns the current generation, for reading only.
func (t *targets) load() targetSet {
	if set := t.current.Load(); set != nil {
		return *set
	}
	return nil
}

// targetAnswer is the outcome of a lookup.
type targetAnswer struct {
	key   targetKey
	addrs []netip.Addr
	ttl   uint32
	err   error
}

// targetResolver looks targets up in the background, so that no query waits for the network. One goroutine owns it.
type targetResolver struct {
	wanted  func() (keys []targetKey, changed bool) // sorted, and whether they are others than before
	lookup  func(ctx context.Context, key targetKey) ([]netip.Addr, uint32, error)
	now     func() int64
	publish func(targetSet)

	set     targetSet
	pending map[targetKey]*targetLookup
	busy    int
	results chan targetAnswer
}

// targetLookup is when a target is looked up next.
type targetLookup struct {
	due   int64 // ms
	busy  bool
	fails int
}

func newTargetResolver(seed targetSet) *targetResolver {
	r := &targetResolver{set: maps.Clone(seed), pending: make(map[targetKey]*targetLookup), results: make(chan targetAnswer, maxLookups)}
	if r.set == nil {
		r.set = make(targetSet)
	}
	return r
}

// run resolves until the context ends.
func (r *targetResolver) run(ctx context.Context) {
	tick := time.NewTicker(targetTick)
	defer tick.Stop()
	for {
		r.refresh(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.takeAll()
		}
	}
}

// refresh forgets what is not wanted any more, and starts the lookups that are due.
func (r *targetResolver) refresh(ctx context.Context) {
	wanted, changed := r.wanted()
	if changed {
		r.forget(wanted)
	}
	now := r.now()
	for _, key := range wanted {
		l := r.pending[key]
		if l == nil {
			l = &targetLookup{}
			r.pending[key] = l
		}
		if l.busy || l.due > now || r.busy == maxLookups {
			continue
		}
		l.busy = true
		r.busy++
		go func() {
			addrs, ttl, err := r.lookup(ctx, key)
			r.results <- targetAnswer{key, addrs, ttl, err} // there is room for every lookup
		}()
	}
}

func (r *targetResolver) forget(wanted []targetKey) {
	unwanted := func(key targetKey) bool {
		_, found := slices.BinarySearchFunc(wanted, key, compareTargets)
		return !found
	}
	before := len(r.set)
	maps.DeleteFunc(r.set, func(key targetKey, _ *target) bool { return unwanted(key) })
	maps.DeleteFunc(r.pending, func(key targetKey, l *targetLookup) bool { return !l.busy && unwanted(key) })
	if len(r.set) != before {
		r.publish(maps.Clone(r.set))
	}
}

// takeAll takes in what the lookups have found by now, and publishes it as one generation.
func (r *targetResolver) takeAll() {
	n := len(r.results)
	for range n {
		r.take(<-r.results)
	}
	if n > 0 {
		r.publish(maps.Clone(r.set))
	}
}

func (r *targetResolver) take(a targetAnswer) {
	r.busy--
	l := r.pending[a.key]
	l.busy = false
	next := r.next(l, a)
	was := r.isFailing(a.key.name)
	r.set[a.key] = next
	r.logChange(a, was)
}

// isFailing reports whether the last lookup of a name failed, for either family.
func (r *targetResolver) isFailing(name string) bool {
	for _, family := range []steer.Family{steer.V4, steer.V6} {
		if t := r.set[targetKey{name, family}]; t != nil && t.failing {
			return true
		}
	}
	return false
}

// next returns what is known after a lookup, and sets when the next one is due: before the answer ends, at a moment that
// differs from target to target; after failures, later each time.
func (r *targetResolver) next(l *targetLookup, a targetAnswer) *target {
	now := r.now()
	if a.err == nil {
		ttl := int64(min(max(a.ttl, minTargetTTL), maxTargetTTL)) * 1000
		l.fails, l.due = 0, now+ttl*8/10+rand.Int64N(ttl/10)
		return &target{addrs: a.addrs, until: now + ttl, known: true}
	}
	wait := min(time.Second<<min(l.fails, 10), maxTargetWait).Milliseconds()
	l.fails++
	l.due = now + wait/2 + rand.Int64N(wait/2)
	next := target{failing: true}
	if last := r.set[a.key]; last != nil {
		next = *last
		next.failing = true
	}
	return &next
}

// logChange logs once that a name cannot be resolved, and once that it can be again; was is whether it could not be before. A name has
// two lookups, one for each family, and they mostly fail together.
func (r *targetResolver) logChange(a targetAnswer, was bool) {
	if a.err == nil {
		targetsResolved.Inc()
	} else {
		targetsFailed.Inc()
	}
	switch {
	case a.err == nil && was && !r.isFailing(a.key.name):
		log.Infof("flatten: %s is resolved again", a.key.name)
	case a.err == nil, was:
	case r.set[a.key].known:
		log.Warningf("flatten: %s: %v; its last addresses are answered on", a.key.name, a.err)
	default:
		log.Warningf("flatten: %s: %v; it was never resolved, and is answered with SERVFAIL", a.key.name, a.err)
	}
}

func compareTargets(a, b targetKey) int {
	if a.name != b.name {
		if a.name < b.name {
			return -1
		}
		return 1
	}
	return int(a.family) - int(b.family)
}

// targetsOf returns the names outside of the block's zones that its flattened services lead to, sorted, with a question
// for each family.
func targetsOf(snap *steer.Snapshot, zones zones) (keys []targetKey, tooMany int) {
	c := targetCollector{snap: snap, zones: zones, seen: make(map[string]bool)}
	for _, farm := range snap.Farms() {
		if farm.IsFlat() || zones[farm.Service.Name] != nil {
			c.addFarm(farm)
		}
	}
	slices.Sort(c.names)
	tooMany = max(len(c.names)-maxTargets, 0)
	for _, name := range c.names[:len(c.names)-tooMany] {
		keys = append(keys, targetKey{name, steer.V4}, targetKey{name, steer.V6})
	}
	return keys, tooMany
}

// wantedTargets returns what tells which targets are wanted. It looks at a snapshot once.
func wantedTargets(load func() *steer.Snapshot, zones zones) func() ([]targetKey, bool) {
	var snap *steer.Snapshot
	var keys []targetKey
	told := 0
	return func() ([]targetKey, bool) {
		next := load()
		if next == snap {
			return keys, false
		}
		snap = next
		var tooMany int
		keys, tooMany = targetsOf(snap, zones)
		if tooMany > 0 && told == 0 {
			log.Warningf("flatten: %d names more than the %d that are resolved: they are answered with SERVFAIL", tooMany, maxTargets)
		}
		told = tooMany
		return keys, true
	}
}

// targetCollector follows services to the names that they lead to.
type targetCollector struct {
	snap  *steer.Snapshot
	zones zones
	seen  map[string]bool
	names []string
}

func (c *targetCollector) addFarm(farm *steer.Farm) {
	for _, s := range farm.Servers {
		c.addName(s.Target)
	}
	for _, name := range farm.Service.Fallback {
		c.addName(name)
	}
}

func (c *targetCollector) addName(name string) {
	if name == "" || c.seen[name] {
		return
	}
	c.seen[name] = true
	if c.zones.of(name) == nil {
		c.names = append(c.names, name)
		return
	}
	switch match, farm, server := c.snap.Find(name); match {
	case steer.ServiceMatch:
		c.addFarm(farm)
	case steer.ServerMatch:
		c.addName(farm.Servers[server].Target)
	}
}
