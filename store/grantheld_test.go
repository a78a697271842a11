package store

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// grantRec is the record of a grant of client n that has left ms to go.
func (w *world) grantRec(id, n int, state string, left int, more string) record {
	return record{kindGrant, svc, fmt.Sprintf("%032x", id), fmt.Sprintf(
		`{"id":"%032x","client":"%016x","server":"a","asked":"gold","level":"gold","unit":250000,"duration":300,"state":%q,"start":%d,"end":%d,"version":1%s,"at":%d}`,
		id, n, state, w.redis()-1000, w.redis()+int64(left), more, w.redis())}
}

// grants returns what is known of clients and of what is used: "1:granted 2:ended a/gold=0.25".
func (w *world) grants() string {
	var out []string
	sh := w.r.shards[Shard(svc)]
	if s := sh.services[svc]; s != nil && s.held != nil {
		for c, g := range s.held.holders {
			out = append(out, fmt.Sprintf("%d:%s", c[7], g.State))
		}
	}
	slices.Sort(out)
	in, _, _ := w.board.input(w.r, svc, w.now, nil)
	for _, m := range in.Members {
		for _, u := range m.Used {
			out = append(out, fmt.Sprintf("%s/%s=%v", m.Server.ID, u.Level, u.Part))
		}
	}
	return strings.Join(out, " ")
}

func (w *world) wantGrants(what, want string) {
	w.t.Helper()
	if got := w.grants(); got != want {
		w.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// elapse lets ms go by, and does what is due.
func (w *world) elapse(ms int64) {
	w.pass(ms)
	w.r.endGrants(w.now)
}

func TestGrantsInReplica(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	w.wantGrants("read", "1:granted a/gold=0.25")
	g := w.r.grantOf(holder{svc, qos.ClientID{7: 1}})
	if g.End != w.now+10_000 || g.Start != w.now-1000 || g.Service != svc {
		t.Errorf("got %+v, now %d", g, w.now)
	}
	w.follow(w.grantRec(2, 2, "requested", 60_000, ""))
	w.wantGrants("followed", "1:granted 2:requested a/gold=0.5")
	w.pass(1)
	w.follow(w.grantRec(2, 2, "refused", 0, `,"reason":"element"`))
	w.wantGrants("refused", "1:granted 2:refused a/gold=0.25")
	w.elapse(9_998)
	w.wantGrants("not yet", "1:granted 2:refused a/gold=0.25")
	w.elapse(1)
	w.wantGrants("over by time alone", "1:ended 2:refused")
	if g.State != qos.Granted {
		t.Error("what was given out has changed")
	}
	if g := w.r.grantOf(holder{svc, qos.ClientID{7: 1}}); g.Reason != qos.Expired {
		t.Errorf("got %+v", g)
	}
	w.follow(w.grantRec(1, 1, "granted", 10_000, "")) // it was extended in time, and we were late to hear
	w.wantGrants("extended", "1:granted 2:refused a/gold=0.25")
	w.follow(record{kind: kindGrant, svc: svc, id: fmt.Sprintf("%032x", 2)})
	w.wantGrants("forgotten", "1:granted a/gold=0.25")
	w.elapse(10_000)
	w.elapse(qos.Kept)
	w.wantGrants("forgotten by time alone", "")
}

// The edits of the zone's serial are not for grants; farms are built anew when what is used changes, and only then.
func TestGrantsTouchTheirFarm(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"))
	step := func(what string, touched bool, rec record) {
		t.Helper()
		edits := w.r.edits
		clear(w.r.dirty)
		w.follow(rec)
		if _, ok := w.r.dirty[svc]; ok != touched || w.r.edits != edits {
			t.Errorf("%s: touched %v, want %v; %d edits", what, ok, touched, w.r.edits-edits)
		}
	}
	step("requested", true, w.grantRec(1, 1, "requested", 10_000, ""))
	w.pass(10)
	step("granted", false, w.grantRec(1, 1, "granted", 10_000, ""))
	w.pass(10)
	step("a lower one", true, w.grantRec(1, 1, "granted_lower", 10_000, `,"unit":100000`))
	w.pass(10)
	step("ended", true, w.grantRec(1, 1, "ended", 0, ""))
}

// A request that nobody answered is refused by time alone; see TestRequestRunsOut for what the database does.
func TestRequestEndsInReplica(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.grantRec(1, 1, "requested", 1000, ""))
	w.elapse(1000)
	if g := w.r.grantOf(holder{svc, qos.ClientID{7: 1}}); g.State != qos.Refused || g.Reason != qos.NoElement {
		t.Errorf("got %+v", g)
	}
}

// While the database is away grants go on until their end, for elements go by it, too; one that comes back empty ends none.
func TestGrantsOutliveTheDatabase(t *testing.T) {
	w := newWorld(t)
	w.rev = 7
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	w.cutOff(5_000)
	w.r.endGrants(w.now)
	w.wantGrants("cut off", "1:granted a/gold=0.25")
	w.epoch, w.rev = 2, 0
	w.load(serverRec("a"))
	w.wantGrants("flushed", "1:granted a/gold=0.25")
	w.follow(w.grantRec(2, 1, "granted", 20_000, "")) // the client asks again
	w.wantGrants("granted anew", "1:granted a/gold=0.25")
	w.elapse(6_000)
	w.wantGrants("the old one's end", "1:granted a/gold=0.25")
	w.load(serverRec("a")) // the same database, which has forgotten it
	w.wantGrants("gone", "")
}

func TestGrantsGoWithTheirService(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	w.r.granted = w.r.granted[:0]
	w.follow(record{kind: kindService, svc: svc})
	if w.r.grantOf(holder{svc, qos.ClientID{7: 1}}) != nil || len(w.r.granted) != 1 {
		t.Errorf("it is still there, and %v is told", w.r.granted)
	}
}

// Of two live grants of a client, as a read that takes its time may find them, the younger is the one.
func TestTornRead(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		w := newWorld(t)
		old := w.grantRec(1, 1, "granted", 10_000, "")
		w.pass(5)
		records := []record{old, w.grantRec(2, 1, "granted", 20_000, "")}
		w.load(serverRec("a"), records[order[0]], records[order[1]])
		w.wantGrants("read", "1:granted a/gold=0.25")
		if g := w.r.grantOf(holder{svc, qos.ClientID{7: 1}}); g.ID[15] != 2 {
			t.Errorf("the client has %s", g.ID)
		}
	}
}

