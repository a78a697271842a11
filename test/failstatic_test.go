package test

import (
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// TestFailStatic lets every fault happen under lookups. None of them fails; the answers stay those of the last good
// copy, without the server that was dead; and when the fault is over, what is reported changes answers again.
func TestFailStatic(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.run(t)
		})
	}
}

func (f fault) run(t *testing.T) {
	if f.start == nil {
		f.start = func(t *testing.T) *victim { return plain(storetest.Start(t)) }
	}
	v := f.start(t)
	v.keys = store.Keys(store.DefaultPrefix, service)
	db := dial(t, v.agent)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	a.setHealth("web3", steer.Down)
	c := startOn(t, v.url)
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	asked := startProber(t, c.addr, service)
	asked.fresh(sample)

	struck := time.Now()
	f.strike(t, v)
	if f.cuts {
		asked.awaitStale()
	}
	if f.heard {
		a.setHealth("web2", steer.Down)
		awaitGiven(t, c.addr, service, "192.0.2.1")
		a.setHealth("web2", steer.Up)
		awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	}
	// Longer than any lease.
	asked.fresh(3 * probeRate)
	f.staysAsItWas(t, asked.since(struck))

	if f.mend != nil {
		f.mend(t, v)
	}
	a.awaitHeard(t)
	a.setHealth("web3", steer.Up)
	a.setHealth("web1", steer.Down)
	awaitGiven(t, c.addr, service, "192.0.2.2", "192.0.2.3")
	asked.noneFailed()
}

// staysAsItWas asserts that the answers during the fault are the last good ones.
func (f fault) staysAsItWas(t *testing.T, during []sighting) {
	t.Helper()
	count := make(map[string]int)
	stale := 0
	for _, s := range during {
		for _, a := range s.addrs {
			count[a]++
		}
		if s.stale {
			stale++
		}
	}
	t.Logf("during the fault: %d answers, %d of them said to be stale, with %v", len(during), stale, count)
	for _, a := range []string{"192.0.2.1", "192.0.2.2"} {
		if count[a] == 0 {
			t.Errorf("Expected %s to be given during the fault", a)
		}
		delete(count, a)
	}
	if len(count) > 0 {
		t.Errorf("Expected no other servers to be given during the fault, got %v", count)
	}
}
