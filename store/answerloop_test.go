package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

var answersKey = tag("lrn:answers")

// toldAnswers is the public form of what another replica writes: a value of one service's answers.
func toldAnswers(at int64, service, answers string) string {
	b := binary.LittleEndian.AppendUint64([]byte{1}, uint64(at))
	b = append(binary.LittleEndian.AppendUint16(b, 0), byte(len(service)))
	b = append(b, service...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(answers)))
	return string(append(b, answers...))
}

// setFields writes fields of a hash, whatever octets they have.
func setFields(t *testing.T, r *storetest.Redis, key string, fields ...string) {
	t.Helper()
	opts, err := redis.ParseURL(r.URL)
	must(t, err)
	c := redis.NewClient(opts)
	defer c.Close()
	must(t, c.HSet(context.Background(), key, fields).Err())
}

// answersHeard gathers the answers that a view hears until all of want are there, and returns how often each came.
func answersHeard(t *testing.T, v *store.View, want ...string) map[string]int {
	t.Helper()
	heard := make(map[string]int)
	collect(t, v, fmt.Sprintf("answers %q", want), func(all []store.Shared) bool {
		clear(heard)
		for _, s := range all {
			if len(s.Answers) > 0 && s.Service == www {
				heard[string(s.Answers)]++
			}
		}
		return !slices.ContainsFunc(want, func(a string) bool { return heard[a] == 0 })
	})
	return heard
}

// What another replica answers arrives once, and what this one answers is written, for as long as it is news.
func TestExchangeAnswers(t *testing.T) {
	r := storetest.Start(t)
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	_, v := sharers(t, r.URL)
	storetest.Eventually(t, "the service is there", func() bool { return v.Load().Farm(www) != nil })
	now := redisNow(r)
	setFields(t, r, answersKey, "old-1", toldAnswers(now-5500, www, "too old"))
	setFields(t, r, answersKey, "future-1", toldAnswers(now+60_000, www, "of the future"))
	setFields(t, r, answersKey, "gone-1", toldAnswers(now-61_000, www, "of a replica that is gone"))
	setFields(t, r, answersKey, "other-1", toldAnswers(now, www, "first"))
	if heard := answersHeard(t, v, "first"); len(heard) != 1 {
		t.Errorf("heard %v", heard)
	}
	v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
	storetest.Eventually(t, "it is written", func() bool { return strings.Contains(r.Do("HVALS", answersKey), "ours") })
	if ttl := r.Do("PTTL", answersKey); ttl < "0" || len(ttl) > 5 {
		t.Errorf("the key expires in %s ms, want at most 60000", ttl)
	}
	if r.Do("EXISTS", learnedKey) != "0" {
		t.Error("answers alone are written as loads")
	}
	storetest.Eventually(t, "the replica that is gone is deleted", func() bool {
		v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
		return r.Do("HEXISTS", answersKey, "gone-1") == "0"
	})
	setFields(t, r, answersKey, "other-1", toldAnswers(redisNow(r), www, "second"))
	for a, n := range answersHeard(t, v, "second") {
		if n != 1 || a != "second" {
			t.Errorf("heard %q %d times", a, n)
		}
	}
}

// On a Cluster, shards are on different nodes, and one that is gone costs the others nothing.
func TestExchangeAnswersOnCluster(t *testing.T) {
	cluster := storetest.StartCluster(t)
	c := dial(t, cluster.URLs...)
	services, shards := []string{www}, map[int]bool{store.Shard(www): true}
	for i := range 8 {
		name := fmt.Sprintf("s%d.example.org.", i)
		services, shards[store.Shard(name)] = append(services, name), true
	}
	for _, name := range services {
		put(t, c, name, server("a", "192.0.2.1"))
	}
	s := open(t, store.Config{URLs: cluster.URLs})
	v := s.View(store.Base{Default: steer.Service{Policy: steer.Predict}})
	for _, name := range services {
		storetest.Eventually(t, "the service is there", func() bool { return v.Load().Farm(name) != nil })
	}
	written := func(n *storetest.Redis) (found []string) {
		found = append(found, strings.Fields(n.Do("KEYS", "*lrn:answers"))...)
		return found
	}
	storetest.Eventually(t, "answers of all shards are written", func() bool {
		var out []store.Shared
		for _, name := range services {
			out = append(out, store.Shared{Service: name, Answers: []byte("ours"), At: v.Now()})
		}
		v.Exchange(out)
		n := 0
		for _, node := range cluster.Nodes {
			n += len(written(node))
		}
		return n == len(shards)
	})
	var kept *storetest.Redis
	for _, node := range cluster.Nodes {
		if slices.Contains(written(node), answersKey) {
			kept = node
		}
	}
	for _, node := range cluster.Nodes {
		if node != kept {
			node.Stop()
			defer node.Cont()
			break
		}
	}
	setFields(t, kept, answersKey, "other-1", toldAnswers(redisNow(kept), www, "theirs"))
	answersHeard(t, v, "theirs")
}