// That there was no room is known here alone, hides no live grant, and goes with the next complete read.
func TestNoRoomIsKept(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	for n := range 2 {
		w.r.refuse(&qos.Grant{ID: qos.GrantID{byte(n + 5)}, Service: svc, Client: qos.ClientID{7: byte(n + 1)}, State: qos.Refused,
			Reason: qos.Full, End: w.now, Version: 1}, w.now)
	}
	w.wantGrants("refused", "1:granted 2:refused a/gold=0.25")
	w.rev++
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	w.wantGrants("read anew", "1:granted a/gold=0.25")
}

func TestStateHoldsGrants(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""), w.grantRec(2, 2, "refused", 0, `,"reason":"element"`))
	next := w.restored(w.saved())
	next.wantGrants("restored", "1:granted 2:refused a/gold=0.25")
	next.now += 10_000
	next.r.endGrants(next.now)
	next.wantGrants("the time that passed meanwhile counts", "1:ended 2:refused")
	other := w.restored(w.saved())
	other.epoch = 9
	other.load(serverRec("a"))
	other.wantGrants("another database", "1:granted 2:refused a/gold=0.25")
	same := w.restored(w.saved())
	same.load(serverRec("a"), w.grantRec(1, 1, "granted", 10_000, ""))
	same.wantGrants("the same database", "1:granted a/gold=0.25")
}

