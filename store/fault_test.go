package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// fleet is a service with agents that report and lookups that are made all the time.
type fleet struct {
	t      testing.TB
	view   *store.View
	store  *store.Store
	util   [3]atomic.Int64 // thousandths
	done   context.CancelFunc
	agents sync.WaitGroup

	lookups, empty atomic.Int64
}

// startFleet registers three servers and returns when a replica knows all of them to be alive.
func startFleet(t testing.TB, cfg store.Config) *fleet {
	t.Helper()
	s := open(t, cfg)
	ctx, done := context.WithCancel(context.Background())
	f := &fleet{t: t, store: s, view: s.View(store.Base{}), done: done}
	for i := range f.util {
		f.util[i].Store(100)
		c := dial(t, cfg.URLs...)
		f.agents.Go(func() { f.agent(ctx, c, i) })
	}
	f.await("all servers report", func(farm *steer.Farm) bool { return f.shows(farm, 0.1) })
	f.agents.Go(func() { f.look(ctx) })
	t.Cleanup(f.stop)
	return f
}

func (f *fleet) stop() {
	f.done()
	f.agents.Wait()
}

// agent reports ten times a second, registers when it has to, and shrugs off errors as agents do.
func (f *fleet) agent(ctx context.Context, c *store.Client, i int) {
	id := fmt.Sprint("s", i)
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		call, cancel := context.WithTimeout(ctx, time.Second)
		reply, err := c.Report(call, store.Report{
			Service: www, ID: id, Utilization: ptr(float64(f.util[i].Load()) / 1000), Lease: 3, Agent: id, Seq: seq,
		})
		if err == nil && reply.Outcome == store.Unknown {
			_, _ = c.PutServer(call, www, server(id, fmt.Sprintf("192.0.2.%d", i+1)), store.ByAgent)
		}
		cancel()
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// look makes decisions and counts those that give nothing.
func (f *fleet) look(ctx context.Context) {
	for ctx.Err() == nil {
		f.lookups.Add(1)
		farm := f.view.Load().Farm(www)
		if farm == nil || steer.Decide(farm, &steer.Query{Family: steer.AnyFamily, Chance: 12345}).N == 0 {
			f.empty.Add(1)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

func (f *fleet) await(what string, ok func(*steer.Farm) bool) {
	f.t.Helper()
	storetest.Eventually(f.t, what, func() bool {
		farm := f.view.Load().Farm(www)
		return farm != nil && ok(farm)
	})
}

// shows says whether all servers are open with this utilisation.
func (f *fleet) shows(farm *steer.Farm, util float64) bool {
	for _, s := range farm.State {
		if s.Gate != steer.Open || s.Util != util {
			return false
		}
	}
	return len(farm.State) == len(f.util)
}

// follows checks that what agents say arrives again.
func (f *fleet) follows() {
	f.t.Helper()
	for i := range f.util {
		f.util[i].Store(700)
	}
	f.await("reports arrive again", func(farm *steer.Farm) bool { return f.shows(farm, 0.7) })
	storetest.Eventually(f.t, "the snapshot is fresh again", func() bool { return !f.view.Load().Stale })
	if n := f.empty.Load(); n > 0 {
		f.t.Errorf("%d of %d lookups found no server", n, f.lookups.Load())
	}
}

func (f *fleet) awaitStale() {
	f.t.Helper()
	storetest.Eventually(f.t, "the snapshot is stale", func() bool { return f.view.Load().Stale })
}

// allOpen checks that nobody was given up.
func (f *fleet) allOpen() {
	f.t.Helper()
	for i, s := range f.view.Load().Farm(www).State {
		if s.Gate != steer.Open {
			f.t.Errorf("server %d is %s", i, s.Gate)
		}
	}
}

func tag(suffix string) string { return fmt.Sprintf("farm:{%02d}:%s", store.Shard(www), suffix) }

// flood puts entries into the stream that do not belong there.
func flood(r *storetest.Redis, fields ...string) func() {
	return func() { r.Do(append([]string{"XADD", tag("chg"), "*"}, fields...)...) }
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(f *fleet, r *storetest.Redis)
	}{
		{"killed and back empty", func(f *fleet, r *storetest.Redis) {
			r.Kill()
			f.awaitStale()
			f.allOpen()
			r.Restart()
		}},
		{"hangs longer than leases", func(f *fleet, r *storetest.Redis) {
			r.Stop()
			f.awaitStale()
			time.Sleep(4 * time.Second) // longer than every lease: nothing to await, that is the point
			f.allOpen()
			r.Cont()
		}},
		{"slow", func(_ *fleet, r *storetest.Redis) { r.Do("DEBUG", "SLEEP", "4") }},
		{"flushed", func(_ *fleet, r *storetest.Redis) { r.Do("FLUSHALL") }},
		{"stream is a string", func(f *fleet, r *storetest.Redis) {
			r.Do("SET", tag("chg"), "garbage")
			f.awaitStale()
			r.Do("DEL", tag("chg"))
		}},
		{"services are a list", func(f *fleet, r *storetest.Redis) {
			r.Do("DEL", tag("svcs"))
			r.Do("LPUSH", tag("svcs"), "garbage")
			r.Do("HINCRBY", tag("rev"), "rev", "1") // makes readers look
			f.awaitStale()
			r.Do("DEL", tag("svcs"))
		}},
		{"services are gone", func(_ *fleet, r *storetest.Redis) {
			r.Do("DEL", tag("svcs"))
			r.Do("HINCRBY", tag("rev"), "rev", "1")
		}},
		{"servers are a set", func(f *fleet, r *storetest.Redis) {
			r.Do("DEL", tag("srvs:"+www))
			r.Do("SADD", tag("srvs:"+www), "garbage")
			r.Do("HINCRBY", tag("rev"), "rev", "1")
			storetest.Eventually(t, "the reader has seen it", func() bool { return f.store.Status().Rejected["type"] > 0 })
			r.Do("DEL", tag("srvs:"+www))
		}},
		{"revision is text", func(f *fleet, r *storetest.Redis) {
			r.Do("HSET", tag("rev"), "rev", "many")
			f.awaitStale()
			r.Do("DEL", tag("rev"))
		}},
		{"another epoch", func(_ *fleet, r *storetest.Redis) { r.Do("HSET", tag("rev"), "epoch", "7") }},
		{"revision goes back", func(_ *fleet, r *storetest.Redis) { r.Do("HSET", tag("rev"), "rev", "1") }},
		{"revision jumps", func(_ *fleet, r *storetest.Redis) { r.Do("HINCRBY", tag("rev"), "rev", "1000") }},
		{"stream trimmed", func(_ *fleet, r *storetest.Redis) { r.Do("XTRIM", tag("chg"), "MAXLEN", "0") }},
		{"stream deleted", func(_ *fleet, r *storetest.Redis) { r.Do("DEL", tag("chg")) }},
		{"entry without fields", func(_ *fleet, r *storetest.Redis) { flood(r, "x", "y")() }},
		{"entry with a wrong revision", func(_ *fleet, r *storetest.Redis) {
			flood(r, "e", "1", "r", "18446744073709551615", "op", "del", "kind", "service", "svc", www)()
		}},
		{"clients killed", func(_ *fleet, r *storetest.Redis) { r.Do("CLIENT", "KILL", "TYPE", "normal") }},
		{"read only", func(_ *fleet, r *storetest.Redis) {
			r.Do("CONFIG", "SET", "min-replicas-to-write", "1")
			time.Sleep(4 * time.Second) // longer than every lease
			r.Do("CONFIG", "SET", "min-replicas-to-write", "0")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			r := storetest.Start(t)
			f := startFleet(t, store.Config{URLs: []string{r.URL}})
			tt.fault(f, r)
			f.follows()
		})
	}
}
