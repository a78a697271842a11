package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// desk is a database of grants, and what a broker and an operator do there.
type desk struct {
	t     *testing.T
	redis *storetest.Redis
	c     *store.Client
	q     *store.Queue
}

func newDesk(t *testing.T) *desk {
	r := storetest.Start(t)
	c := dial(t, r.URL)
	q, err := c.Requests("desk")
	must(t, err)
	t.Cleanup(func() { _ = q.Close() })
	return &desk{t, r, c, q}
}

func (d *desk) ask(r store.Request) qos.Grant {
	d.t.Helper()
	g, err := d.c.Ask(context.Background(), r)
	must(d.t, err)
	return g
}

// answer answers as a broker does, and says whether that was taken.
func (d *desk) answer(g qos.Grant, state qos.State) bool {
	d.t.Helper()
	g.State = state
	ok, err := d.q.Answer(context.Background(), www, g)
	must(d.t, err)
	return ok
}

func (d *desk) grant(id qos.GrantID) qos.Grant {
	d.t.Helper()
	g, _, err := d.c.Grant(context.Background(), www, id)
	must(d.t, err)
	return g
}

// used returns what is reserved: "a=400000 a/gold=400000".
func (d *desk) used() string {
	fields := strings.Fields(d.redis.Do("HGETALL", tag("used:"+www)))
	var out []string
	for i := 0; i+1 < len(fields); i += 2 {
		out = append(out, fields[i]+"="+fields[i+1])
	}
	return strings.Join(out, " ")
}

// due has a grant end now, or be forgotten.
func (d *desk) due(g qos.Grant, left time.Duration) {
	d.t.Helper()
	at := redisNow(d.redis) + left.Milliseconds()
	var rec map[string]any
	must(d.t, json.Unmarshal([]byte(d.redis.Do("HGET", tag("grts:"+www), g.ID.String())), &rec))
	rec["end"] = at
	data, err := json.Marshal(rec)
	must(d.t, err)
	d.redis.Do("HSET", tag("grts:"+www), g.ID.String(), string(data))
	d.redis.Do("ZADD", tag("gend:"+www), strconv.FormatInt(at, 10), g.ID.String())
	d.redis.Do("ZADD", tag("gdue"), strconv.FormatInt(at, 10), www)
}

func (d *desk) sweep() {
	d.t.Helper()
	_, err := d.q.Sweep(context.Background())
	must(d.t, err)
}

// told returns what the queue says of grants, and acknowledges it.
func (d *desk) told(n int) (states []string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for len(states) < n {
		work, err := d.q.Take(ctx)
		must(d.t, err)
		for _, w := range work {
			states = append(states, w.Grant.State.String())
			must(d.t, d.q.Ack(ctx, w))
		}
	}
	return states
}

func (d *desk) want(what string, g qos.Grant, state qos.State, reason qos.Reason, used string) {
	d.t.Helper()
	if g.State != state || g.Reason != reason || d.used() != used {
		d.t.Errorf("%s: %s %q, used %q; want %s %q, used %q", what, g.State, g.Reason, d.used(), state, reason, used)
	}
}

func TestGrantOfAServerAlone(t *testing.T) {
	d := newDesk(t)
	g := d.ask(request(alice, "a", gold))
	d.want("granted at once", g, qos.Granted, qos.NoReason, "a=400000 a/gold=400000")
	if left := g.End - g.Start; left != 300_000 || g.Version != 1 {
		t.Errorf("%d ms, version %d", left, g.Version)
	}
	again := d.ask(request(alice, "a", gold))
	if again.ID != g.ID || again.Version != 1 || again.End != g.End {
		t.Errorf("asked again: got %+v", again)
	}
	d.due(g, 149*time.Second)
	again = d.ask(request(alice, "a", gold))
	d.want("asked again late", again, qos.Granted, qos.NoReason, "a=400000 a/gold=400000")
	if left := again.End - redisNow(d.redis); again.ID != g.ID || again.Version != 2 || left < 290_000 || left > 300_000 {
		t.Errorf("asked again late: %d ms left of %+v", left, again)
	}
	d.ask(request(bob, "a", gold))
	full := d.ask(request(qos.Client("id", "carol"), "a", gold))
	d.want("the level's share is taken", full, qos.Refused, qos.Full, "a=800000 a/gold=800000")
	lower := d.ask(request(qos.Client("id", "carol"), "a", gold, silver))
	d.want("a lower one", lower, qos.GrantedLower, qos.NoReason, "a=900000 a/gold=800000 a/silver=100000")
	if lower.Level != "silver" || lower.Asked != "gold" || len(lower.Lower) != 0 {
		t.Errorf("got %+v", lower)
	}
	moved := d.ask(request(alice, "b", gold))
	if old := d.grant(g.ID); moved.ID == g.ID || old.State != qos.Ended || old.Reason != qos.Released {
		t.Errorf("moved to %+v, from %+v", moved, old)
	}
	d.want("moved", moved, qos.Granted, qos.NoReason, "a=500000 a/gold=400000 a/silver=100000 b=400000 b/gold=400000")
	if ok, err := d.c.Revoke(context.Background(), www, moved.ID); !ok || err != nil {
		t.Errorf("revoked %v, %v", ok, err)
	}
	if ok, err := d.c.Revoke(context.Background(), www, moved.ID); ok || err != nil {
		t.Errorf("revoked twice: %v, %v", ok, err)
	}
	d.want("revoked", d.grant(moved.ID), qos.Ended, qos.Revoked, "a=500000 a/gold=400000 a/silver=100000")
	if n, err := d.c.Drain(context.Background(), www, "a"); n != 2 || err != nil {
		t.Errorf("drained %d, %v", n, err)
	}
	d.want("drained", d.grant(lower.ID), qos.Ended, qos.Drained, "")
}

