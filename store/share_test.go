package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

var learnedKey = tag("lrn:" + www)

// redisNow is Redis's time in ms.
func redisNow(r *storetest.Redis) int64 {
	s, us, _ := strings.Cut(r.Do("TIME"), "\n")
	seconds, _ := strconv.ParseInt(s, 10, 64)
	micros, _ := strconv.ParseInt(us, 10, 64)
	return seconds*1000 + micros/1000
}

// learned is the public form of what a replica says.
type learned struct {
	At       int64              `json:"at"`
	Capacity map[string]float64 `json:"capacity,omitempty"`
	Loads    []byte             `json:"loads,omitempty"`
}

func (l learned) String() string {
	data, _ := json.Marshal(l)
	return string(data)
}

// sharers opens a store whose services are under predict, with one server that another replica measures.
func sharers(t *testing.T, url string) (*store.Store, *store.View) {
	t.Helper()
	s := open(t, store.Config{URLs: []string{url}})
	v := s.View(store.Base{Default: steer.Service{Policy: steer.Predict}})
	v.Exchange(nil) // from here on somebody collects
	return s, v
}

// collect gathers what a view hears until ok.
func collect(t *testing.T, v *store.View, what string, ok func([]store.Shared) bool) (all []store.Shared) {
	t.Helper()
	storetest.Eventually(t, what, func() bool {
		all = append(all, v.Exchange(nil)...)
		return ok(all)
	})
	return all
}

func heard(loads string) func([]store.Shared) bool {
	return func(all []store.Shared) bool {
		for _, s := range all {
			if s.Service == www && string(s.Loads) == loads {
				return true
			}
		}
		return false
	}
}

func capacityIs(v *store.View, want float64) func() bool {
	return func() bool {
		f := v.Load().Farm(www)
		return f != nil && len(f.State) == 1 && f.State[0].Capacity == want
	}
}

func TestShare(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	put(t, c, www, server("a", "192.0.2.1"))
	r.Do("HSET", learnedKey, "other-1", learned{redisNow(r) - 2000, map[string]float64{"a": 250, "gone": 7}, []byte("theirs")}.String())
	r.Do("HSET", learnedKey, "dead-1", learned{redisNow(r) - 61_000, nil, []byte("older than a minute")}.String())
	r.Do("HSET", learnedKey, "asleep-1", learned{redisNow(r) - 20_000, map[string]float64{"a": 9}, []byte("older than fifteen seconds")}.String())
	_, v := sharers(t, r.URL)

	// What others say arrives, and nothing else does.
	for _, s := range collect(t, v, "what the other replica says", heard("theirs")) {
		if age := v.Now() - s.At; string(s.Loads) != "theirs" || age < 2000 || age > 20_000 {
			t.Errorf("heard %q, %d ms old", s.Loads, age)
		}
	}
	storetest.Eventually(t, "the measured capacity is adopted", capacityIs(v, 250))

	// What is handed over is written, with what the replica has measured or adopted, and those that are gone make room.
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("ours"), At: v.Now()}})
	var got learned
	storetest.Eventually(t, "what this replica says is written", func() bool {
		for _, value := range strings.Split(r.Do("HVALS", learnedKey), "\n") {
			got = learned{}
			if json.Unmarshal([]byte(value), &got) == nil && string(got.Loads) == "ours" {
				return true
			}
		}
		return false
	})
	if age := redisNow(r) - got.At; got.Capacity["a"] != 250 || age < 0 || age > 15_000 {
		t.Errorf("written %+v, %d ms old", got, age)
	}
	storetest.Eventually(t, "the dead replica's word is deleted", func() bool { return r.Do("HEXISTS", learnedKey, "dead-1") == "0" })
	if ttl := r.Do("PTTL", learnedKey); ttl < "0" || len(ttl) > 5 {
		t.Errorf("the key expires in %s ms, want at most 60000", ttl)
	}
	if r.Do("HEXISTS", learnedKey, "asleep-1") != "1" {
		t.Error("a replica that was silent for 20 s is forgotten")
	}
}

// A replica that was restarted hears what it said itself before; one that runs does not.
func TestShareOverARestart(t *testing.T) {
	r := storetest.Start(t)
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	s, err := store.Open(store.Config{URLs: []string{r.URL}})
	must(t, err)
	v := s.View(store.Base{Default: steer.Service{Policy: steer.Predict}})
	v.Exchange(nil)
	storetest.Eventually(t, "the service is there", func() bool { return v.Load().Farm(www) != nil })
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("mine"), At: v.Now()}})
	storetest.Eventually(t, "it is written", func() bool { return r.Do("EXISTS", learnedKey) == "1" })
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("again"), At: v.Now()}})
	storetest.Eventually(t, "it is written again", func() bool { return !strings.Contains(r.Do("HVALS", learnedKey), "bWluZQ==") })
	if in := v.Exchange(nil); len(in) > 0 {
		t.Errorf("the replica hears itself: %v", in)
	}
	v.Close()
	s.Close()
	_, v = sharers(t, r.URL)
	collect(t, v, "what it said before", heard("again"))
}

