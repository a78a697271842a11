package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// left is what the scripts write of a server that leaves.
func (w *world) left(id, how string) record {
	return record{kindAdmin, svc, id, fmt.Sprintf(`{"state":"maint","since":%d,"by":"agent","left":%q,"left_at":%d}`, w.redis(), how, w.redis())}
}

// flush puts an empty database in the place of the one that was read.
func (w *world) flush() {
	w.epoch++
	w.rev = 0
	w.load()
}

// newCorefileWorld has a and z in the Corefile. Agents of both have reported; that of z is heard for an hour.
func newCorefileWorld(t *testing.T) *world {
	w := newWorld(t)
	w.board = newBoard(Base{Servers: map[string][]steer.Server{svc: {{ID: "a"}, {ID: "z"}}}})
	w.rev = 10
	w.load(serverRec("a"), serverRec("z"), w.report("a", 10, ""), w.report("z", 3600, ""))
	w.want("a:open z:open")
	w.pass(1000)
	return w
}

// A server of the Corefile for which an agent has spoken is in service while somebody says so.
func TestServerOfTheCorefileThatLeft(t *testing.T) {
	stop := func(w *world) *world { w.follow(w.left("a", LeftStopped)); w.pass(1000); return w }
	ready := record{kindAdmin, svc, "a", `{"state":"ready","since":2000000000,"by":"operator"}`}
	for _, tt := range []struct {
		name  string
		steps func(w *world) *world
		want  string // of a
	}{
		{"stopped", stop, "left"},
		{"stopped, and read anew", func(w *world) *world {
			w.follow(w.left("a", LeftStopped))
			rec := w.left("a", LeftStopped)
			w.load(serverRec("z"), rec)
			return w
		}, "left"},
		{"stopped and flushed", func(w *world) *world { stop(w).flush(); w.pass(600_000); return w }, "left"},
		{"stopped, flushed, and others are back for an hour", func(w *world) *world {
			stop(w).flush()
			for range 60 {
				w.follow(serverRec("z"), w.report("z", 100, ""))
				w.pass(60_000)
				w.r.dropOrphans(w.now)
			}
			return w
		}, "left"},
		{"stopped, restarted from the state file", func(w *world) *world { return restart(stop(w)) }, "left"},
		{"stopped, flushed, restarted from the state file, flushed database read", func(w *world) *world {
			stop(w).flush()
			next := restart(w)
			next.load()
			return next
		}, "left"},
		{"stopped, restarted without a state file", func(w *world) *world {
			next := newWorld(w.t)
			next.board = w.board
			next.load(serverRec("z"), w.report("z", 3600, ""), w.left("a", LeftStopped))
			return next
		}, "left"},
		{"stopped, and an older copy of the database takes over", func(w *world) *world {
			old := w.report("a", 10, "")
			w.pass(1000)
			stop(w)
			w.rev = 5
			w.load(serverRec("a"), old, serverRec("z"), w.report("z", 3600, ""))
			return w
		}, "left"},
		{"stopped while a prober says that it is up", func(w *world) *world {
			w.follow(w.report("a@p", 100, ""), w.left("a", LeftStopped))
			return w
		}, "left"},
		{"registered again, but not heard yet", func(w *world) *world { stop(w).follow(serverRec("a")); return w }, "left"},
		{"crashed", func(w *world) *world { w.pass(10_000); return w }, "silent"},
		{"crashed and swept", func(w *world) *world { w.pass(10_000); w.follow(w.left("a", LeftSwept)); return w }, "left"},
		{"crashed and swept by an older script", func(w *world) *world {
			w.pass(10_000)
			w.follow(record{kind: kindReport, svc: svc, id: "a"})
			return w
		}, "left"},
		{"crashed, and the database flushed", func(w *world) *world {
			w.pass(10_000)
			w.flush()
			w.follow(serverRec("z"), w.report("z", 3600, ""))
			w.pass(orphanage)
			w.r.dropOrphans(w.now)
			return w
		}, "silent"},
		{"crashed, flushed, and others are back for long", func(w *world) *world {
			w.pass(10_000)
			w.flush()
			w.follow(serverRec("z"), w.report("z", 3600, ""))
			w.pass(orphanage + 1000)
			w.r.dropOrphans(w.now)
			w.load(serverRec("z"), w.report("z", 3600, "")) // a self-check of the new database
			return w
		}, "left"},
		{"crashed while it drained", func(w *world) *world {
			w.follow(w.admin("a", "drain"))
			w.pass(10_000)
			return w
		}, "silent"},
		{"left, in maint", func(w *world) *world {
			w.follow(record{kindAdmin, svc, "a", fmt.Sprintf(`{"state":"maint","since":%d,"by":"operator","left":"stopped","left_at":%d}`, w.redis(), w.redis())})
			return w
		}, "maint"},
		{"reported again", func(w *world) *world { stop(w).follow(serverRec("a"), w.report("a", 10, "")); return w }, "open"},
		{"reported again after a flush", func(w *world) *world {
			stop(w).flush()
			w.follow(serverRec("a"), w.report("a", 10, ""))
			return w
		}, "open"},
		{"reported on by hand", func(w *world) *world { stop(w).follow(w.report("a", 10, "")); return w }, "open"},
		{"an operator wants it ready", func(w *world) *world { stop(w).follow(ready); return w }, "open"},
		{"an operator wants it ready after a flush", func(w *world) *world {
			stop(w).flush()
			w.follow(ready)
			return w
		}, "open"},
		{"an operator deletes what is known of it", func(w *world) *world {
			stop(w).follow(record{kind: kindServer, svc: svc, id: "a"})
			return w
		}, "open"},
		{"an operator deletes what is known of the service", func(w *world) *world {
			stop(w).follow(record{kind: kindService, svc: svc})
			return w
		}, "open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.steps(newCorefileWorld(t))
			if got, want := w.gateOf("a"), tt.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// restart is the world after a restart of CoreDNS from its state file.
func restart(w *world) *world {
	next := w.restored(w.saved())
	next.board = w.board
	return next
}

func (w *world) gateOf(id string) string {
	in, _, ok := w.board.input(w.r, svc, w.now, nil)
	if !ok {
		return "no service"
	}
	f := steer.Build(in)
	if i := f.ByID(id); i >= 0 {
		return f.State[i].Gate.String()
	}
	return "no server"
}

// A server that comes back starts slowly, though the Corefile knew it all the time.
func TestServerThatLeftComesBackSlowly(t *testing.T) {
	w := newCorefileWorld(t)
	w.follow(w.left("a", LeftStopped))
	w.pass(60_000)
	w.follow(serverRec("a"), w.report("a", 10, ""), record{kind: kindAdmin, svc: svc, id: "a"})
	if got := w.ramp("a"); got >= 0.2 {
		t.Errorf("ramp %v, want that it starts slowly", got)
	}
}

// A server that only its agent registered just goes; one that an operator registered stays, and is given to nobody.
func TestServerOfTheDatabaseThatLeft(t *testing.T) {
	w := newWorld(t)
	operators := record{kindServer, svc, "op", `{"addresses":["192.0.2.9"]}`}
	w.load(serverRec("a"), serverRec("b"), operators, w.report("a", 10, ""), w.report("b", 10, ""), w.report("op", 10, ""))
	w.follow(w.left("a", LeftStopped), w.left("op", LeftStopped))
	w.want("b:open op:left")
	restart(w).want("b:open op:left")
	w.follow(serverRec("a"), w.report("a", 10, ""), w.report("op", 10, ""))
	w.want("a:open b:open op:open")
}

// What an operator said of a server outlives that it leaves and comes back.
func TestOperatorsWordOutlivesTheAgent(t *testing.T) {
	w := newCorefileWorld(t)
	state := func(left string) record {
		return record{kindAdmin, svc, "a", fmt.Sprintf(`{"state":"drain","since":%d,"by":"operator"%s}`, w.redis()-60_000, left)}
	}
	w.follow(w.report("a", 3600, ""), state(""))
	w.pass(31_000)
	w.want("a:drained z:open")
	w.follow(state(fmt.Sprintf(`,"left":"stopped","left_at":%d`, w.redis())))
	w.want("a:left z:open")
	w.follow(serverRec("a"), w.report("a", 3600, ""), state(""))
	w.pass(31_000)
	w.want("a:drained z:open")
}

// Where somebody else answers (rewrite), a server that left is still known by its addresses, so that they are left out.
func TestAddressesOfAServerThatLeft(t *testing.T) {
	w := newWorld(t)
	w.board = newBoard(Base{Indexed: true})
	at := func(id, addr string) record {
		return record{kindServer, svc, id, fmt.Sprintf(`{"addresses":[%q],"by":"agent"}`, addr)}
	}
	gone := w.left("a", LeftStopped)
	gone.data = strings.TrimSuffix(gone.data, "}") + `,"addresses":["192.0.2.1"]}`
	w.load(at("a", "192.0.2.1"), at("b", "192.0.2.2"), w.report("a", 10, ""), w.report("b", 3600, ""))
	w.follow(gone)
	w.want("a:left b:open")
	restart(w).want("a:left b:open")
	w.flush()
	w.want("a:left b:open")
	w.follow(at("c", "192.0.2.1"), w.report("c", 3600, ""))
	w.want("b:open c:open") // the address is another's by now
	w.follow(record{kind: kindServer, svc: svc, id: "c"}, record{kind: kindServer, svc: svc, id: "b"})
	w.want("a:left") // nobody else is left, and the service is still known
	w.follow(at("a", "192.0.2.1"), w.report("a", 10, ""))
	w.want("a:open")
}

// The Corefile is edited: a server goes from it, and comes back.
func TestServerThatLeftGoesFromTheCorefile(t *testing.T) {
	w := newCorefileWorld(t)
	both := w.board
	w.follow(w.left("a", LeftStopped))
	w.board = newBoard(Base{Servers: map[string][]steer.Server{svc: {{ID: "z"}}}})
	w.want("z:open")
	w.board = both
	w.want("a:left z:open")
}

// What is remembered of servers that the database has lost is bounded.
func TestServersThatLeftAreForgotten(t *testing.T) {
	w := newWorld(t)
	const many = maxLeft + 50
	w.load()
	for i := range many {
		w.follow(serverRec(fmt.Sprintf("s%04d", i)), w.report(fmt.Sprintf("s%04d", i), 1, ""))
		w.now++
	}
	w.follow(serverRec("z"), w.report("z", 3600, ""))
	w.pass(2000)
	w.flush()
	w.follow(serverRec("z"), w.report("z", 3600, ""))
	w.pass(orphanage + 1000)
	w.r.dropOrphans(w.now)
	s := w.r.shards[Shard(svc)].services[svc]
	if n := len(s.servers); n != maxLeft+1 {
		t.Errorf("%d servers are known, want %d that left, and one", n, maxLeft)
	}
	if s.servers["s0049"] != nil || s.servers["s0050"] == nil {
		t.Error("want those to be forgotten that were heard last the longest ago")
	}
}