// Release by the client's id, as lookups do it.
func TestReleaseByClient(t *testing.T) {
	d := newDesk(t)
	g := d.ask(request(alice, "a", gold))
	r := store.Request{Release: true, Grant: qos.Grant{Service: www, Client: alice}}
	d.want("released", d.ask(r), qos.Ended, qos.Released, "")
	d.want("released twice", d.ask(r), qos.NoGrant, qos.NoReason, "")
	if ok, err := d.c.Release(context.Background(), www, g.ID); ok || err != nil {
		t.Errorf("released by its id again: %v, %v", ok, err)
	}
}

func TestGrantOfTheNetwork(t *testing.T) {
	d := newDesk(t)
	open := "a=300000 a/gold=300000 /open=1"
	ask := func() qos.Grant { return d.ask(request(alice, "a", network, silver)) }
	g := ask()
	d.want("requested", g, qos.Requested, qos.NoReason, open)
	if left := g.End - redisNow(d.redis); left > 60_000 || left < 30_000 {
		t.Errorf("%d ms to answer", left)
	}
	if again := ask(); again.ID != g.ID || again.Version != 1 {
		t.Errorf("asked again: %+v", again)
	}
	if got := d.told(1); got[0] != "requested" {
		t.Errorf("the broker is told %v", got)
	}
	g.Session, g.Detail = "s/1", "über"
	if !d.answer(g, qos.Requested) {
		t.Fatal("the element's name for it is not taken")
	}
	if d.answer(g, qos.Granted) {
		t.Error("an answer to what was read before is taken")
	}
	g = d.grant(g.ID)
	if g.Session != "s/1" || g.Detail != "??ber" || g.Version != 2 {
		t.Errorf("got %+v", g)
	}
	g.End = 0
	if !d.answer(g, qos.GrantedLower) { // at the level that was asked for: it is no lower one
		t.Fatal("the answer is not taken")
	}
	g = d.grant(g.ID)
	d.want("granted", g, qos.Granted, qos.NoReason, "a=300000 a/gold=300000")
	if g.End-g.Start != 300_000 {
		t.Errorf("granted for %d ms", g.End-g.Start)
	}
	d.due(g, time.Minute)
	if g = ask(); g.Version != 4 || g.State != qos.Granted {
		t.Errorf("extended: %+v", g)
	}
	if got := d.told(1); got[0] != "granted" {
		t.Errorf("the broker is told %v", got)
	}
	end := redisNow(d.redis) + 100_000
	g.End = end // the element grants no more than that
	if !d.answer(g, qos.Granted) || d.grant(g.ID).End != end {
		t.Errorf("ends at %d, want %d", d.grant(g.ID).End, end)
	}
	g = d.grant(g.ID)
	g.Reason, g.Detail = qos.ByElement, "the link is down"
	if !d.answer(g, qos.Ended) {
		t.Error("the element cannot end it")
	}
	d.want("ended by the element", d.grant(g.ID), qos.Ended, qos.ByElement, "")
	if d.answer(d.grant(g.ID), qos.Granted) {
		t.Error("an answer after the end is taken")
	}
}

