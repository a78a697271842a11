package test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// agents report for the servers of a service, as so many farm agents would: all the time, whatever becomes of the
// database, registering anew when they are not known.
type agents struct {
	db      *database
	service string
	loop    sync.WaitGroup
	quit    chan struct{}

	mu      sync.Mutex
	servers map[string]*reported // by id
	refused error                // why the last round of reports was not taken
}

type reported struct {
	addr        string
	health      steer.Health
	utilization float64
	seq         uint64 // of the last report
}

// Leases are short, so that what goes wrong with them shows within a fault.
const (
	reportEvery = 200 * time.Millisecond
	reportLease = 1.0 // s
)

// startAgents starts agents for servers that all are up and a third full.
func startAgents(t testing.TB, db *database, service string, addrs map[string]string) *agents {
	a := &agents{db: db, service: service, quit: make(chan struct{}), servers: make(map[string]*reported)}
	for id, addr := range addrs {
		a.servers[id] = &reported{addr: addr, health: steer.Up, utilization: 0.3}
	}
	a.loop.Go(a.run)
	t.Cleanup(func() { close(a.quit); a.loop.Wait() })
	return a
}

func (a *agents) run() {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		a.reportAll()
		select {
		case <-a.quit:
			return
		case <-tick.C:
		}
	}
}

func (a *agents) reportAll() {
	var errs []error
	for _, id := range a.ids() {
		errs = append(errs, a.report(id))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = errors.Join(errs...)
}

func (a *agents) ids() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.servers))
}

// report writes one report, of a server that may have to be registered first. A database that does not answer is not
// waited for.
func (a *agents) report(id string) error {
	a.mu.Lock()
	s, reports := a.servers[id]
	if !reports {
		a.mu.Unlock()
		return nil
	}
	s.seq++
	r := store.Report{
		Service: a.service, ID: id, Utilization: new(s.utilization), Health: s.health, Lease: reportLease,
		Agent: "agent-of-" + id, Seq: s.seq,
	}
	server := steer.Server{ID: id, Addresses: []netip.Addr{netip.MustParseAddr(s.addr)}}
	a.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	reply, err := a.db.Report(ctx, r)
	if err == nil && reply.Outcome == store.Unknown {
		// The next round reports on it.
		_, err = a.db.PutServer(ctx, a.service, server, store.ByAgent)
	}
	return err
}

// set changes what is reported of a server from now on.
func (a *agents) set(id string, change func(*reported)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a.servers[id])
}

func (a *agents) setHealth(id string, h steer.Health) {
	a.set(id, func(r *reported) { r.health = h })
}

// silence ends the reports on a server, as if its machine had died. What it returns brings the machine back.
func (a *agents) silence(id string) (back func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.servers[id]
	delete(a.servers, id)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.servers[id] = r
	}
}

// awaitHeard waits until the database takes reports.
func (a *agents) awaitHeard(t testing.TB) {
	t.Helper()
	refused := func() error { a.mu.Lock(); defer a.mu.Unlock(); return a.refused }
	for end := time.Now().Add(patience); refused() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Expected the database to take reports within %v: %v", patience, refused())
		}
	}
}
