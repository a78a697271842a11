package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// leaks checks at the end of a test that no goroutine of ours is left.
func leaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		storetest.Eventually(t, "no goroutine is left", func() bool {
			buf := make([]byte, 1<<20)
			stacks := string(buf[:runtime.Stack(buf, true)])
			return !strings.Contains(stacks, "farm/store.(") && !strings.Contains(stacks, "go-redis") && !strings.Contains(stacks, "miniredis")
		})
	})
}

func TestReloadSharesTheStore(t *testing.T) {
	leaks(t)
	r := storetest.Start(t)
	cfg := store.Config{URLs: []string{r.URL}, StateFile: filepath.Join(t.TempDir(), "state")}
	first, err := store.Open(cfg)
	must(t, err)
	second, err := store.Open(cfg)
	must(t, err)
	other := cfg
	other.Prefix = "other"
	third, err := store.Open(other)
	must(t, err)
	if first != second || first == third {
		t.Error("equal configurations share one store, and others do not")
	}
	first.Close()
	v := second.View(store.Base{})
	c, err := store.Dial(cfg.URLs, "")
	must(t, err)
	put(t, c, www, server("a", "192.0.2.1"))
	storetest.Eventually(t, "the second goes on", func() bool { return v.Load().Farm(www) != nil })
	must(t, c.Close())
	v.Close()
	second.Close()
	third.Close()
	if _, err := store.Open(cfg); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(cfg)
	must(t, err)
	again.Close()
	again.Close()
}