func TestElementsAnswers(t *testing.T) {
	wish := network
	wish.NeedsNetwork, wish.NeedsServer = false, false
	bronze := qos.Offer{Level: "bronze", Unit: 950_000, Share: 950_000, Network: true, NeedsServer: true, Duration: 300}
	thin := silver
	thin.Network = true
	for _, tt := range []struct {
		name   string
		offer  qos.Offer
		change func(*qos.Grant)
		state  qos.State
		taken  bool
		want   qos.State
		reason qos.Reason
		used   string
	}{
		{"refused", network, func(g *qos.Grant) { g.Reason = qos.ByElement }, qos.Refused, true, qos.Refused, qos.ByElement, "a=100000 a/gold=100000"},
		{"a lower one", network, func(g *qos.Grant) { g.Offer = g.Lower[0] }, qos.Granted, true, qos.GrantedLower, qos.NoReason,
			"a=200000 a/gold=100000 a/silver=100000"},
		{"a lower one that has no room", network, func(g *qos.Grant) { g.Offer = g.Lower[1] }, qos.Granted, false, qos.Refused, qos.Full,
			"a=100000 a/gold=100000"},
		{"the server's part alone", wish, func(g *qos.Grant) { g.Network, g.Reason = false, qos.ByElement }, qos.Granted, true,
			qos.Granted, qos.ByElement, "a=400000 a/gold=400000"},
		{"longer than anything", network, func(g *qos.Grant) { g.End = 1e13 }, qos.Granted, true, qos.Granted, qos.NoReason, "a=400000 a/gold=400000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			other := gold
			other.Unit = 100_000
			d.ask(request(bob, "a", other))
			g := d.ask(request(alice, "a", tt.offer, thin, bronze))
			tt.change(&g)
			if got := d.answer(g, tt.state); got != tt.taken {
				t.Errorf("taken %v, want %v", got, tt.taken)
			}
			got := d.grant(g.ID)
			d.want("then", got, tt.want, tt.reason, tt.used)
			if got.End > redisNow(d.redis)+86_400_000 {
				t.Errorf("it ends at %d", got.End)
			}
		})
	}
}

// A request that nobody answers is over after a minute; what its server can do alone stands if that is worth having.
func TestRequestRunsOut(t *testing.T) {
	d := newDesk(t)
	wish := network
	wish.NeedsNetwork = false
	needs, wants := d.ask(request(alice, "a", network)), d.ask(request(bob, "a", wish))
	d.due(needs, 0)
	d.due(wants, 0)
	late := needs
	if d.answer(late, qos.Granted) {
		t.Error("an answer that comes too late is taken")
	}
	d.sweep()
	d.want("needs the network", d.grant(needs.ID), qos.Refused, qos.NoElement, "a=300000 a/gold=300000")
	g := d.grant(wants.ID)
	d.want("can do without", g, qos.Granted, qos.NoElement, "a=300000 a/gold=300000")
	if g.Network {
		t.Error("it is said to have the network's part")
	}
	if got := d.told(4); len(got) != 4 { // two requests, and two that are over at the element
		t.Errorf("the broker is told %v", got)
	}
	d.due(g, time.Minute)
	again := d.ask(request(bob, "a", wish)) // renewed: the element may be there now
	d.want("asked anew", again, qos.Requested, qos.NoReason, "a=300000 a/gold=300000 /open=1")
	if again.ID == g.ID {
		t.Error("expected another grant")
	}
}

// What can do without its server's part is granted by the network alone; what would be nothing is not granted.
func TestServerIsFull(t *testing.T) {
	d := newDesk(t)
	d.ask(request(bob, "a", qos.Offer{Level: "all", Unit: qos.Million, NeedsServer: true, Duration: 300}))
	wish := network
	wish.NeedsServer = false
	g := d.ask(request(alice, "a", wish))
	d.want("by the network alone", g, qos.Requested, qos.NoReason, "a=1000000 a/all=1000000 /open=1")
	if g.Unit != 0 || !g.Network {
		t.Errorf("got %+v", g)
	}
	nothing := silver
	nothing.NeedsServer = false
	got := d.ask(request(qos.Client("id", "carol"), "a", nothing))
	d.want("nothing", got, qos.Refused, qos.Full, "a=1000000 a/all=1000000 /open=1")
	if _, ok, err := d.c.Grant(context.Background(), www, got.ID); ok || err != nil {
		t.Errorf("a refusal for want of room is kept: %v, %v", ok, err)
	}
}