// What is used is the sum of what live grants hold, whatever comes in whatever order.
func TestUsedIsTheSumOfGrants(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	w := newWorld(t)
	w.load(serverRec("a"), serverRec("b"))
	states := []string{"requested", "granted", "granted_lower", "refused", "ended"}
	for range 5000 {
		id := random.Intn(40)
		more := fmt.Sprintf(`,"unit":%d,"server":"%c","level":%q`, random.Intn(3)*100_000, 'a'+random.Intn(2), []string{"gold", "silver"}[random.Intn(2)])
		rec := w.grantRec(id, id%10, states[random.Intn(len(states))], random.Intn(60_000), more)
		switch random.Intn(20) {
		case 0:
			rec.data = ""
		case 1:
			w.rev++
			w.load(serverRec("a"), serverRec("b"), rec)
			continue
		case 2:
			w.epoch++
			w.load(serverRec("a"), serverRec("b"), rec)
			continue
		}
		w.follow(rec)
		w.elapse(int64(random.Intn(2000)))
		w.checkUsed()
	}
}

// checkUsed compares what is used with the grants, one by one.
func (w *world) checkUsed() {
	w.t.Helper()
	s := w.r.shards[Shard(svc)].services[svc]
	want, live, has := make(map[string]int64), 0, make(map[qos.ClientID]bool)
	if s == nil || s.held == nil {
		return
	}
	for _, g := range s.held.grants {
		if g.State.Live() {
			live++
			want[g.Server+"/"+g.Level] += g.Unit
			if has[g.Client] {
				w.t.Fatalf("client %s has two live grants", g.Client)
			}
			if has[g.Client] = true; s.held.holders[g.Client] != g {
				w.t.Fatalf("client %s has another one than its live grant", g.Client)
			}
		}
	}
	got := make(map[string]int64)
	for server, levels := range s.held.used {
		for level, n := range levels {
			got[server+"/"+level] = n
		}
	}
	for k, n := range want {
		if n == 0 {
			delete(want, k)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.held.live != live {
		w.t.Fatalf("used %v, want %v; %d live, want %d", got, want, s.held.live, live)
	}
}

func TestBadGrants(t *testing.T) {
	w := newWorld(t)
	good := w.grantRec(1, 1, "granted", 10_000, "")
	change := func(old, new string) record {
		rec := good
		rec.data = strings.Replace(good.data, old, new, 1)
		if rec.data == good.data {
			t.Fatalf("%s is not in %s", old, good.data)
		}
		return rec
	}
	upper := good
	upper.id = strings.Repeat("A", 32)
	for _, tt := range []struct {
		rec    record
		reason string
	}{
		{change(`"id":"0`, `"id":"1`), "name"},
		{change(`"server":"a"`, `"server":"A"`), "name"},
		{change(`"level":"gold"`, `"level":""`), "name"},
		{change(`"state":"granted"`, `"state":"great"`), "json"},
		{change(`"state":"granted"`, `"state":"none"`), "range"},
		{change(`"unit":250000`, `"unit":2500000`), "range"},
		{change(`"unit":250000`, `"unit":0.5`), "json"},
		{change(`"duration":300`, `"duration":0`), "range"},
		{change(`"version":1`, `"version":0`), "range"},
		{change(`"end":`, `"end":-`), "range"},
		{change(`"client":"0`, `"client":"x`), "json"},
		{change(`"version":1`, `"version":1,"detail":"`+strings.Repeat("x", 201)+`"`), "size"},
		{change(`"version":1`, `"version":1,"client_addr":"nowhere"`), "json"},
		{change(`"version":1`, `"version":1,"server_addr":"ff02::1"`), "range"},
		{change(`"version":1`, `"version":1,"lower":[{},{},{},{},{}]`), "count"},
		{change(`"version":1`, `"version":1,"profile":"a b"`), "name"},
		{upper, "name"},
	} {
		w := newWorld(t)
		w.load(serverRec("a"), good)
		w.follow(tt.rec)
		if w.r.counts.rejected[tt.reason] != 1 || len(w.r.counts.recent) != 1 {
			t.Errorf("%s: rejected %v %v, want one %q", tt.rec.data, w.r.counts.rejected, w.r.counts.recent, tt.reason)
		}
		w.wantGrants("the last good one stands", "1:granted a/gold=0.25")
		w.load(serverRec("a"), tt.rec)
		if tt.rec.id == good.id {
			w.wantGrants("the last good one stands when all is read", "1:granted a/gold=0.25")
		}
	}
}
