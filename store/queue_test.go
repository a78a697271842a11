package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

func queue(t testing.TB, c *store.Client, name string) *store.Queue {
	t.Helper()
	q, err := c.Requests(name)
	must(t, err)
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// take waits for n pieces of work. Errors are what a broker sees of a database that is away.
func take(t testing.TB, q *store.Queue, n int) (all []store.Work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for len(all) < n {
		work, err := q.Take(ctx)
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %d pieces of work, got %d", n, len(all))
		}
		if err != nil {
			t.Log(err)
		}
		all = append(all, work...)
	}
	return all
}

// none checks that there is no work.
func none(t testing.TB, q *store.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if work, err := q.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v; want no work", work, err)
	}
}

func askFor(t testing.TB, c *store.Client, service string, client int) qos.GrantID {
	t.Helper()
	r := request(qos.Client("id", fmt.Sprint(client)), "a", network)
	r.Service, r.Unit = service, 1000
	g, err := c.Ask(context.Background(), r)
	must(t, err)
	return g.ID
}

// pending returns how many entries are handed out and not acknowledged.
func pending(r *storetest.Redis) string {
	return strings.SplitN(r.Do("XPENDING", tag("req"), "broker"), "\n", 2)[0]
}

// What a broker was handed and has not acknowledged when it dies, the next of its name is handed first.
func TestBrokerRestarts(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	askFor(t, c, www, 1) // before there is any broker
	first, err := c.Requests("one")
	must(t, err)
	work := take(t, first, 1)
	must(t, first.Close())
	askFor(t, c, www, 2)
	second := queue(t, c, "one")
	again := take(t, second, 2)
	if again[0].Grant.ID != work[0].Grant.ID || !again[0].Known || again[0].Grant.State != qos.Requested {
		t.Errorf("got %+v, want %+v first", again, work)
	}
	for _, w := range again {
		must(t, second.Ack(context.Background(), w))
	}
	must(t, second.Ack(context.Background(), again[0])) // does no harm
	if n := pending(r); n != "0" {
		t.Errorf("%s are pending", n)
	}
	none(t, second)
}

// Work of a broker that gives no sign of life is handed to another one; that of one that does is not.
func TestBrokerDies(t *testing.T) {
	t.Parallel() // it waits
	r := storetest.Start(t)
	c := dial(t, r.URL)
	dead, err := c.Requests("dead")
	must(t, err)
	id := askFor(t, c, www, 1)
	take(t, dead, 1)
	must(t, dead.Close())
	age := func(consumer string) {
		entry := strings.Fields(r.Do("XPENDING", tag("req"), "broker", "-", "+", "1"))[0]
		r.Do("XCLAIM", tag("req"), "broker", consumer, "0", entry, "IDLE", "60000", "JUSTID")
	}
	age("dead")
	heir := queue(t, c, "heir")
	if w := take(t, heir, 1); w[0].Grant.ID != id {
		t.Errorf("got %+v", w)
	}
	age("heir") // who is alive says so, and is not handed it again
	storetest.Eventually(t, "a sign of life", func() bool {
		return r.Do("XPENDING", tag("req"), "broker", "IDLE", "30000", "-", "+", "1") == ""
	})
	none(t, heir)
}

// Every piece of work is handed to one broker.
func TestBrokersShareWork(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	const n = 200
	seen := make(chan qos.GrantID, 2*n)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, name := range []string{"one", "two"} {
		q := queue(t, c, name)
		go func() {
			for ctx.Err() == nil {
				work, _ := q.Take(ctx)
				for _, w := range work {
					seen <- w.Grant.ID
					_ = q.Ack(ctx, w)
				}
			}
		}()
	}
	want := make(map[qos.GrantID]bool)
	for i := range n {
		want[askFor(t, c, www, i)] = true
	}
	for range n {
		select {
		case id := <-seen:
			if !want[id] {
				t.Fatalf("%s is handed out twice", id)
			}
			delete(want, id)
		case <-time.After(30 * time.Second):
			t.Fatalf("%d were not handed out", len(want))
		}
	}
}

// What says nothing of use is thrown away; a grant that is gone is said to be.
func TestQueueGarbage(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	r.Do("XADD", tag("req"), "*", "x", "y")
	r.Do("XADD", tag("req"), "*", "svc", "www", "id", "x")
	r.Do("XADD", tag("req"), "*", "svc", www, "id", strings.Repeat("0", 31)+"1", "v", "1")
	q := queue(t, c, "one")
	work := take(t, q, 1)
	if w := work[0]; w.Known || w.Grant.Service != www || w.Grant.ID != (qos.GrantID{15: 1}) {
		t.Errorf("got %+v", w)
	}
	storetest.Eventually(t, "one is pending", func() bool { return pending(r) == "1" })
	if _, err := c.Requests("a b"); err == nil {
		t.Error("a name with a space is taken")
	}
}

