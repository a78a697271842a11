package farm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	golog "log"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// fakeNames is a resolver whose answers a test sets.
type fakeNames struct {
	sync.Mutex
	addr  string
	ttl   uint32
	err   error
	asked []time.Time
}

func (n *fakeNames) lookup(context.Context, targetKey) ([]netip.Addr, uint32, error) {
	n.Lock()
	defer n.Unlock()
	n.asked = append(n.asked, time.Now())
	if n.err != nil {
		return nil, 0, n.err
	}
	return []netip.Addr{netip.MustParseAddr(n.addr)}, n.ttl, nil
}

func (n *fakeNames) set(addr string, err error) {
	n.Lock()
	defer n.Unlock()
	n.addr, n.err = addr, err
}

func (n *fakeNames) times() int {
	n.Lock()
	defer n.Unlock()
	return len(n.asked)
}

var oneTarget = targetKey{"www.example.net.", steer.V4}

// resolving runs a resolver of one target until the test's bubble ends.
func resolving(t *testing.T, n *fakeNames, wanted *[]targetKey) *targets {
	published := new(targets)
	r := newTargetResolver(nil)
	r.wanted = func() ([]targetKey, bool) { return *wanted, true }
	r.lookup, r.now = n.lookup, func() int64 { return time.Now().UnixMilli() }
	r.publish = func(set targetSet) { published.current.Store(&set) }
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go r.run(ctx)
	return published
}

func TestTargetIsResolvedBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, wanted := &fakeNames{addr: "192.0.2.1", ttl: 100}, []targetKey{oneTarget}
		set := resolving(t, n, &wanted)
		time.Sleep(targetTick)
		synctest.Wait()
		got := set.load()[oneTarget]
		if got == nil || !got.known || len(got.addrs) != 1 || got.left(time.Now().UnixMilli()) != 100 {
			t.Fatalf("Got %+v, want an address that stands for 100 s", got)
		}
		n.set("192.0.2.2", nil)
		time.Sleep(79 * time.Second)
		synctest.Wait()
		if n.times() != 1 {
			t.Errorf("Asked %d times in 79 s, want once", n.times())
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if got := set.load()[oneTarget]; n.times() != 2 || got.addrs[0].String() != "192.0.2.2" {
			t.Errorf("After 91 s: asked %d times, got %+v, want the new address", n.times(), got)
		}
	})
}

func TestTargetTTLIsBounded(t *testing.T) {
	for ttl, want := range map[uint32]uint32{0: minTargetTTL, 3: minTargetTTL, 20: 20, 1 << 31: maxTargetTTL} {
		synctest.Test(t, func(t *testing.T) {
			wanted := []targetKey{oneTarget}
			set := resolving(t, &fakeNames{addr: "192.0.2.1", ttl: ttl}, &wanted)
			time.Sleep(targetTick)
			synctest.Wait()
			if got := set.load()[oneTarget].left(time.Now().UnixMilli()); got != want {
				t.Errorf("TTL %d: got %d, want %d", ttl, got, want)
			}
		})
	}
}

// While lookups fail, the last good addresses stand on, and lookups are made at growing intervals.
func TestTargetFailsStatic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, wanted := &fakeNames{addr: "192.0.2.1", ttl: 20}, []targetKey{oneTarget}
		set := resolving(t, n, &wanted)
		time.Sleep(targetTick)
		synctest.Wait()
		n.set("", errors.New("no route"))
		time.Sleep(time.Hour)
		synctest.Wait()
		got := set.load()[oneTarget]
		if !got.known || !got.failing || len(got.addrs) != 1 || got.left(time.Now().UnixMilli()) != staleTTL || got.state() != "failing" {
			t.Errorf("Got %+v, want the last address, for %d s", got, staleTTL)
		}
		if n := n.times(); n < 60 || n > 130 {
			t.Errorf("Asked %d times in an hour, want about 80", n)
		}
		n.set("192.0.2.2", nil)
		time.Sleep(maxTargetWait)
		synctest.Wait()
		if got := set.load()[oneTarget]; got.failing || got.addrs[0].String() != "192.0.2.2" {
			t.Errorf("Got %+v, want the new address", got)
		}
	})
}

