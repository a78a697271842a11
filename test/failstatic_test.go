package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// victim is a services database that something happens to.
type victim struct {
	*storetest.Redis
	url   string // where CoreDNS reads it
	agent string // where agents write to it
	keys  []string
	hurry func(delay time.Duration) // sets the delay of the way to it, if there is one
}

// fault is something that happens to the database, and how it ends.
type fault struct {
	name   string
	start  func(t *testing.T) *victim // nil: a plain Redis
	strike func(t *testing.T, v *victim)
	mend   func(t *testing.T, v *victim) // nil: it is over by itself
	cuts   bool                          // whether the replica must notice that it is cut off
	heard  bool                          // whether what is reported meanwhile still changes answers
}

var faults = []fault{
	{
		name: "killed, restarted with its data",
		start: func(t *testing.T) *victim {
			return plain(storetest.Start(t, "--appendonly", "yes", "--appendfsync", "always"))
		},
		strike: func(_ *testing.T, v *victim) { v.Kill() },
		mend:   func(_ *testing.T, v *victim) { v.Restart() },
		cuts:   true,
	},
	{
		name:   "killed, restarted empty",
		strike: func(_ *testing.T, v *victim) { v.Kill() },
		mend:   func(_ *testing.T, v *victim) { v.Restart() },
		cuts:   true,
	},
	{
		name:   "flushed",
		strike: func(_ *testing.T, v *victim) { v.Do("FLUSHALL") },
	},
	{
		name: "failed over",
		start: func(t *testing.T) *victim {
			s := storetest.StartSentinel(t)
			return &victim{Redis: s.Nodes[0], url: s.URL, agent: s.URL}
		},
		strike: func(_ *testing.T, v *victim) { v.Do("WAIT", "1", "5000"); v.Kill() },
		cuts:   true,
	},
	{
		name:   "partitioned",
		strike: func(_ *testing.T, v *victim) { v.Stop() },
		mend:   func(_ *testing.T, v *victim) { v.Cont() },
		cuts:   true,
	},
	{
		name:   "slow",
		start:  behindProxy,
		strike: func(_ *testing.T, v *victim) { v.hurry(700 * time.Millisecond) },
		mend:   func(_ *testing.T, v *victim) { v.hurry(0) },
		heard:  true,
	},
	{
		name:   "so slow that it is no use",
		start:  behindProxy,
		strike: func(_ *testing.T, v *victim) { v.hurry(time.Hour) },
		mend:   func(_ *testing.T, v *victim) { v.hurry(0) },
		cuts:   true,
	},
	{
		name: "keys of wrong types",
		strike: func(_ *testing.T, v *victim) {
			v.Do(append([]string{"DEL"}, v.keys...)...)
			for _, key := range v.keys {
				v.Do("SET", key, "not what it should be")
			}
			// What a replica may ask for is now an error whatever it is.
			v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		},
		mend: func(_ *testing.T, v *victim) { v.Do(append([]string{"DEL"}, v.keys...)...) },
		cuts: true,
	},
	{
		name: "broken records",
		strike: func(_ *testing.T, v *victim) {
			for i, text := range []string{"{", "null", "[]", `{"addresses":["no address"]}`, `{"weight":-1}`, "\xff\xfe", `{"port":1e99}`} {
				for _, key := range v.keys[2:] {
					v.Do("HSET", key, fmt.Sprintf("bad%d", i), text)
					v.Do("HSET", key, strings.Repeat("x", 300), text)
				}
				v.append(fmt.Sprintf("bad%d", i), text)
			}
			// Everything is read anew, and every bad record met.
			v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		},
		heard: true,
	},
	{
		name: "huge values",
		strike: func(t *testing.T, v *victim) {
			huge := `{"reason":"` + strings.Repeat("x", 4<<20) + `"}`
			for _, key := range v.keys[2:] {
				v.pipe(t, "-x", "HSET", key, "huge")(huge)
			}
			v.pipe(t, "-x", "XADD", v.keys[1], "*", "e", "1", "r", "1", "op", "set", "kind", "server", "svc", service, "id", "huge", "data")(huge)
			v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		},
		heard: true,
	},
	{
		name: "garbage in the stream",
		strike: func(_ *testing.T, v *victim) {
			v.Do("XADD", v.keys[1], "*", "no", "such", "field", "at", "all", "!")
			v.Do("XADD", v.keys[1], "*", "e", "NaN", "r", "-1", "op", "explode", "kind", "", "svc", "", "id", "", "data", "")
			v.Do("DEL", v.keys[1])
			v.Do("XADD", v.keys[1], "18446744073709551615-1", "e", "1", "r", "1", "op", "del", "kind", "service", "svc", service, "id", "", "data", "")
		},
		mend: func(_ *testing.T, v *victim) { v.Do(append([]string{"DEL"}, v.keys...)...) },
	},
	{
		name:  "rights revoked",
		start: withReader,
		strike: func(_ *testing.T, v *victim) {
			v.Do("ACL", "SETUSER", "reader", "off")
			v.Do("CLIENT", "KILL", "USER", "reader")
		},
		mend: func(_ *testing.T, v *victim) { v.Do("ACL", "SETUSER", "reader", "on") },
		cuts: true,
	},
	{
		name:   "rights to the keys revoked",
		start:  withReader,
		strike: func(_ *testing.T, v *victim) { v.Do("ACL", "SETUSER", "reader", "resetkeys", "~nothing") },
		mend:   func(_ *testing.T, v *victim) { v.Do("ACL", "SETUSER", "reader", "resetkeys", "~farm:*") },
		cuts:   true,
	},
	{
		name: "a replica that may not be written",
		strike: func(t *testing.T, v *victim) {
			v.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(freePort(t)))
		},
		mend: func(_ *testing.T, v *victim) { v.Do("REPLICAOF", "NO", "ONE") },
	},
	{
		name: "a replica that will not serve old data",
		strike: func(t *testing.T, v *victim) {
			v.Do("CONFIG", "SET", "replica-serve-stale-data", "no")
			v.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(freePort(t)))
		},
		mend: func(_ *testing.T, v *victim) { v.Do("REPLICAOF", "NO", "ONE") },
		cuts: true,
	},
	{
		name:   "out of memory",
		strike: func(_ *testing.T, v *victim) { v.Do("CONFIG", "SET", "maxmemory", "1") },
		mend:   func(_ *testing.T, v *victim) { v.Do("CONFIG", "SET", "maxmemory", "0") },
	},
}

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