// A client that moves has its network granted anew: the guarantee is for its address.
func TestClientMoves(t *testing.T) {
	d := newDesk(t)
	r := request(alice, "a", network)
	r.ClientAddr = netip.MustParseAddr("192.0.2.7")
	g := d.ask(r)
	if again := d.ask(r); again.ID != g.ID {
		t.Errorf("asked again: %+v", again)
	}
	r.ClientAddr = netip.MustParseAddr("192.0.2.8")
	r.ID = qos.GrantID{}
	moved := d.ask(r)
	if old := d.grant(g.ID); moved.ID == g.ID || old.State != qos.Ended || moved.ClientAddr != r.ClientAddr {
		t.Errorf("moved to %+v from %+v", moved, old)
	}
	d.want("moved", moved, qos.Requested, qos.NoReason, "a=300000 a/gold=300000 /open=1")
}

// A grant ends, is kept for those who look, and is forgotten; then nothing is left of it.
func TestGrantIsForgotten(t *testing.T) {
	d := newDesk(t)
	g := d.ask(request(alice, "a", gold))
	d.due(g, 0)
	d.sweep()
	d.want("over", d.grant(g.ID), qos.Ended, qos.Expired, "")
	if at, _ := strconv.ParseInt(d.redis.Do("ZSCORE", tag("gend:"+www), g.ID.String()), 10, 64); at < redisNow(d.redis)+400_000 {
		t.Errorf("it is kept until %d", at)
	}
	d.due(g, 0)
	d.sweep()
	if all, err := d.c.Grants(context.Background()); len(all) != 0 || err != nil {
		t.Errorf("left %v, %v", all, err)
	}
	if left := d.redis.Do("EXISTS", tag("grts:"+www), tag("used:"+www), tag("gidx:"+www), tag("gend:"+www), tag("gdue")); left != "0" {
		t.Errorf("%s keys are left", left)
	}
}

// A service that is deleted takes its grants along.
func TestDeletedServiceEndsItsGrants(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	must(t, d.c.PutService(ctx, steer.Service{Name: www}))
	g := d.ask(request(alice, "a", gold))
	_, err := d.c.DeleteService(ctx, www)
	must(t, err)
	d.want("deleted", d.grant(g.ID), qos.Ended, qos.Drained, "")
}

