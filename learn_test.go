package farm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const learning = "www.learn.test."

// learnBlock is a block under predict on a Redis.
func learnBlock(redis *storetest.Redis, more string) string {
	return fmt.Sprintf("farm learn.test {\nredis %s\npolicy predict\n%s\n}", redis.URL, more)
}

// reportAll registers two servers, if they are not, and reports on them.
func reportAll(t *testing.T, redis *storetest.Redis) {
	t.Helper()
	c, err := store.Dial([]string{redis.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i, id := range []string{"a", "b"} {
		s := steer.Server{ID: id, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, Capacity: 100}
		if _, err := c.PutServer(ctx, learning, s, store.ByOperator); err != nil {
			t.Fatal(err)
		}
		util, rps := 0.5, 50.0
		if _, err := c.Report(ctx, store.Report{Service: learning, ID: id, Utilization: &util, RPS: &rps, Lease: 3600}); err != nil {
			t.Fatal(err)
		}
	}
}

// answeredBy says whether a query is answered by a method.
func answeredBy(t *testing.T, f *Farm, method steer.Method) bool {
	t.Helper()
	count := func() float64 { return value(families(t)["coredns_farm_methods_total"], method.String()) }
	before := count()
	ask(t, f, question(learning, dns.TypeA), "")
	return count() > before
}

// A block learns by itself, goes on over a reload, and ends with its last instance.
func TestLearning(t *testing.T) {
	redis := storetest.Start(t)
	reportAll(t, redis)
	f := started(t, learnBlock(redis, ""))
	storetest.Eventually(t, "answers by prediction", func() bool { return answeredBy(t, f, steer.ByPredict) })

	// The new instance has the memory, and the servers, of the old one, and so knows at once what that one knew.
	second := started(t, learnBlock(redis, ""))
	if second.memory != f.memory || second.db.view != f.db.view {
		t.Error("The second instance does not share with the first")
	}
	f.stop()
	if !answeredBy(t, second, steer.ByPredict) {
		t.Error("After a reload prediction has to begin anew")
	}
	// One that says otherwise has servers of its own, which are learned from next; the memory stays.
	third := started(t, learnBlock(redis, "ttl 7"))
	if third.memory != second.memory || third.db.view == second.db.view {
		t.Error("An edited instance shares the wrong things")
	}
	second.stop()
	storetest.Eventually(t, "answers by prediction again", func() bool { return answeredBy(t, third, steer.ByPredict) })
	third.stop()
	select {
	case <-third.memory.school.ended:
	default:
		t.Error("Nobody is left, and the learning goes on")
	}
	// A table of another size is another one.
	if other := started(t, learnBlock(redis, "resolvers 64")); other.memory == third.memory {
		t.Error("Tables of different sizes are one")
	}
}

// Two blocks of the same zones: only one of them teaches, the one that joined last and has not left.
func TestSchool(t *testing.T) {
	m := &memory{learned: steer.NewLearned(pairBits, 1)}
	redis := storetest.Start(t)
	var dbs [3]*database
	for i := range dbs {
		s, err := store.Open(store.Config{URLs: []string{redis.URL}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		dbs[i] = &database{store: s, view: s.View(store.Base{Zones: []string{fmt.Sprintf("z%d.", i)}})}
		m.join(dbs[i])
		if m.school.last() != dbs[i] {
			t.Errorf("After block %d joined, another one teaches", i)
		}
	}
	m.leave(dbs[1])
	m.leave(dbs[2])
	if m.school.last() != dbs[0] {
		t.Error("The first block, which alone is left, does not teach")
	}
	m.leave(dbs[0])
	if m.school.last() != nil {
		t.Error("Somebody who left teaches")
	}
	m.learnOnce(true) // and nothing happens
	m.join(dbs[0])
	m.leave(dbs[0])
}

// What other replicas say is taken over, and garbage is not.
func TestHearing(t *testing.T) {
	redis := storetest.Start(t)
	reportAll(t, redis)
	teacher := taught(t, 2)
	export := teacher.memory.learned.Export(teacher.source.Load().Farms()[0], mostTold, nil)
	key := strings.Replace(store.Keys(store.DefaultPrefix, learning)[0], "rev", "lrn:", 1) + learning
	said := func(name string, loads []byte) {
		now := time.Now().UnixMilli()
		data, _ := json.Marshal(map[string]any{"at": now, "loads": loads})
		redis.Do("HSET", key, name, string(data))
	}
	said("good-1", export)
	said("garbage-1", []byte("garbage"))
	shared := func(outcome string) float64 { return value(families(t)["coredns_farm_shared_total"], outcome) }
	taken, rejected := shared("taken"), shared("rejected")
	started(t, learnBlock(redis, ""))
	storetest.Eventually(t, "both are heard", func() bool { return shared("taken") > taken && shared("rejected") > rejected })
}

// What was answered is told, and what other replicas answered is taken over, and counted.
func TestExchangingAnswers(t *testing.T) {
	f := taught(t, 2)
	m, snap := f.memory, f.source.Load()
	if out := m.exportAnswers(snap, at-1000); out != nil {
		t.Errorf("Before anything was told before, %v is told", out)
	}
	out := m.exportAnswers(snap, at)
	if len(out) != 1 || out[0].Service != "www.example.org." || out[0].At != at || len(out[0].Answers) < 18 || out[0].Loads != nil {
		t.Fatalf("Told %+v", out)
	}
	m.exportAnswers(snap, at+noteWithin) // an answer that was noted late would be in this one
	if again := m.exportAnswers(snap, at+1000); again != nil {
		t.Errorf("Told again: %+v", again)
	}
	other := taught(t, 2)
	shared := func(outcome string) (n float64) {
		for _, m := range families(t)["coredns_farm_shared_total"].GetMetric() {
			if l := m.GetLabel(); l[0].GetValue() == "answers" && l[1].GetValue() == outcome {
				n += m.GetCounter().GetValue()
			}
		}
		return n
	}
	taken, rejected := shared("taken"), shared("rejected")
	other.memory.hear(other.source.Load(), out[0], at)
	other.memory.hear(other.source.Load(), store.Shared{Service: "www.example.org.", Answers: []byte("garbage"), At: at}, at)
	other.memory.hear(other.source.Load(), store.Shared{Service: "nosuch.example.org.", Answers: []byte("garbage"), At: at}, at)
	if shared("taken") != taken+1 || shared("rejected") != rejected+1 {
		t.Errorf("%v taken, %v rejected", shared("taken")-taken, shared("rejected")-rejected)
	}
}
