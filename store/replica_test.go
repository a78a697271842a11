package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

const svc = "www.example.org."

// world is a replica that is fed by hand: now is ms, and Redis's clock is far from ours.
type world struct {
	t     *testing.T
	r     *replica
	now   int64
	epoch uint64
	rev   uint64
	board *board
}

const skew = 1_000_000_000 // Redis's clock minus ours, ms

func newWorld(t *testing.T) *world {
	w := &world{t: t, r: newReplica(), now: 1_000_000, epoch: 1, board: newBoard(Base{})}
	return w
}

func (w *world) redis() int64 { return w.now + skew }

// pass lets time pass while the database is heard.
func (w *world) pass(ms int64) {
	for ; ms > 0; ms -= min(ms, 1000) {
		w.now += min(ms, 1000)
		for _, sh := range w.r.shards {
			sh.clock.hear(w.now)
		}
	}
}

// cutOff lets time pass while it is not.
func (w *world) cutOff(ms int64) {
	for _, sh := range w.r.shards {
		sh.clock.silence(w.now)
	}
	w.now += ms
}

func serverRec(id string) record {
	return record{kindServer, svc, id, `{"addresses":["192.0.2.1"],"by":"agent"}`}
}

func (w *world) report(id string, lease int, more string) record {
	return record{kindReport, svc, id, fmt.Sprintf(`{"lease":%d%s,"at":%d}`, lease, more, w.redis())}
}

func (w *world) admin(id, state string) record {
	return record{kindAdmin, svc, id, fmt.Sprintf(`{"state":%q,"since":%d}`, state, w.redis())}
}

// load has the service's shard read, and all others if they were not.
func (w *world) load(records ...record) {
	for i := range Shards {
		if i == Shard(svc) {
			w.r.load(i, &dump{epoch: w.epoch, rev: w.rev, now: w.redis(), records: records}, w.now)
		} else if !w.r.shards[i].read {
			w.r.load(i, &dump{now: w.redis()}, w.now)
		}
	}
}