func TestGrantScriptRefuses(t *testing.T) {
	d := newDesk(t)
	const id, client = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
	grant := func(more string) string {
		return fmt.Sprintf(`{"id":"%s","client":"%s","server":"a","asked":"gold","level":"gold","duration":60%s}`, id, client, more)
	}
	lower := `{"level":"silver","duration":60}`
	tests := []struct {
		args []string
		want string // a prefix, or of a refusal a part
	}{
		{[]string{"ask", `{}`, ""}, "FARM request"},
		{[]string{"ask", `[]`, ""}, "FARM request"},
		{[]string{"ask", grant(`,"unit":-1`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"unit":0.5`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"unit":1000001`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"unit":"1"`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"unit":NaN`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"network":1`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"server":"A"`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"server":null`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"client":"x"`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"phone":["x"]`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"lower":[` + strings.Repeat(lower+",", 4) + lower + `]`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"lower":[{}]`), ""}, "FARM request"},
		{[]string{"ask", grant(`,"x":"` + strings.Repeat("x", 4096) + `"`), ""}, "FARM request"},
		{[]string{"answer", `{}`}, "FARM answer"},
		{[]string{"answer", grant(`,"version":1,"state":"granted"`)}, "GONE"},
		{[]string{"end", id, "bored"}, "FARM reason"},
		{[]string{"end", id, "revoked"}, "NONE"},
		{[]string{"end", "x", "revoked"}, "NONE"},
		{[]string{"take"}, "FARM operation"},
		{[]string{"sweep"}, "OK 0 0"},
		{[]string{"ask", grant(`,"network":true,"needs_network":true,"lower":[` + lower + `]`), ""}, "OK 2 {"},
		{[]string{"ask", grant(``), ""}, "HELD 2 {"},
		{[]string{"ask", strings.Replace(grant(``), `"client":"0`, `"client":"f`, 1), ""}, "FARM id"},
		{[]string{"answer", grant(`,"version":1,"state":"granted"`)}, "FARM network"},
		{[]string{"answer", grant(`,"version":1,"state":"none"`)}, "FARM state"},
		{[]string{"answer", grant(`,"version":1,"state":"granted","level":"tin"`)}, "FARM level"},
		{[]string{"answer", grant(`,"version":2,"state":"granted"`)}, "STALE"},
		{[]string{"answer", grant(`,"version":1,"state":"granted","network":true`)}, "OK 3 {"},
		{[]string{"answer", grant(`,"version":2,"state":"requested","network":true`)}, "FARM state"},
		{[]string{"answer", grant(`,"version":2,"state":"refused","network":true`)}, "FARM state"},
		{[]string{"end", client, "drained"}, "OK 4 {"},
		{[]string{"answer", grant(`,"version":3,"state":"granted","network":true`)}, "GONE"},
	}
	run := func(keys []string, args ...string) string {
		all := append(append([]string{"--eval", "scripts/grant.lua"}, keys...), ",", www)
		return strings.ReplaceAll(d.redis.Do(append(all, args...)...), "\n", " ")
	}
	for _, tt := range tests {
		got := run(store.GrantKeys("farm", www), tt.args...)
		if !strings.HasPrefix(got, tt.want) && !(strings.HasPrefix(tt.want, "FARM") && strings.Contains(got, tt.want)) {
			t.Errorf("%.200q: got %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := run(store.Keys("farm", www), "sweep"); !strings.Contains(got, "FARM expected 12 keys") {
		t.Error(got)
	}
	if got := run(store.GrantKeys("farm", other), "sweep"); !strings.Contains(got, "FARM key 4") {
		t.Error(got)
	}
}

// What stands there by hand and cannot be read holds nobody up, and is swept.
func TestDamagedGrant(t *testing.T) {
	d := newDesk(t)
	g := d.ask(request(alice, "a", silver))
	d.redis.Do("HSET", tag("grts:"+www), g.ID.String(), `{"end":null}`)
	d.want("granted anew", d.ask(request(alice, "b", silver)), qos.Granted, qos.NoReason, "a=100000 a/silver=100000 b=100000 b/silver=100000")
	d.redis.Do("ZADD", tag("gend:"+www), "1", g.ID.String())
	d.ask(request(bob, "b", silver))
	if _, ok, err := d.c.Grant(context.Background(), www, g.ID); ok || err != nil {
		t.Errorf("the damaged one is left: %v, %v", ok, err)
	}
}

func TestTooManyGrants(t *testing.T) {
	d := newDesk(t)
	d.redis.Do("HSET", tag("used:"+www), "/open", "1000")
	got := d.ask(request(alice, "a", network))
	if got.State != qos.Refused || got.Reason != qos.Full || got.Detail == "" {
		t.Errorf("got %+v", got)
	}
	if got := d.ask(request(alice, "a", gold)); got.State != qos.Granted {
		t.Errorf("what no element has to be asked for: %+v", got)
	}
	fill := func(key string, n int) {
		d.redis.Do("EVAL", "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], i, 'x') end return 1", "1", key, strconv.Itoa(n))
	}
	fill(tag("gidx:"+www), 9_999)
	if got := d.ask(request(bob, "a", silver)); got.State != qos.Refused || got.Detail == "" {
		t.Errorf("one more than 10000: %+v", got)
	}
	if got := d.ask(request(alice, "b", gold)); got.State != qos.Granted {
		t.Errorf("one in the place of another: %+v", got)
	}
}

func TestRequestsAreChecked(t *testing.T) {
	c := dial(t, "redis://127.0.0.1:1") // nothing may be sent
	for name, change := range map[string]func(*store.Request){
		"service":  func(r *store.Request) { r.Service = "www" },
		"server":   func(r *store.Request) { r.Server = "A" },
		"client":   func(r *store.Request) { r.Client = qos.ClientID{} },
		"asked":    func(r *store.Request) { r.Asked = "" },
		"level":    func(r *store.Request) { r.Level = "Gold" },
		"unit":     func(r *store.Request) { r.Unit = qos.Million + 1 },
		"duration": func(r *store.Request) { r.Duration = 0 },
		"dscp":     func(r *store.Request) { r.DSCP = 64 },
		"address":  func(r *store.Request) { r.ClientAddr = netip.MustParseAddr("fe80::1%eth0") },
		"lower":    func(r *store.Request) { r.Lower = make([]qos.Offer, 5) },
		"lowest":   func(r *store.Request) { r.Lower = make([]qos.Offer, 1) },
		"phone":    func(r *store.Request) { r.Phone = strings.Repeat("1", 300) },
	} {
		r := request(alice, "a", gold)
		change(&r)
		if _, err := c.Ask(context.Background(), r); !store.IsInvalid(err) {
			t.Errorf("%s: got %v, want that it is invalid", name, err)
		}
	}
}