func plain(r *storetest.Redis) *victim {
	return &victim{Redis: r, url: r.URL, agent: r.URL}
}

// withReader is a Redis at which CoreDNS has a name of its own.
func withReader(t *testing.T) *victim {
	r := storetest.StartWithUsers(t, "user reader on >secret ~farm:* +@all")
	return &victim{Redis: r, url: r.As("reader", "secret"), agent: r.URL}
}

// append writes an entry to the stream under the next revision, as the scripts do.
func (v *victim) append(id, data string) {
	rev := v.Do("HINCRBY", v.keys[0], "rev", "1")
	v.Do("XADD", v.keys[1], "*", "e", v.Do("HGET", v.keys[0], "epoch"), "r", rev, "op", "set", "kind", "server",
		"svc", service, "id", id, "data", data)
}

// pipe returns what feeds a command its last argument.
func (v *victim) pipe(t *testing.T, args ...string) func(text string) {
	return func(text string) {
		t.Helper()
		cmd := exec.Command("redis-cli", append(v.CLI(), args...)...)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "ERR") {
			t.Fatalf("redis-cli %v: %v\n%.200s", args, err, out)
		}
	}
}

// behindProxy is a Redis that CoreDNS reaches by a way whose length can be set.
func behindProxy(t *testing.T) *victim {
	r := storetest.Start(t)
	l, err := net.Listen("tcp", local(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var delay atomic.Int64
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go forward(from, r.Addr, &delay)
		}
	}()
	return &victim{
		Redis: r, url: "redis://" + l.Addr().String(), agent: r.URL,
		hurry: func(d time.Duration) { delay.Store(int64(d)) },
	}
}

// forward carries one connection. Each piece of a reply waits for the delay; one that came when the delay was longer
// goes on as soon as it is shorter.
func forward(from net.Conn, addr string, delay *atomic.Int64) {
	defer from.Close()
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		io.Copy(to, from)
		to.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := to.Read(buf)
		for began := time.Now(); time.Since(began) < time.Duration(delay.Load()); time.Sleep(10 * time.Millisecond) {
		}
		if _, werr := from.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// stateCorefile has a service of its own beside those of the database.
const stateCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis REDIS
        state STATE
        service static.example.org {
            server web9 192.0.2.9
        }
    }
}
`

// TestStateFile restarts CoreDNS while the database is gone.
func TestStateFile(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
		db.report(service, id, 0.3)
	}
	db.down(service, "web3")
	state := filepath.Join(t.TempDir(), "farm.state")
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "STATE", state).Replace(stateCorefile))
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	// A copy that is not whole yet is not kept.
	c.says(": connected")
	c.stop()
	redis.Kill()

	c.again()
	// At once: with the first question after the start.
	if got := given(t, c.addr, service); !slices.Equal(got, []string{"192.0.2.1", "192.0.2.2"}) {
		t.Errorf("Expected the answers from before the restart, got %v", got)
	}
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	c.signal(syscall.SIGKILL)
	<-c.done

	t.Run("damaged", func(t *testing.T) {
		for _, damage := range []struct {
			name string
			do   func([]byte) []byte
		}{
			{"a bit", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
			{"cut short", func(b []byte) []byte { return b[:len(b)*2/3] }},
			{"empty", func([]byte) []byte { return nil }},
			{"something else", func([]byte) []byte { return []byte(strings.Repeat("no state at all\n", 1000)) }},
		} {
			t.Run(damage.name, func(t *testing.T) { refusesState(t, redis.URL, state, damage.do) })
		}
	})
	redis.Restart()
	db.service(service)
	db.server(service, "web1", "192.0.2.1")
	c.again()
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	db.server(service, "web5", "192.0.2.5")
	await(t, "what was written since", func() bool { return slices.Contains(given(t, c.addr, service), "192.0.2.5") })
}

// refusesState starts CoreDNS on a damaged copy of a state file.
func refusesState(t *testing.T, redis, state string, do func([]byte) []byte) {
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.state")
	if err := os.WriteFile(damaged, do(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis, "STATE", damaged).Replace(stateCorefile))
	c.says(damaged)
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	if got := given(t, c.addr, service); len(got) > 0 {
		t.Errorf("Expected nothing of a damaged file to be used, got %v", got)
	}
}