func (w *world) follow(records ...record) {
	w.t.Helper()
	for _, rec := range records {
		w.rev++
		e := entry{epoch: w.epoch, rev: w.rev, del: rec.data == "", record: rec}
		if err := w.r.follow(Shard(svc), []entry{e}, w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

// gates returns what the farm says of each server: "a:open b:silent".
func (w *world) gates() string {
	var out []string
	in, _, ok := w.board.input(w.r, svc, w.now, nil)
	if !ok {
		return "no service"
	}
	f := steer.Build(in)
	for i, s := range f.Servers {
		out = append(out, s.ID+":"+f.State[i].Gate.String())
	}
	return strings.Join(out, " ")
}

func (w *world) want(gates string) {
	w.t.Helper()
	if got := w.gates(); got != gates {
		w.t.Fatalf("got %q, want %q", got, gates)
	}
}

// ramp returns how far a server has come up.
func (w *world) ramp(id string) float64 {
	in, _, _ := w.board.input(w.r, svc, w.now, nil)
	f := steer.Build(in)
	return f.State[f.ByID(id)].Ramp
}

func TestLeaseRunsOut(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"), w.report("a", 10, ""))
	w.want("a:open b:open") // nobody reports on b
	w.pass(9_999)
	w.follow(w.report("b", 100, ""))
	w.want("a:open b:open")
	w.pass(1)
	w.want("a:silent b:open")
	w.follow(w.report("a", 10, ""))
	w.want("a:open b:open")
}

func TestLeaseStandsStillWhileCutOff(t *testing.T) {
	w := newWorld(t)
	old := w.report("a", 10, "")
	w.load(serverRec("a"), serverRec("b"), old, w.report("b", 100, ""))
	w.pass(5_000)
	w.cutOff(3_600_000)
	w.want("a:open b:open")
	w.load(serverRec("a"), serverRec("b"), old, w.report("b", 100, "")) // the same report of a
	w.want("a:open b:open")
	w.pass(4_999)
	w.want("a:open b:open")
	w.pass(1)
	w.want("a:silent b:open")
}

func TestOldReportsAreOldAtTheFirstRead(t *testing.T) {
	w := newWorld(t)
	old := w.report("a", 10, "")
	w.now += 60_000
	w.load(serverRec("a"), serverRec("b"), old, w.report("b", 10, ""))
	w.want("a:silent b:open")
}

func TestClockOfRedisJumps(t *testing.T) {
	for _, jump := range []int64{-3_600_000, 3_600_000} {
		w := newWorld(t)
		w.load(serverRec("a"), w.report("a", 10, ""))
		rec := record{kindReport, svc, "a", fmt.Sprintf(`{"lease":10,"at":%d}`, w.redis()+jump)}
		w.follow(rec)
		w.pass(9_999)
		w.want("a:open")
		w.load(serverRec("a"), rec)
		w.want("a:open")
		w.pass(1)
		w.want("a:silent")
	}
}

// Reports that piled up while this process was slow are as old as the newest of them makes them.
func TestReportsThatCameLate(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"))
	a := w.report("a", 10, "")
	w.pass(8_000)
	b := w.report("b", 10, "")
	entries := []entry{{epoch: 1, rev: 1, record: a}, {epoch: 1, rev: 2, record: b}}
	if err := w.r.follow(Shard(svc), entries, w.now); err != nil {
		t.Fatal(err)
	}
	w.pass(2_000)
	w.want("a:silent b:open")
}

func TestMassSilence(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"), serverRec("c"))
	w.follow(w.report("c", 10, ""))
	w.pass(9_000)
	w.follow(w.report("a", 10, ""), w.report("b", 10, ""))
	w.pass(6_000)
	w.follow(w.report("a", 10, ""))
	w.want("a:open b:open c:silent")
	w.pass(60_000)
	w.want("a:silent b:silent c:silent")
	w.follow(w.report("a", 10, ""))
	w.want("a:open b:open c:silent") // b was alive when the silence began, c was not
	if got := w.ramp("a"); got != 1 {
		t.Errorf("a starts slowly (%v) though it was not away", got)
	}
	w.pass(10_000)
	w.want("a:silent b:silent c:silent")
}

func TestNoMassSilenceWhileAnyoneIsHeard(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"))
	w.follow(w.report("a", 10, ""), w.report("b", 60, ""))
	w.pass(20_000)
	w.follow(w.report("b", 60, ""))
	w.want("a:silent b:open")
}

func TestEverybodySilentAtTheFirstRead(t *testing.T) {
	w := newWorld(t)
	c := w.report("c", 10, "")
	w.now += 30_000
	a, b := w.report("a", 10, ""), w.report("b", 10, "")
	w.now += 3_600_000
	w.load(serverRec("a"), serverRec("b"), serverRec("c"), a, b, c)
	w.want("a:open b:open c:silent")
	w.pass(10_000)
	w.want("a:silent b:silent c:silent")
}

func TestSlowStart(t *testing.T) {
	tests := []struct {
		name  string
		steps func(w *world)
		ramps bool
	}{
		{"there at the first read", func(w *world) {}, false},
		{"registered while we watch", func(w *world) {
			w.follow(serverRec("b"), w.report("b", 10, ""))
		}, true},
		{"its first report, long after it was registered", func(w *world) { w.follow(w.report("old", 10, "")) }, false},
		{"back from silence", func(w *world) {
			w.pass(11_000)
			w.follow(w.report("b", 10, ""))
		}, true},
		{"back from silence, and as busy as before", func(w *world) {
			w.follow(w.report("b", 10, `,"utilization":0.5,"rps":50`))
			w.pass(11_000)
			w.follow(w.report("b", 10, `,"utilization":0.45,"rps":45`))
		}, false},
		{"back from silence, and cold", func(w *world) {
			w.follow(w.report("b", 10, `,"utilization":0.5,"rps":50`))
			w.pass(11_000)
			w.follow(w.report("b", 10, `,"utilization":0.02,"rps":1`))
		}, true},
		{"back from down", func(w *world) {
			w.follow(w.report("b", 10, `,"health":"down"`), w.report("b", 10, ""))
		}, true},
		{"degraded and back", func(w *world) {
			w.follow(w.report("b", 10, `,"health":"degraded"`), w.report("b", 10, ""))
		}, false},
		{"back from maintenance", func(w *world) {
			w.follow(w.admin("b", "maint"))
			w.pass(1_000)
			w.follow(record{kind: kindAdmin, svc: svc, id: "b"}, w.report("b", 10, ""))
		}, true},
		{"flushed and registered again", func(w *world) {
			w.epoch, w.rev = 2, 0
			w.load()
			w.follow(serverRec("b"), w.report("b", 10, ""))
		}, false},
		{"cut off for an hour", func(w *world) {
			w.cutOff(3_600_000)
			w.load(serverRec("a"), w.report("a", 100, ""), serverRec("b"), w.report("b", 10, ""))
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			records := []record{serverRec("a"), serverRec("old"), w.report("a", 100, "")}
			if tt.name != "registered while we watch" {
				records = append(records, serverRec("b"), w.report("b", 10, ""))
			}
			w.load(records...)
			tt.steps(w)
			id := "b"
			if strings.HasPrefix(tt.name, "its first") {
				id = "old"
			}
			if got := w.ramp(id) < 1; got != tt.ramps {
				t.Errorf("ramp %v, want that it starts slowly: %v", w.ramp(id), tt.ramps)
			}
		})
	}
}

// A server that stands in the Corefile served before its agent came: its first report is no joining.
func TestAgentComesToAServerOfTheCorefile(t *testing.T) {
	w := newWorld(t)
	w.board = newBoard(Base{Servers: map[string][]steer.Server{svc: {{ID: "a"}}}})
	w.load()
	w.want("a:open")
	w.follow(serverRec("a"), w.report("a", 10, ""))
	if got := w.ramp("a"); got != 1 {
		t.Errorf("ramp %v, want 1", got)
	}
}

func TestAnotherDatabase(t *testing.T) {
	w := newWorld(t)
	spec := record{kindService, svc, "", `{"policy":"first"}`}
	implied := record{kindService, svc, "", `{"implied":true}`}
	w.rev = 10
	w.load(spec, serverRec("a"), serverRec("b"), serverRec("c"), w.admin("c", "maint"))
	w.follow(w.report("a", 10, ""), w.report("b", 10, ""))
	w.want("a:open b:open c:maint")

	w.epoch, w.rev = 0, 0
	w.load() // flushed
	w.want("a:open b:open c:maint")
	w.epoch = 2
	w.follow(implied, serverRec("a"), w.report("a", 10, ""))
	w.want("a:open b:open c:maint")
	if p := w.board.service(svc, w.r.shards[Shard(svc)].services[svc]).Policy; p != steer.First {
		t.Errorf("policy %q: what the operator said is lost", p)
	}
	for range 35 {
		w.pass(9_000)
		w.follow(w.report("a", 10, ""))
		w.r.dropOrphans(w.now)
	}
	w.want("a:open") // b and c are let go: a is back, and five minutes are over
}

func TestOrphansStayWhileNobodyIsBack(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"), w.report("a", 10, ""))
	w.epoch = 7
	w.load()
	w.pass(3_600_000)
	w.r.dropOrphans(w.now)
	w.want("a:silent b:open")
	w.load() // a self-check of the new database
	w.want("a:silent b:open")
	w.follow(record{kind: kindServer, svc: svc, id: "b"}) // an operator removes it
	w.want("a:silent")
	w.follow(record{kind: kindService, svc: svc})
	w.want("no service")
}

func TestSameDatabaseRemoves(t *testing.T) {
	w := newWorld(t)
	w.rev = 5
	w.load(serverRec("a"), serverRec("b"), w.admin("a", "maint"))
	w.rev = 9
	w.load(serverRec("a"))
	w.want("a:open")
	w.rev = 12
	w.load()
	w.want("no service")
}

func TestGaps(t *testing.T) {
	w := newWorld(t)
	w.rev = 5
	w.load(serverRec("a"))
	for _, tt := range []struct {
		name       string
		epoch, rev uint64
		err        error
		after      uint64
	}{
		{"already read", 1, 5, nil, 5},
		{"long ago", 1, 1, nil, 5},
		{"next", 1, 6, nil, 6},
		{"one is missing", 1, 8, errGap, 6},
		{"another epoch", 2, 7, errGap, 6},
		{"another epoch from its start", 2, 1, errGap, 6},
	} {
		e := entry{epoch: tt.epoch, rev: tt.rev, record: serverRec("a")}
		if err := w.r.follow(Shard(svc), []entry{e}, w.now); err != tt.err {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.err)
		}
		if got := w.r.shards[Shard(svc)].rev; got != tt.after {
			t.Errorf("%s: revision %d, want %d", tt.name, got, tt.after)
		}
	}
}

func TestQuorumOfProbers(t *testing.T) {
	up, down := "", `,"health":"down"`
	tests := []struct {
		name  string
		says  []string // by prober
		own   string   // of the server's own agent, "-" for none
		gates string
	}{
		{"one says down", []string{down}, "-", "a:down"},
		{"a tie is up", []string{down, up}, "-", "a:open"},
		{"two of three", []string{down, down, up}, "-", "a:down"},
		{"one of three", []string{down, up, up}, "-", "a:open"},
		{"its own word", []string{up, up, up}, down, "a:down"},
		{"against its own word", []string{down, down, up}, up, "a:down"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.load(serverRec("a"))
		if tt.own != "-" {
			w.follow(w.report("a", 100, tt.own))
		}
		for i, says := range tt.says {
			w.follow(w.report(fmt.Sprintf("a@p%d", i), 10, says))
		}
		if got := w.gates(); got != tt.gates {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.gates)
		}
		w.pass(10_000) // the probers fall silent: they have said nothing
		want := "a:open"
		if tt.own == down {
			want = "a:down"
		}
		if got := w.gates(); got != want {
			t.Errorf("%s, when the probers are silent: got %q, want %q", tt.name, got, want)
		}
	}
}

func TestProbersEndIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"))
	w.follow(w.report("a@p", 10, `,"health":"down"`))
	if _, next, _ := w.board.input(w.r, svc, w.now, nil); next != w.now+10_000 {
		t.Errorf("to be built anew in %d ms, want 10000", next-w.now)
	}
}

func TestBadRecords(t *testing.T) {
	at := func(s string) string { return s + `"at":1795363200000}` }
	tests := []struct {
		rec    record
		reason string
	}{
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"`}, "json"},
		{record{kindServer, svc, "a", `{"addresses":["nowhere"]}`}, "json"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"port":70000}`}, "json"},
		{record{kindServer, svc, "a", "{\"addresses\":[\"192.0.2.1\"],\"region\":\"\xff\"}"}, "json"},
		{record{kindServer, svc, "a", `{}`}, "count"},
		{record{kindServer, svc, "a", `{"addresses":["0.0.0.0"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["ff02::1"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["fe80::1%eth0"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["fe80::1"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["169.254.1.1"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["::ffff:255.255.255.255"]}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"target":"x.example."}`}, "range"},
		{record{kindServer, svc, "a", `{"target":"X"}`}, "name"},
		{record{kindServer, svc, "a", `{"target":"` + svc + `"}`}, "name"},
		{record{kindService, svc, "", `{"fallback":["` + svc + `"]}`}, "name"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"weight":-1}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"capacity":1e13}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"capacity":1e999}`}, "json"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"soft":0.9,"hard":0.5}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"by":"me"}`}, "range"},
		{record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"region":"a b"}`}, "name"},
		{record{kindServer, svc, "a", `{"x":"` + strings.Repeat("x", maxRecord) + `"}`}, "size"},
		{record{kindServer, svc, "A", `{"addresses":["192.0.2.1"]}`}, "name"},
		{record{kindServer, "WWW.example.org.", "a", `{"addresses":["192.0.2.1"]}`}, "name"},
		{record{kindServer, "www.example.org", "a", `{"addresses":["192.0.2.1"]}`}, "name"},
		{record{kindServer, "www2.example.org.", "a", `{"addresses":["192.0.2.1"]}`}, "shard"},
		{record{"thing", svc, "a", `{}`}, "entry"},
		{record{kindService, svc, "", `{"policy":"best"}`}, "range"},
		{record{kindService, svc, "", `{"answers":9}`}, "range"},
		{record{kindService, svc, "", `{"ttl":60,"max_ttl":30}`}, "range"},
		{record{kindService, svc, "", `{"ttl":-1}`}, "json"},
		{record{kindService, svc, "", `{"slow_start":1e6}`}, "range"},
		{record{kindService, svc, "", `{"failback":-2}`}, "range"},
		{record{kindService, svc, "", `{"failback":86401}`}, "range"},
		{record{kindService, svc, "", `{"fallback":["x"]}`}, "name"},
		{record{kindService, svc, "", `{"fallback":["a.","a.","a.","a.","a.","a.","a.","a.","a."]}`}, "count"},
		{record{kindService, svc, "", `{"alpn":[""]}`}, "name"},
		{record{kindService, svc, "", `[]`}, "json"},
		{record{kindAdmin, svc, "a", `{"state":"off","since":1}`}, "range"},
		{record{kindAdmin, svc, "a", `{"state":"maint"}`}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":0,`)}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":1e9,`)}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":5,"rps":-1,`)}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":5,"utilization":"NaN",`)}, "json"},
		{record{kindReport, svc, "a", at(`{"lease":5,"utilization":NaN,`)}, "json"},
		{record{kindReport, svc, "a", at(`{"lease":5,"utilization":1e7,`)}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":5,"health":"fine",`)}, "range"},
		{record{kindReport, svc, "a", at(`{"lease":5,"seq":3,`)}, "range"},
		{record{kindReport, svc, "a", `{"lease":5}`}, "range"},
		{record{kindReport, svc, "a", `{"lease":5,"at":9e18}`}, "json"},
		{record{kindReport, svc, "a@", at(`{"lease":5,`)}, "name"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		good := w.report("a", 1000, `,"utilization":0.25`)
		spec := record{kindService, svc, "", `{"policy":"first"}`}
		w.load(spec, serverRec("a"), good)
		w.follow(tt.rec)
		if w.r.counts.rejected[tt.reason] != 1 || len(w.r.counts.recent) != 1 {
			t.Errorf("%v: rejected %v %v, want one %q", tt.rec, w.r.counts.rejected, w.r.counts.recent, tt.reason)
		}
		// The last good one stands, also when everything is read anew.
		for range 2 {
			in, _, _ := w.board.input(w.r, svc, w.now, nil)
			if len(in.Members) != 1 || in.Members[0].Report.Utilization != 0.25 || in.Service.Policy != steer.First {
				t.Errorf("%v: the last good record does not stand", tt.rec)
			}
			again := map[string]record{kindService: spec, kindServer: serverRec("a"), kindReport: good}
			if tt.rec.svc == svc && tt.rec.id != "A" && tt.rec.id != "a@" {
				again[tt.rec.kind] = tt.rec
			}
			var records []record
			for _, rec := range again {
				records = append(records, rec)
			}
			w.load(records...)
		}
	}
}

func TestRejectsAreBounded(t *testing.T) {
	w := newWorld(t)
	w.load()
	for range 10 * maxRejects {
		w.follow(record{kindServer, svc, strings.Repeat("x", 10_000), `{}`})
	}
	if n := len(w.r.counts.recent); n != maxRejects || w.r.counts.rejected["name"] != 10*maxRejects {
		t.Errorf("%d are remembered, %v counted", n, w.r.counts.rejected)
	}
	for _, r := range w.r.counts.recent {
		if len(r.Key) > 100 || len(r.Detail) > 200 {
			t.Errorf("%d and %d octets", len(r.Key), len(r.Detail))
		}
	}
}

func TestBoard(t *testing.T) {
	w := newWorld(t)
	w.board = newBoard(Base{
		Zones:    []string{"example.org."},
		Services: []steer.Service{{Name: svc, TTL: new(uint32(7)), Policy: steer.Sticky}},
		Servers:  map[string][]steer.Server{svc: {{ID: "a", Weight: new(3.0)}, {ID: "b", Weight: new(3.0)}}},
		Default:  steer.Service{Answers: 2, TTL: new(uint32(99))},
	})
	other := record{kindService, "outside.example.net.", "", `{}`}
	w.r.load(Shard(other.svc), &dump{now: 1, records: []record{other}}, w.now)
	w.load(record{kindService, svc, "", `{"policy":"first"}`}, serverRec("b"), serverRec("c"))
	w.want("a:open b:open c:open")
	in, _, _ := w.board.input(w.r, svc, w.now, nil)
	if s := in.Service; s.Policy != steer.First || *s.TTL != 7 || s.Answers != 2 {
		t.Errorf("got %+v", s)
	}
	for _, m := range in.Members {
		if (m.Server.ID == "a") != (m.Server.Weight != nil && *m.Server.Weight == 3) {
			t.Errorf("server %s has weight %v: Redis overrides b, not a", m.Server.ID, m.Server.Weight)
		}
	}
	w.board = newBoard(Base{
		Default:  steer.Service{Answers: 1},
		Defaults: map[string]steer.Service{"org.": {Answers: 2}, "example.org.": {Answers: 3}, "ample.org.": {Answers: 4}},
	})
	for name, want := range map[string]int{svc: 3, "*.example.org.": 3, "example.org.": 3, "a.org.": 2, "a.net.": 1} {
		if s := w.board.service(name, nil); s.Answers != want {
			t.Errorf("%s: %d answers, want the %d of its zone", name, s.Answers, want)
		}
	}
	w.board = newBoard(Base{Zones: []string{"example.org."}, Services: []steer.Service{{Name: svc}}})
	if names := w.board.names(w.r); len(names) != 1 || names[0] != svc {
		t.Errorf("services %v: what lies outside the zones is left out", names)
	}
}