// Whatever stands there, it is ignored, counted once, and named.
func TestShareGarbage(t *testing.T) {
	r := storetest.Start(t)
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	put(t, dial(t, r.URL), other, server("a", "192.0.2.1"))
	r.Do("SET", tag("lrn:"+other), "no hash")
	now := redisNow(r)
	for name, value := range map[string]string{
		"json": "{", "empty": "", "type": `{"at":"now"}`, "never": `{"at":0}`,
		"large":    learned{At: now, Loads: make([]byte, 48<<10)}.String(),
		"capacity": fmt.Sprintf(`{"at":%d,"capacity":{"a":-1}}`, now),
		"id":       fmt.Sprintf(`{"at":%d,"capacity":{"A B":1}}`, now),
	} {
		r.Do("HSET", learnedKey, name, value)
	}
	r.Do("HSET", learnedKey, "future", learned{now + 3_600_000, map[string]float64{"a": 5}, []byte("from the future")}.String())
	s, v := sharers(t, r.URL)
	rejected := func() (n uint64) {
		for _, k := range s.Status().Rejected {
			n += k
		}
		return n
	}
	storetest.Eventually(t, "all of it is counted", func() bool { return rejected() == 8 })
	for range 2 { // rounds: what is handed over comes back from the hash
		v.Exchange([]store.Shared{{Service: www, Loads: []byte("x"), At: v.Now()}})
		storetest.Eventually(t, "a round", func() bool { return strings.Contains(r.Do("HVALS", learnedKey), `"eA=="`) })
		r.Do("HSET", learnedKey, "json", "{")
		r.Do("HDEL", learnedKey, nodeOf(r))
	}
	if n := rejected(); n != 8 {
		t.Errorf("%d rejections, want each value counted once", n)
	}
	if in := v.Exchange(nil); len(in) != 0 || capacityIs(v, 5)() {
		t.Errorf("heard %v", in)
	}
	for _, j := range s.Status().Rejects {
		if !strings.HasPrefix(j.Key, "learned ") {
			t.Errorf("rejected %+v", j)
		}
	}
}

// nodeOf returns the field that a real replica has written.
func nodeOf(r *storetest.Redis) string {
	for _, f := range strings.Split(r.Do("HKEYS", learnedKey), "\n") {
		if strings.Contains(f, "-") {
			return f
		}
	}
	return "none"
}

// A replica that may not write hears the others, and says once that they do not hear it.
func TestShareReadOnly(t *testing.T) {
	r := storetest.StartWithUsers(t, "user reader on >secret resetchannels -@all +hello +auth +ping +select +command "+
		"+multi +exec +time +hmget +hscan +xrevrange +xread %R~farm:{*")
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	r.Do("HSET", learnedKey, "other-1", learned{redisNow(r), map[string]float64{"a": 250}, []byte("theirs")}.String())
	var refused atomic.Int32
	s, err := store.Open(store.Config{URLs: []string{r.As("reader", "secret")}, Logger: store.Logger{Infof: func(f string, args ...any) {
		if strings.Contains(f, "other replicas do not hear") {
			refused.Add(1)
		}
	}}})
	must(t, err)
	defer s.Close()
	v := s.View(store.Base{Default: steer.Service{Policy: steer.Predict}})
	for range 2 {
		v.Exchange([]store.Shared{{Service: www, Loads: []byte("ours"), At: v.Now()}})
		collect(t, v, "what the other replica says", heard("theirs"))
	}
	storetest.Eventually(t, "the refusal is told", func() bool { return refused.Load() == 1 })
}

// The embedded store takes part, too: agents and tools reach it as they would a Redis.
func TestShareEmbedded(t *testing.T) {
	s := open(t, store.Config{Embedded: "127.0.0.1:" + storetest.FreePort(t)})
	c := dial(t, "redis://"+s.Embedded())
	put(t, c, www, server("a", "192.0.2.1"))
	v := s.View(store.Base{Default: steer.Service{Policy: steer.Predict}})
	v.Exchange([]store.Shared{{Service: www, Loads: []byte("ours"), At: v.Now()}})
	storetest.Eventually(t, "what was learned is there", func() bool {
		db, err := c.Read(context.Background())
		must(t, err)
		return len(db.Learned) == 1 && string(db.Learned[0].Loads) == "ours"
	})
}

// Blocks of the same zones have one view, which ends with the last of them.
func TestEqualBasesShareAView(t *testing.T) {
	r := storetest.Start(t)
	s := open(t, store.Config{URLs: []string{r.URL}})
	base := func() store.Base {
		regions, _ := steer.NewRegions([]steer.Region{{Name: "eu"}})
		return store.Base{Zones: []string{"example.org."}, Regions: regions}
	}
	a, b := s.View(base()), s.View(base())
	if other := s.View(store.Base{}); a != b || a == other {
		t.Errorf("views %p and %p of one base, %p of another", a, b, other)
	}
	a.Close()
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	storetest.Eventually(t, "the view lives", func() bool { return b.Load().Farm(www) != nil })
	b.Close()
	if c := s.View(base()); c == b {
		t.Error("a view that was closed is given out")
	}
}

// What the command line reads has the capacities that replicas have measured, and what they have learned.
func TestReadLearned(t *testing.T) {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	put(t, c, www, server("a", "192.0.2.1"))
	now := redisNow(r)
	r.Do("HSET", learnedKey, "one-1", learned{now - 3000, map[string]float64{"a": 100}, []byte("one")}.String())
	r.Do("HSET", learnedKey, "two-2", learned{now - 1000, map[string]float64{"a": 200}, []byte("two")}.String())
	r.Do("HSET", learnedKey, "old-3", learned{now - 30_000, map[string]float64{"a": 300}, []byte("old")}.String())
	r.Do("HSET", learnedKey, "bad", "{")
	db, err := c.Read(context.Background())
	must(t, err)
	if got := db.Snapshot(store.Base{}).Farm(www).State[0].Capacity; got != 200 {
		t.Errorf("capacity %v, want the youngest", got)
	}
	if len(db.Learned) != 2 || string(db.Learned[0].Loads) != "two" || db.Learned[0].At != now-1000 {
		t.Errorf("learned %+v", db.Learned)
	}
	if len(db.Bad) != 1 || db.Bad[0].Key != "learned www.example.org. bad" {
		t.Errorf("bad %+v", db.Bad)
	}
}
