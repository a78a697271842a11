package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

// checkReplica checks that decisions can be made from whatever was taken.
func checkReplica(t *testing.T, r *replica, now int64) {
	t.Helper()
	g := newBoard(Base{Indexed: true})
	for _, name := range g.names(r) {
		in, _, ok := g.input(r, name, now, nil)
		if !ok {
			t.Fatalf("service %q is named and is not there", name)
		}
		f := steer.Build(in)
		for i := range f.State {
			if w := f.State[i].Weight; !(w >= 0 && w <= 1e18) {
				t.Fatalf("weight %v", w)
			}
		}
		if p := steer.Decide(f, &steer.Query{Family: steer.AnyFamily, Chance: 1 << 60}); int(p.N) > len(f.Servers) {
			t.Fatalf("%d of %d servers", p.N, len(f.Servers))
		}
	}
	r.endGrants(now)
	for _, sh := range r.shards {
		for name, s := range sh.services {
			if s.held == nil {
				continue
			}
			for client := range s.held.holders {
				if g := r.grantOf(holder{name, client}); CheckGrant(g) != nil || g.State.Live() && g.End <= now {
					t.Fatalf("grant %+v", g)
				}
			}
		}
	}
	if len(r.counts.recent) > maxRejects {
		t.Fatalf("%d rejects", len(r.counts.recent))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(kindServer, svc, "a", `{"addresses":["192.0.2.1","2001:db8::1"],"port":80,"weight":2,"capacity":100,"region":"eu","by":"agent"}`)
	f.Add(kindServer, svc, "a", `{"target":"x.example.net."}`)
	f.Add(kindAdmin, svc, "a", `{"state":"maint","since":1795363200000,"by":"agent","left":"stopped","left_at":1795363200000,"addresses":["192.0.2.1"]}`)
	f.Add(kindService, svc, "", `{"policy":"sticky","answers":2,"ttl":5,"max_ttl":9,"soft":0.5,"hard":1,"slow_start":1,"drain":1,"failback":-1,"fallback":["x."],"alpn":["h2"]}`)
	f.Add(kindService, svc, "", `{"implied":true}`)
	f.Add(kindAdmin, svc, "a", `{"state":"maint","since":1795363200000,"by":"operator"}`)
	f.Add(kindReport, svc, "a", `{"utilization":0.5,"cpu":0.1,"rps":10,"eps":0,"in_flight":3,"latency":0.01,"health":"degraded","lease":5,"agent":"x","seq":1,"at":1795363200000}`)
	f.Add(kindReport, svc, "a@p", `{"lease":5,"health":"down","at":1,"at":1795363200000}`)
	const grant = "0123456789abcdef0123456789abcdef"
	f.Add(kindGrant, svc, grant, `{"id":"`+grant+`","client":"0123456789abcdef","server":"a","asked":"gold","level":"silver","unit":1000000,`+
		`"network":true,"duration":300,"lower":[{"level":"tin","duration":60}],"state":"granted_lower","client_addr":"192.0.2.7",`+
		`"start":1795363200000,"end":1795363500000,"version":3,"at":1795363200000}`)
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, kind, name, id, data string) {
		r := newReplica()
		sh := r.shards[Shard(name)]
		for _, first := range []bool{true, false} {
			m := moment{now: 10_000, life: lifeStart, redis: 1795363200000, first: first}
			r.apply(sh, Shard(name), record{kindServer, svc, "a", `{"addresses":["192.0.2.9"]}`}, false, m)
			r.apply(sh, Shard(name), record{kind, name, id, data}, false, m)
			checkReplica(t, r, 10_000)
		}
		r.apply(sh, Shard(name), record{kind, name, id, data}, true, moment{now: 20_000, life: lifeStart})
		checkReplica(t, r, 20_000)
	})
}

