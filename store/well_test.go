package store

import (
	"fmt"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// backAgo returns for how many seconds a server is well again; -1 is always.
func (w *world) backAgo(id string) int64 {
	w.t.Helper()
	in, _, _ := w.board.input(w.r, svc, w.now, nil)
	for _, m := range in.Members {
		if m.Server.ID == id && m.Back > 0 {
			return (w.now - m.Back) / 1000
		}
	}
	return -1
}

// wellReport is a report that says since how many seconds the server is well again.
func (w *world) wellReport(id string, ago int64, more string) record {
	return record{kindReport, svc, id, fmt.Sprintf(`{"lease":3600%s,"well":%d,"at":%d}`, more, w.redis()-1000*ago, w.redis())}
}

func TestSinceWhenAServerIsWell(t *testing.T) {
	const down = `,"health":"down"`
	ready := func(w *world) record {
		return record{kindAdmin, svc, "a", fmt.Sprintf(`{"state":"ready","since":%d,"by":"operator"}`, w.redis())}
	}
	outage := func(w *world) {
		w.follow(w.report("a", 3600, down))
		w.pass(30_000)
		w.follow(w.wellReport("a", 0, ""))
		w.pass(20_000)
	}
	probed := func(w *world, says ...string) {
		for i, s := range says {
			w.follow(w.report(fmt.Sprintf("a@p%d", i), 3600, s))
		}
		w.pass(10_000)
	}
	for _, tt := range []struct {
		name  string
		steps func(w *world) *world
		want  int64
	}{
		{"always", func(w *world) *world { return w }, -1},
		{"it was down", func(w *world) *world { outage(w); return w }, 20},
		{"it goes on", func(w *world) *world { outage(w); w.follow(w.wellReport("a", 20, "")); return w }, 20},
		{"a writer that does not know of it", func(w *world) *world {
			w.follow(w.report("a", 3600, down))
			w.follow(w.report("a", 3600, ""))
			w.pass(5000)
			w.follow(w.report("a", 3600, ""))
			return w
		}, 5},
		{"it was silent", func(w *world) *world {
			w.follow(w.report("a", 5, ""))
			w.pass(60_000)
			w.follow(w.wellReport("a", 0, ""))
			w.pass(7000)
			return w
		}, 7},
		{"it had left", func(w *world) *world {
			w.follow(w.left("a", LeftStopped))
			w.pass(60_000)
			w.follow(serverRec("a"), w.wellReport("a", 0, ""))
			w.pass(7000)
			return w
		}, 7},
		{"everybody had been silent", func(w *world) *world {
			w.follow(w.report("a", 5, ""), w.report("z", 5, ""))
			w.pass(60_000)
			w.follow(w.wellReport("a", 0, ""))
			return w
		}, -1},
		{"it was down, and CoreDNS restarts from its state file", func(w *world) *world { outage(w); return restart(w) }, 20},
		{"the same, and reads the database", func(w *world) *world {
			outage(w)
			next := restart(w)
			next.load(serverRec("a"), next.wellReport("a", 20, ""), serverRec("z"), next.report("z", 3600, ""))
			return next
		}, 20},
		{"it was down, and CoreDNS restarts without a state file", func(w *world) *world {
			next := newWorld(w.t)
			next.board = w.board
			next.load(serverRec("a"), next.wellReport("a", 20, ""), serverRec("z"), next.report("z", 3600, ""))
			return next
		}, 20},
		{"it was down, and the database is flushed", func(w *world) *world {
			outage(w)
			w.flush()
			w.follow(serverRec("a"), w.report("a", 3600, ""))
			return w
		}, 20},
		{"an operator has it ready", func(w *world) *world { outage(w); w.follow(ready(w)); return w }, -1},
		{"an operator had it ready before it was down", func(w *world) *world { w.follow(ready(w)); w.pass(1000); outage(w); return w }, 20},
		{"an operator has it ready, and CoreDNS restarts", func(w *world) *world {
			outage(w)
			rec := ready(w)
			w.follow(rec)
			w.pass(5000)
			next := newWorld(w.t)
			next.board, next.now = w.board, w.now
			next.load(serverRec("a"), rec, next.wellReport("a", 25, ""), serverRec("z"), next.report("z", 3600, ""))
			return next
		}, -1},
		{"an operator has it ready, and CoreDNS restarts from its state file", func(w *world) *world {
			outage(w)
			w.follow(ready(w))
			w.pass(5000)
			return restart(w)
		}, -1},
		{"a prober saw it down", func(w *world) *world { probed(w, down); probed(w, ""); return w }, 10},
		{"one of three probers saw it down", func(w *world) *world { probed(w, down, "", ""); probed(w, "", "", ""); return w }, -1},
		{"two of three probers saw it down", func(w *world) *world { probed(w, down, down, ""); probed(w, "", "", ""); return w }, 10},
		{"two of three saw it down, and one still does", func(w *world) *world { probed(w, down, down, ""); probed(w, "", down, ""); return w }, 10},
		{"the prober that saw it down is gone", func(w *world) *world {
			w.follow(w.report("a@p", 5, down))
			w.pass(12_000)
			return w
		}, 7},
		{"a prober was away", func(w *world) *world {
			w.follow(w.report("a@p", 5, ""))
			w.pass(60_000)
			w.follow(w.report("a@p", 5, ""))
			return w
		}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.board = newBoard(Base{Servers: map[string][]steer.Server{svc: {{ID: "a"}, {ID: "z"}}}})
			w.load(serverRec("a"), serverRec("z"), w.report("a", 3600, ""), w.report("z", 3600, ""))
			w.pass(1000)
			if got := tt.steps(w).backAgo("a"); got != tt.want {
				t.Errorf("well again for %d s, want %d", got, tt.want)
			}
		})
	}
}