// Whatever stands there, it is ignored, counted once, and not repeated.
func TestExchangeAnswersGarbage(t *testing.T) {
	r := storetest.Start(t)
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	const secret = "do-not-repeat-this"
	for name, value := range map[string]string{
		"empty": "", "json": `{"at":1}`, "version-2": "\x02" + secret,
		"cut":   toldAnswers(redisNow(r), www, secret)[:30],
		"shard": toldAnswers(redisNow(r), "s.example.org.", secret),
		"large": strings.Repeat(secret, 4000),
	} {
		setFields(t, r, answersKey, name, value)
	}
	s, v := sharers(t, r.URL)
	rejected := func() (n uint64) {
		for _, k := range s.Status().Rejected {
			n += k
		}
		return n
	}
	storetest.Eventually(t, "all of it is counted", func() bool {
		v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
		return rejected() == 6
	})
	setFields(t, r, answersKey, "other-1", toldAnswers(redisNow(r), www, "good"), "json", `{"at":1}`)
	answersHeard(t, v, "good")
	if n := rejected(); n != 6 {
		t.Errorf("%d rejections, want each value counted once", n)
	}
	for _, j := range s.Status().Rejects {
		if !strings.HasPrefix(j.Key, "answers "+answersKey[len("farm:{"):len("farm:{00")]) || strings.Contains(j.Key+j.Detail, secret) {
			t.Errorf("rejected %+v", j)
		}
	}
	storetest.Eventually(t, "those that nobody can read are deleted", func() bool {
		v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
		return !strings.Contains(r.Do("HVALS", answersKey), secret)
	})
	r.Do("DEL", answersKey)
	r.Do("SET", answersKey, "no hash")
	storetest.Eventually(t, "a key that is no hash is counted", func() bool { v.Exchange(nil); return rejected() == 7 })
}

// A database that is gone or hangs holds nobody up, and when it is back replicas hear each other again.
func TestExchangeAnswersOverAFault(t *testing.T) {
	for name, fault := range map[string]func(r *storetest.Redis) (end func()){
		"killed":  func(r *storetest.Redis) func() { r.Kill(); return r.Restart },
		"hung":    func(r *storetest.Redis) func() { r.Stop(); return r.Cont },
		"flushed": func(r *storetest.Redis) func() { r.Do("FLUSHALL"); return func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			r := storetest.Start(t)
			c := dial(t, r.URL)
			put(t, c, www, server("a", "192.0.2.1"))
			_, v := sharers(t, r.URL)
			storetest.Eventually(t, "the service is there", func() bool { return v.Load().Farm(www) != nil })
			setFields(t, r, answersKey, "other-1", toldAnswers(redisNow(r), www, "before"))
			answersHeard(t, v, "before")
			end := fault(r)
			began := time.Now()
			for range 100 {
				v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
			}
			if d := time.Since(began); d > time.Second {
				t.Errorf("a hundred exchanges took %v", d)
			}
			end()
			if v.Load().Farm(www) == nil {
				t.Error("the service is gone")
			}
			storetest.Eventually(t, "answers are heard again", func() bool {
				setFields(t, r, answersKey, "other-1", toldAnswers(redisNow(r), www, "after"))
				for _, s := range v.Exchange(nil) {
					if string(s.Answers) == "after" {
						return true
					}
				}
				return false
			})
		})
	}
}

// A replica that may not write hears the others.
func TestExchangeAnswersReadOnly(t *testing.T) {
	r := storetest.StartWithUsers(t, "user reader on >secret resetchannels -@all +hello +auth +ping +select +command "+
		"+multi +exec +time +hmget +hscan +xrevrange +xread %R~farm:{*")
	put(t, dial(t, r.URL), www, server("a", "192.0.2.1"))
	_, v := sharers(t, r.As("reader", "secret"))
	storetest.Eventually(t, "the service is there", func() bool { return v.Load().Farm(www) != nil })
	v.Exchange([]store.Shared{{Service: www, Answers: []byte("ours"), At: v.Now()}})
	setFields(t, r, answersKey, "other-1", toldAnswers(redisNow(r), www, "theirs"))
	answersHeard(t, v, "theirs")
	if strings.Contains(r.Do("HVALS", answersKey), "ours") {
		t.Error("a replica that may not write has written")
	}
}
