package test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// victim is a services database that something happens to.
type victim struct {
	*storetest.Redis
	url   string // where CoreDNS reads it
	agent string // where agents write to it
	keys  []string
	hurry func(delay time.Duration) // sets the delay of the way to it, if there is one
	cut   func(octets int64)        // has every way to it end after so many octets, if it can; 0 is never
	shift func(by time.Duration)    // sets its clock off, if it has one of its own
	certs string                    // the folder of its certificates, if it has some
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