func TestQueueAfterAFlush(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	q := queue(t, c, "one")
	askFor(t, c, www, 1)
	must(t, q.Ack(context.Background(), take(t, q, 1)[0]))
	r.Do("FLUSHALL")
	id := askFor(t, c, www, 2)
	if w := take(t, q, 1); w[0].Grant.ID != id {
		t.Errorf("got %+v", w)
	}
}

// A broker that is cut off says so, and goes on when the database is back.
func TestQueueWithoutRedis(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	q := queue(t, c, "one")
	r.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := q.Take(ctx); !store.IsUnreachable(err) || ctx.Err() != nil {
		t.Errorf("got %v, want that it is unreachable", err)
	}
	r.Restart()
	id := askFor(t, c, www, 1)
	if w := take(t, q, 1); w[0].Grant.ID != id {
		t.Errorf("got %+v", w)
	}
}

func TestQueueOnCluster(t *testing.T) {
	cluster := storetest.StartCluster(t)
	c := dial(t, cluster.URLs...)
	q := queue(t, c, "one")
	want := make(map[qos.GrantID]bool)
	shards := make(map[int]bool)
	for i := 0; len(shards) < store.Shards; i++ {
		name := fmt.Sprintf("s%d.example.org.", i)
		if n := store.Shard(name); !shards[n] {
			shards[n] = true
			want[askFor(t, c, name, 1)] = true
		}
	}
	s := open(t, store.Config{URLs: cluster.URLs})
	v := s.View(store.Base{})
	for _, w := range take(t, q, store.Shards) {
		if !want[w.Grant.ID] {
			t.Errorf("got %+v", w)
		}
		delete(want, w.Grant.ID)
		g := w.Grant
		g.State = qos.Granted
		ok, err := q.Answer(t.Context(), g.Service, g)
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", g.Service, ok, err)
		}
		must(t, q.Ack(t.Context(), w))
		storetest.Eventually(t, "the replica knows", func() bool {
			got, ok := v.Grant(g.Service, g.Client)
			return ok && got.State == qos.Granted
		})
	}
	if all, err := c.Grants(t.Context()); err != nil || len(all) != store.Shards {
		t.Errorf("%d grants, %v", len(all), err)
	}
	if _, err := q.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	// Requests of lookups, whose pipeline goes to several masters.
	if !s.Ask(request(alice, "a", gold)) {
		t.Error("there is no room to ask")
	}
	awaitGrant(t, v, alice, qos.Granted)
}

func TestQueueOverAFailover(t *testing.T) {
	sentinel := storetest.StartSentinel(t)
	c := dial(t, sentinel.URL)
	q := queue(t, c, "one")
	askFor(t, c, www, 1)
	must(t, q.Ack(context.Background(), take(t, q, 1)[0]))
	old := sentinel.Master()
	old.Kill()
	storetest.Eventually(t, "the replica is master", func() bool { return sentinel.Master() != old })
	r := request(bob, "a", network)
	storetest.Eventually(t, "a request is taken", func() bool {
		_, err := c.Ask(context.Background(), r)
		return err == nil
	})
	for {
		if w := take(t, q, 1)[0]; w.Grant.Client == bob { // what was not acknowledged there may come again
			return
		}
	}
}

func TestGrantsEmbedded(t *testing.T) {
	s := open(t, store.Config{Embedded: "127.0.0.1:" + storetest.FreePort(t)})
	v := s.View(store.Base{})
	c := dial(t, "redis://"+s.Embedded())
	q := queue(t, c, "one")
	if !s.Ask(request(alice, "a", network, silver)) {
		t.Fatal("there is no room to ask")
	}
	awaitGrant(t, v, alice, qos.Requested)
	w := take(t, q, 1)[0]
	w.Grant.State = qos.Granted
	if ok, err := q.Answer(t.Context(), www, w.Grant); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	must(t, q.Ack(t.Context(), w))
	g := awaitGrant(t, v, alice, qos.Granted)
	must(t, c.PutKey(t.Context(), key(1, "k")))
	storetest.Eventually(t, "the key is known", func() bool { return verifies(t, s, key(1, "k")) })
	if ok, err := c.Revoke(t.Context(), www, g.ID); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	awaitGrant(t, v, alice, qos.Ended)
}