// A name whose two lookups fail is logged once, and once when both are answered again.
func TestTargetIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	golog.SetOutput(&out)
	defer golog.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNames{err: errors.New("no route"), ttl: 20}
		wanted := []targetKey{oneTarget, {oneTarget.name, steer.V6}}
		set := resolving(t, n, &wanted)
		time.Sleep(time.Minute)
		n.set("192.0.2.1", nil)
		time.Sleep(maxTargetWait)
		n.set("", errors.New("no route"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := set.load()[wanted[1]]; got == nil || !got.failing {
			t.Errorf("Got %+v, want one that fails", got)
		}
	})
	for text, want := range map[string]int{"it was never resolved": 1, "is resolved again": 1, "its last addresses are answered on": 1} {
		if got := strings.Count(out.String(), text); got != want {
			t.Errorf("Logged %q %d times, want %d:\n%s", text, got, want, out.String())
		}
	}
}

func TestTargetThatWasNeverResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wanted := []targetKey{oneTarget}
		set := resolving(t, &fakeNames{err: errors.New("no route")}, &wanted)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := set.load()[oneTarget]; got == nil || got.known || got.state() != "unknown" {
			t.Errorf("Got %+v, want a target that is not known", got)
		}
	})
}

// Targets that no service leads to any more are forgotten, and many are looked up a few at a time.
func TestTargetsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wanted []targetKey
		var now atomic.Pointer[[]targetKey]
		now.Store(&wanted)
		for i := range 100 {
			wanted = append(wanted, targetKey{string(rune('a'+i/10)) + string(rune('a'+i%10)) + ".", steer.V4})
		}
		busy, most := 0, 0
		published := new(targets)
		r := newTargetResolver(nil)
		r.wanted, r.now = func() ([]targetKey, bool) { return *now.Load(), true }, func() int64 { return time.Now().UnixMilli() }
		r.publish = func(set targetSet) { published.current.Store(&set) }
		started, ended := make(chan int), make(chan int)
		r.lookup = func(context.Context, targetKey) ([]netip.Addr, uint32, error) {
			started <- 1
			time.Sleep(time.Second)
			ended <- 1
			return nil, 600, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.run(ctx)
		for done := 0; done < 100; {
			select {
			case <-started:
				busy++
				most = max(most, busy)
			case <-ended:
				busy--
				done++
			}
		}
		time.Sleep(targetTick)
		synctest.Wait()
		if most != maxLookups || len(published.load()) != 100 {
			t.Errorf("%d lookups at a time, %d targets known: want %d, 100", most, len(published.load()), maxLookups)
		}
		one := wanted[:1]
		now.Store(&one)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(published.load()); n != 1 {
			t.Errorf("%d targets known, want 1", n)
		}
	})
}

func TestTooManyTargets(t *testing.T) {
	var block strings.Builder
	block.WriteString("farm example.org {\nservice a.example.org {\nflatten\n")
	for i := range maxTargets + 3 {
		fmt.Fprintf(&block, "server s%d s%d.example.net\n", i, i)
	}
	block.WriteString("}\n}")
	f := newTestFarm(t, block.String())
	if keys, tooMany := targetsOf(f.source.Load(), f.zones); len(keys) != 2*maxTargets || tooMany != 3 {
		t.Errorf("Got %d questions and %d names too many, want %d, 3", len(keys), tooMany, 2*maxTargets)
	}
	wanted := wantedTargets(f.source.Load, f.zones)
	first, changed := wanted()
	again, same := wanted()
	if !changed || same || len(first) != len(again) {
		t.Errorf("Got %d, %t, then %d, %t: want the same questions, looked for once", len(first), changed, len(again), same)
	}
}
