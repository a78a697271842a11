package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// manyCapacities are of servers with the longest ids.
func manyCapacities(n int) map[string]float64 {
	all := make(map[string]float64, n)
	for i := range n {
		all[fmt.Sprintf("%s-%d", strings.Repeat("x", maxID-6), i+10_000)] = 123.456
	}
	return all
}

func TestLearnedAge(t *testing.T) {
	const now = 1_000_000
	for _, tt := range []struct {
		at              int64
		stands, outlive bool
	}{
		{now, true, false}, {now - 15_000, true, false}, {now - 15_001, false, false}, {now - 60_000, false, false},
		{now - 60_001, false, true}, {now + 1000, true, false}, {now + 1001, false, false}, {now + 60_001, false, true},
	} {
		l := learned{At: tt.at}
		if l.stands(now) != tt.stands || isOutlived(l.At, now) != tt.outlive {
			t.Errorf("%d ms old: stands %t, outlived %t", now-tt.at, l.stands(now), isOutlived(l.At, now))
		}
	}
}

// Whatever is written can be read, and is within bounds.
func TestLearnedBounds(t *testing.T) {
	loads := make([]byte, 1+256*56)
	for _, tt := range []struct {
		l     learned
		loads int // -1: nothing is written
	}{
		{learned{At: 1}, -1},
		{learned{At: 1, Capacity: manyCapacities(1)}, 0},
		{learned{At: 1, Capacity: manyCapacities(100), Loads: loads}, len(loads)},
		{learned{At: 1, Capacity: manyCapacities(maxCapacities), Loads: loads}, len(loads)},
		{learned{At: 1, Loads: make([]byte, maxLoads)}, maxLoads},
		{learned{At: 1, Loads: make([]byte, maxLoads+1)}, -1},
	} {
		value := tt.l.encode()
		if (value == "") != (tt.loads < 0) {
			t.Errorf("%d capacities, %d octets of loads: %d octets", len(tt.l.Capacity), len(tt.l.Loads), len(value))
		}
		if value == "" {
			continue
		}
		if got, err := decodeLearned(value); err != nil || len(got.Loads) != tt.loads {
			t.Errorf("%d capacities, %d octets of loads: %v", len(tt.l.Capacity), len(tt.l.Loads), err)
		}
	}
}

func TestCapacities(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"))
	sh := w.r.shards[Shard(svc)]
	sh.find(svc, "a").measured.Capacity = 123.456
	if got := w.r.capacities(svc); len(got) != 1 || got["a"] != 123 {
		t.Errorf("capacities %v", got)
	}
	clear(w.r.dirty)
	if w.r.adopt(svc, map[string]float64{"a": 7, "nobody": 7}) || len(w.r.dirty) != 0 {
		t.Error("a capacity of one's own is replaced")
	}
	if !w.r.adopt(svc, map[string]float64{"b": 50}) || sh.find(svc, "b").measured.Capacity != 50 || len(w.r.dirty) != 1 {
		t.Error("a capacity is not adopted")
	}
	if w.r.capacities("nosuch.example.org.") != nil || w.r.adopt("nosuch.example.org.", map[string]float64{"a": 1}) {
		t.Error("a service that is not there has capacities")
	}
}

// Mail that nobody collects is bounded, and the newest stays.
func TestMailIsBounded(t *testing.T) {
	var m mailbox
	for range 3 * maxMail / maxLoads {
		m.put(Shared{Service: svc, Loads: make([]byte, maxLoads)})
	}
	m.put(Shared{Service: svc, Loads: []byte("last")})
	in, _ := m.swap(nil)
	if n := len(in); n > maxMail/maxLoads+1 || string(in[n-1].Loads) != "last" {
		t.Errorf("%d letters", n)
	}
}

// More services than fit one round get their turns.
func TestRounds(t *testing.T) {
	w := newWorld(t)
	x := newSharing(&Store{replica: w.r})
	services := make(map[string]bool)
	for i := range maxRound + 10 {
		services[fmt.Sprintf("s%05d.example.org.", i)] = true
	}
	seen := make(map[string]bool)
	for range 2 {
		n := 0
		for _, names := range x.due(services) {
			for _, name := range names {
				seen[name] = true
				n++
			}
		}
		if n != maxRound {
			t.Errorf("%d services in a round", n)
		}
	}
	if len(seen) != len(services) {
		t.Errorf("%d of %d services had their turn", len(seen), len(services))
	}
	// What is not under predict is heard once, and told if there is something to tell.
	w.load(serverRec("a"))
	x.heard[svc] = true
	for _, capacity := range []float64{0, 100} {
		w.r.shards[Shard(svc)].find(svc, "a").measured.Capacity = capacity
		byShard := x.due(map[string]bool{svc: false})
		if got := len(byShard[Shard(svc)]); (got == 1) != (capacity > 0) {
			t.Errorf("capacity %v: %d services", capacity, got)
		}
	}
}

func FuzzLearned(f *testing.F) {
	f.Add(`{"at":1795363200000,"capacity":{"a":100,"b":2.5e3},"loads":"AQ=="}`)
	f.Add((&learned{At: 1, Capacity: manyCapacities(maxCapacities)}).encode())
	f.Add(`{"at":1,"capacity":{"A":1}}`)
	f.Add(`{"at":1,"capacity":{"a":1e999}}`)
	f.Add(`{"at":-1}`)
	f.Add(`{"at":1,"loads":"?"}`)
	f.Add("{")
	f.Fuzz(func(t *testing.T, value string) {
		l, err := decodeLearned(value)
		if err != nil {
			if reasonOf(err) == "other" {
				t.Errorf("%q: %s", value, err)
			}
			return
		}
		for id, c := range l.Capacity {
			if !isID(id) || !within(c, 0, steer.MaxRate) || c == 0 {
				t.Errorf("capacity %v of %q", c, id)
			}
		}
		if l.At < 1 || len(l.Loads) > maxLoads || len(l.Capacity) > maxCapacities {
			t.Errorf("%q is taken", value)
		}
	})
}