func TestOpenAndCloseWithoutRedis(t *testing.T) {
	leaks(t)
	for _, url := range []string{"redis://127.0.0.1:1", "redis://127.0.0.1:1?cluster=true", "redis+sentinel://127.0.0.1:1/farm"} {
		s, err := store.Open(store.Config{URLs: []string{url}})
		must(t, err)
		v := s.View(store.Base{Servers: map[string][]steer.Server{www: {server("a", "192.0.2.1")}}})
		if snap := v.Load(); snap.Farm(www) == nil || !snap.Stale || !snap.Unread || s.Ready() {
			t.Errorf("%s: stale %v, unread %v, ready %v: the Corefile's services stand at once", url, snap.Stale, snap.Unread, s.Ready())
		}
		began := time.Now()
		s.Close()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: closing took %s", url, took)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for want, cfg := range map[string]store.Config{
		"URL of a Redis":    {},
		"HOST:PORT":         {Embedded: "nowhere"},
		"redis+sentinel://": {URLs: []string{"http://x"}},
		"prefix":            {URLs: []string{"redis://x"}, Prefix: "a{b}"},
		"no such file":      {URLs: []string{"rediss://x?ca=/does/not/exist"}},
		"client certif":     {URLs: []string{"rediss://x?cert=/does/not&key=/exist"}},
		"embedded address":  {Embedded: "x"},
	} {
		if _, err := store.Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEmbedded(t *testing.T) {
	leaks(t)
	address := net.JoinHostPort("127.0.0.1", storetest.FreePort(t))
	var mu sync.Mutex
	var warned []string
	s, err := store.Open(store.Config{Embedded: address, Logger: store.Logger{Warnf: func(f string, _ ...any) {
		mu.Lock()
		defer mu.Unlock()
		warned = append(warned, f)
	}}})
	must(t, err)
	defer s.Close()
	if _, err := store.Open(store.Config{Embedded: address, Prefix: "other"}); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v, want that the address is taken", err)
	}
	v := s.View(store.Base{})
	c, err := store.Dial([]string{"redis://" + address}, "")
	must(t, err)
	defer c.Close()
	put(t, c, www, server("a", "192.0.2.1"))
	for seq := range uint64(5) {
		reply, err := c.Report(context.Background(), store.Report{Service: www, ID: "a", Utilization: ptr(0.5), Lease: 1, Agent: "x", Seq: seq + 1})
		must(t, err)
		if reply.Outcome != store.Accepted {
			t.Errorf("report %d: %+v", seq, reply)
		}
	}
	reply, err := c.Report(context.Background(), store.Report{Service: www, ID: "b", Lease: 1, Agent: "x", Seq: 1})
	must(t, err)
	if reply.Outcome != store.Unknown {
		t.Errorf("got %+v, want that b is unknown", reply)
	}
	gate := func(g steer.Gate) func() bool {
		return func() bool {
			f := v.Load().Farm(www)
			return f != nil && len(f.State) == 1 && f.State[0].Known && f.State[0].Gate == g
		}
	}
	storetest.Eventually(t, "the report arrives", gate(steer.Open))
	storetest.Eventually(t, "the lease runs out", gate(steer.Silent))
	mu.Lock()
	defer mu.Unlock()
	if len(warned) != 1 || !strings.Contains(warned[0], "for development") {
		t.Errorf("log %q, want that it is for development", warned)
	}
}

func TestWarmStartWithoutRedis(t *testing.T) {
	leaks(t)
	r := storetest.Start(t)
	cfg := store.Config{URLs: []string{r.URL}, StateFile: filepath.Join(t.TempDir(), "state")}
	s, err := store.Open(cfg)
	must(t, err)
	v := s.View(store.Base{})
	c, err := store.Dial(cfg.URLs, "")
	must(t, err)
	put(t, c, www, server("a", "192.0.2.1"))
	storetest.Eventually(t, "the server is known", func() bool { return s.Ready() && v.Load().Farm(www) != nil })
	must(t, c.Close())
	s.Close()

	r.Kill()
	s, err = store.Open(cfg)
	must(t, err)
	defer s.Close()
	v = s.View(store.Base{})
	if snap := v.Load(); !s.Ready() || snap.Farm(www) == nil || !snap.Stale || !s.Status().Warm {
		t.Errorf("ready %v, status %+v", s.Ready(), s.Status())
	}
	r.Restart() // empty
	storetest.Eventually(t, "it is connected again", func() bool { return s.Status().Connected })
	if st := s.Status(); v.Load().Farm(www) == nil || st.Orphans != 1 || st.Warm {
		t.Errorf("status %+v: the server is kept as an orphan", st)
	}
}

func TestDatabase(t *testing.T) {
	ctx := context.Background()
	r := storetest.Start(t)
	c := dial(t, r.URL)
	put(t, c, www, server("a", "192.0.2.1"))
	_, err := c.Report(ctx, store.Report{Service: www, ID: "a", Lease: 60, CPU: ptr(0.25), Mem: ptr(0.5), Agent: "x", Seq: 1})
	must(t, err)
	_, err = c.Report(ctx, store.Report{Service: www, ID: "a", Reporter: "p", Lease: 60, Health: steer.Down})
	must(t, err)
	_, err = c.SetAdmin(ctx, www, "b", steer.Maint, store.ByOperator)
	must(t, err)
	r.Do("HSET", tag("srvs:"+www), "bad", "{}")
	// The replica comes last: one that sees a server come starts it slowly, which the database does not tell.
	s := open(t, store.Config{URLs: []string{r.URL}, Version: "test"})
	v := s.View(store.Base{
		Services: []steer.Service{{Name: "static.example.org.", TTL: new(uint32(7))}},
		Servers:  map[string][]steer.Server{"static.example.org.": {server("x", "192.0.2.9")}},
		Default:  steer.Service{Answers: 2},
	})
	var db *store.Database
	storetest.Eventually(t, "the node record is there", func() bool {
		db, err = c.Read(ctx)
		must(t, err)
		return len(db.Nodes) == 1 && db.Nodes[0].Services == 1
	})
	if n := db.Nodes[0]; n.Version != "test" || *n.Static.Services["static.example.org."].TTL != 7 {
		t.Errorf("node %+v", n)
	}
	if len(db.Bad) != 1 || db.Bad[0].Reason != "count" || !strings.Contains(db.Bad[0].Key, "bad") {
		t.Errorf("bad %+v", db.Bad)
	}
	servers := db.Services[0].Servers
	if len(servers) != 2 || *servers[0].Report.CPU != 0.25 || servers[0].Report.Agent != "x" ||
		servers[0].Probes["p"].Health != steer.Down || servers[1].Admin != steer.Maint || servers[1].Server != nil {
		t.Errorf("servers %+v", servers)
	}
	// What the database shows is what the replica has.
	storetest.Eventually(t, "the replica agrees", func() bool {
		return same(v.Load(), db.Snapshot(db.Base()))
	})
}

// same compares two snapshots by the states of their servers.
func same(a, b *steer.Snapshot) bool {
	if len(a.Farms()) != len(b.Farms()) || len(a.Farms()) == 0 {
		return false
	}
	for i, f := range a.Farms() {
		g := b.Farms()[i]
		if f.Service.Name != g.Service.Name || f.Settings.TTL != g.Settings.TTL || f.Service.Answers != g.Service.Answers || len(f.State) != len(g.State) {
			return false
		}
		for j := range f.State {
			if f.State[j] != g.State[j] || f.Servers[j].ID != g.Servers[j].ID {
				return false
			}
		}
	}
	return true
}

// A replica that could not write its node record does so once it can: the Redis that it follows may become a master.
func TestNodeRecordAfterARefusal(t *testing.T) {
	t.Parallel() // it waits for the second node record
	r := storetest.Start(t)
	r.Do("REPLICAOF", "127.0.0.1", "1")
	var refused atomic.Int32
	s, err := store.Open(store.Config{URLs: []string{r.URL}, Logger: store.Logger{Infof: func(f string, _ ...any) {
		if strings.Contains(f, "cannot write") {
			refused.Add(1)
		}
	}}})
	must(t, err)
	defer s.Close()
	storetest.Eventually(t, "the refusal is told", func() bool { return refused.Load() == 1 })
	r.Do("REPLICAOF", "NO", "ONE")
	c := dial(t, r.URL)
	storetest.Eventually(t, "the node record is there", func() bool {
		nodes, err := c.Nodes(context.Background())
		return err == nil && len(nodes) == 1
	})
}

// Blocks of one store say different things of the services in their zones, and of others nothing.
func TestDatabaseOfSeveralBlocks(t *testing.T) {
	r := storetest.Start(t)
	s := open(t, store.Config{URLs: []string{r.URL}})
	s.View(store.Base{Zones: []string{"example.org."}, Default: steer.Service{Answers: 2}})
	ns := []steer.NameServer{{Name: "a.example.net.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}}
	s.View(store.Base{Zones: []string{"example.net."}, Default: steer.Service{Answers: 3}, Block: store.Block{NS: ns, Next: []string{"."}}})
	c := dial(t, r.URL)
	want := map[string]int{www: 2, "www.example.net.": 3, "www.example.com.": 0}
	for name := range want {
		put(t, c, name, server("a", "192.0.2.1"))
	}
	var db *store.Database
	storetest.Eventually(t, "the node record is there", func() bool {
		var err error
		db, err = c.Read(context.Background())
		must(t, err)
		return len(db.Nodes) == 1
	})
	snap := db.Snapshot(db.Base())
	for name, answers := range want {
		if f := snap.Farm(name); f == nil || f.Service.Answers != answers || db.Answered(name) != (answers != 0) {
			t.Errorf("%s: got %+v, answered %v; want %d answers", name, f.Service, db.Answered(name), answers)
		}
	}
	for name, want := range map[string]*steer.Zone{
		www:                {Name: "example.org.", NS: []steer.NameServer{{Name: "ns.example.org."}}},
		"www.example.net.": {Name: "example.net.", NS: ns},
		"www.example.com.": nil,
	} {
		zone, block, known := db.BlockOf(name)
		if !reflect.DeepEqual(zone, want) || !known || (len(block.Next) > 0) != (name == "www.example.net.") {
			t.Errorf("%s: got zone %+v, block %+v, known %v, want zone %+v", name, zone, block, known, want)
		}
	}
}

func TestWriteWithoutAPassword(t *testing.T) {
	r := storetest.Start(t)
	r.Do("CONFIG", "SET", "requirepass", "secret")
	_, err := dial(t, r.URL).PutServer(context.Background(), www, server("a", "192.0.2.1"), store.ByAgent)
	if err == nil || !strings.Contains(err.Error(), "its URL needs a user or a password") || store.IsInvalid(err) {
		t.Errorf("got %v", err)
	}
}

// A database that was never reached is not said to be lost, nor answers to be what was read of it.
func TestFirstReadFails(t *testing.T) {
	said := make(chan string, 1)
	s, err := store.Open(store.Config{URLs: []string{"redis://127.0.0.1:1"}, Logger: store.Logger{
		Warnf: func(f string, args ...any) { said <- fmt.Sprintf(f, args...) },
	}})
	must(t, err)
	defer s.Close()
	if line := <-said; !strings.Contains(line, "not reached yet") || !strings.Contains(line, "only the services of the Corefile") {
		t.Errorf("got %q", line)
	}
}

func TestReadWithoutRedis(t *testing.T) {
	c := dial(t, "redis://127.0.0.1:1")
	if _, err := c.Read(context.Background()); !store.IsUnreachable(err) {
		t.Errorf("got %v, want that it is unreachable", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