// FuzzEntitled: what is taken for a key or a handle can be used as one, and is what a writer would have written.
func FuzzEntitled(f *testing.F) {
	const id = "0123456789abcdef0123456789abcdef"
	f.Add("7", `{"secret":"a2tra2tra2tra2tra2tra2tra2tra2tra2s=","from":1,"until":2}`)
	f.Add("256", `{"secret":""}`)
	f.Add(id, `{"client":"0123456789abcdef","rank":3,"service":".","expires":1795363200000,"bearer":true,"phone":"+491701234567"}`)
	f.Add(id, `{"client":"0123456789abcdef","rank":3,"service":"www.","expires":1,"address":"2001:db8::1","revoked":true,"note":"x"}`)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, id, data string) {
		var lines []stateLine
		if k, err := decodeKey(id, data); err == nil {
			lines = append(lines, stateLine{Kind: kindKey, ID: id, Data: json.RawMessage(data)})
			if _, err := qos.NewKeyring([]qos.Key{k}); err != nil {
				t.Error(err)
			}
		}
		h, rec, err := decodeHandle(id, data)
		if err == nil {
			lines = append(lines, stateLine{Kind: kindHandle, ID: id, Data: json.RawMessage(data)})
			if err := rec.Check(); err != nil {
				t.Error(err)
			}
		}
		var e Entitlements
		e.restore(append(lines, entitledLine{1, 2}.line()), 1)
		if keys, handles := e.count(); keys+handles != len(lines) {
			t.Errorf("%d keys and %d handles of %d", keys, handles, len(lines))
		}
		if got := e.Handle(h); got != nil && *got != rec {
			t.Errorf("got %+v, want %+v", *got, rec)
		}
	})
}

// FuzzQueue: entries of a queue name a service of their shard, or nothing.
func FuzzQueue(f *testing.F) {
	f.Add(svc, "0123456789abcdef0123456789abcdef")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, service, id string) {
		m := redis.XMessage{Values: map[string]any{"svc": service, "id": id}}
		got, of, ok := entryOf(m, Shard(svc))
		if ok && (CheckServiceName(got) != nil || Shard(got) != Shard(svc) || !strings.EqualFold(of.String(), id)) {
			t.Errorf("got %q, %s", got, of)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add("1", "1", "set", kindReport, svc, "a", `{"lease":5,"at":1795363200000}`)
	f.Add("1", "2", "del", kindServer, svc, "a", "")
	f.Add("x", "-1", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, e, rev, op, kind, name, id, data string) {
		got, err := parseEntry(map[string]any{"e": e, "r": rev, "op": op, "kind": kind, "svc": name, "id": id, "data": data})
		if err != nil {
			return
		}
		r := newReplica()
		_ = r.follow(Shard(svc), []entry{got}, 10_000)
		checkReplica(t, r, 10_000)
	})
}

func FuzzPlace(f *testing.F) {
	f.Add("1", "2")
	f.Add("", "x")
	f.Fuzz(func(t *testing.T, epoch, rev string) {
		if e, _, err := placeOf([]any{epoch, rev}); err == nil && e == 0 {
			t.Error("epoch 0")
		}
	})
}

// FuzzFlat: what the quick reader takes, encoding/json takes in the same way.
func FuzzFlat(f *testing.F) {
	f.Add(`{"utilization":0.5,"cpu":0.1,"mem":0,"rps":10,"eps":1.25,"in_flight":3,"latency":0.01,"health":"degraded","reason":"é","lease":5,"agent":"x","seq":1,"at":1795363200000}`)
	f.Add(` { "lease" : 5 , "lease" : 6 } `)
	f.Add(`{"lease":05}`)
	f.Add(`{"lease":5.}`)
	f.Add(`{"lease":1e3}`)
	f.Add(`{"lease":-0}`)
	f.Add(`{"seq":1.0}`)
	f.Add(`{"at":18446744073709551616}`)
	f.Add(`{"reason":"\u0041"}`)
	f.Add(`{"Lease":5}`)
	f.Add(`{}`)
	f.Fuzz(func(t *testing.T, text string) {
		var quick, slow Report
		if !utf8.ValidString(text) || len(text) > maxRecord || !flatReport(text, &quick) {
			return
		}
		if err := json.Unmarshal([]byte(text), &slow); err != nil {
			t.Fatalf("%q is taken, and encoding/json says %s", text, err)
		}
		if !reflect.DeepEqual(quick, slow) {
			t.Fatalf("%q is read as %+v, want %+v", text, quick, slow)
		}
	})
}
