package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

var (
	gold   = steer.Level{Name: "gold", Rank: 30, Unit: 0.05, Share: 0.5}
	silver = steer.Level{Name: "silver", Rank: 20, Unit: 0.1, Down: 8000, DSCP: 46}
)

// grantee is a client of a level at a server.
func grantee(name string, l *steer.Level, server string) qos.Grant {
	client := qos.Client(qos.KindID, name)
	return qos.Grant{
		ID: qos.GrantID(append(client[:], client[:]...)), Client: client, Service: testService, Server: server, Asked: l.Name,
		Offer: qos.OfferOf(l), ClientAddr: netip.MustParseAddr("198.51.100.7"), ClientPort: 4000,
	}
}

// dialled returns a client of a database that has the service with both levels.
func dialled(t *testing.T, db *storetest.Redis) *store.Client {
	c, err := store.Dial([]string{db.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.PutService(soon(t), steer.Service{Name: testService, Levels: []steer.Level{silver, gold}}); err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(t *testing.T, c *store.Client, g qos.Grant) qos.GrantID {
	t.Helper()
	got, err := c.Ask(soon(t), store.Request{Grant: g})
	if err != nil || !got.State.Live() {
		t.Fatalf("%+v, %v", got, err)
	}
	return got.ID
}

var toldAt = regexp.MustCompile(`levels are told" address=(\S+)`)

// levelsAt returns where the agent tells of levels.
func (r *running) levelsAt() string {
	r.t.Helper()
	r.log.await(r.t, "levels are told")
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	return "http://" + toldAt.FindStringSubmatch(r.log.text.String())[1]
}

func fetchText(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// awaitLevels waits until what is told is so.
func awaitLevels(t *testing.T, url, what string, so func(*levelsOf) bool) *levelsOf {
	t.Helper()
	var told *levelsOf
	await(t, what, func() bool {
		status, body := fetchText(t, url+"/levels")
		told = new(levelsOf)
		return status == http.StatusOK && json.Unmarshal([]byte(body), told) == nil && so(told)
	})
	return told
}

// uses shows what is told of the first service's levels.
func uses(told *levelsOf) string {
	var words []string
	for _, l := range told.Services[0].Levels {
		words = append(words, fmt.Sprintf("%s %d: %g of %g by %g, %d granted, %d requested, %d clients",
			l.Level, l.Rank, l.Reserved, l.Share, l.Unit, l.Grants, l.Requested, len(l.Clients)))
	}
	return strings.Join(words, "; ")
}

func TestLevelsAreTold(t *testing.T) {
	db := storetest.Start(t)
	c := dialled(t, db)
	id := ask(t, c, grantee("alice", &gold, "web-1"))
	ask(t, c, grantee("bob", &silver, "web-1"))
	ask(t, c, grantee("carol", &gold, "web-2"))
	cfg := rapid(db)
	cfg.Levels = &Levels{Listen: ":0"}
	r := start(t, db, cfg)
	url := r.levelsAt()
	told := awaitLevels(t, url, "the levels", func(told *levelsOf) bool {
		return uses(told) == "gold 30: 0.05 of 0.5 by 0.05, 1 granted, 0 requested, 1 clients; silver 20: 0.1 of 1 by 0.1, 0 granted, 1 requested, 0 clients"
	})
	if told.Server != "web-1" || told.Services[0].Service != testService || told.Age < 0 {
		t.Errorf("%+v", told)
	}
	if got := told.Services[0].Levels[0].Clients[0]; got.Client != qos.Client(qos.KindID, "alice") || got.Address.String() != "198.51.100.7" ||
		got.Port != 4000 || got.Grant != id || got.Left <= 0 || got.Left > steer.DefaultDuration {
		t.Errorf("the client is %+v", got)
	}
	_, metrics := fetchText(t, url+"/metrics")
	for _, want := range []string{
		`farm_agent_level_reserved{level="gold",service="www.example.org."} 0.05`,
		`farm_agent_level_share{level="silver",service="www.example.org."} 1`,
		`farm_agent_level_unit{level="silver",service="www.example.org."} 0.1`,
		`farm_agent_level_grants{level="gold",service="www.example.org."} 1`,
		`farm_agent_level_requested{level="silver",service="www.example.org."} 1`,
		"farm_agent_levels_age_seconds ",
	} {
		if !strings.Contains(metrics, "\n"+want) {
			t.Errorf("want %s in\n%s", want, metrics)
		}
	}
	if _, err := c.Revoke(soon(t), testService, id); err != nil {
		t.Fatal(err)
	}
	awaitLevels(t, url, "the end of the grant", func(told *levelsOf) bool {
		return strings.HasPrefix(uses(told), "gold 30: 0 of 0.5 by 0.05, 0 granted")
	})

	db.Kill()
	awaitLevels(t, url, "what was told last to go on", func(told *levelsOf) bool {
		return told.Age > 0.5 && strings.Contains(uses(told), "silver 20: 0.1 of 1")
	})
	r.log.await(t, "cannot read levels and grants")
	r.stop()
	wantError(t, r.end(), "")
	if _, err := http.Get(url + "/levels"); err == nil {
		t.Error("an agent that has left still tells of levels")
	}
}

// Without the right to read the levels, and with that to read grants, what grants say of their levels is told.
func TestLevelsWithoutTheRightToReadThem(t *testing.T) {
	db := storetest.Start(t)
	c := dialled(t, db)
	ask(t, c, grantee("alice", &gold, "web-1"))
	agents := "-@all +hello +auth +ping +select +command +eval +evalsha +time +hsetnx +hincrby +hget +hset +hdel +hexists +hlen +hrandfield +xadd ~farm:{[01]*"
	rights := map[string]string{
		"some": agents + " +hscan",
		"all":  agents + " +multi +exec +hmget +hscan +xrevrange +scan +get %R~farm:node:*",
	}
	for user, want := range map[string]string{
		"some": "gold 0: 0.05 of 0.5 by 0.05, 1 granted, 0 requested, 1 clients",
		"all":  "gold 30: 0.05 of 0.5 by 0.05, 1 granted, 0 requested, 1 clients; silver 20: 0 of 1 by 0.1, 0 granted, 0 requested, 0 clients",
	} {
		db.Do(append([]string{"ACL", "SETUSER", user, "on", ">secret", "resetchannels"}, strings.Fields(rights[user])...)...)
		cfg := rapid(db)
		cfg.Redis = []string{db.As(user, "secret")}
		cfg.Server = "web-1"
		cfg.Levels = &Levels{Listen: "127.0.0.1:0"}
		cfg.Drain = new(time.Duration(-1))
		r := start(t, db, cfg)
		awaitLevels(t, r.levelsAt(), "what "+user+" may know", func(told *levelsOf) bool { return uses(told) == want })
		if (r.log.count("cannot read levels and grants") == 1) != (user == "some") {
			t.Errorf("user %s: the log does not say once what cannot be read", user)
		}
		r.stop()
		wantError(t, r.end(), "")
	}
}

func TestLevelsThatCannotListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := rapid(storetest.Start(t))
	cfg.Levels = &Levels{Listen: l.Addr().String()}
	wantError(t, Run(soon(t), cfg, quiet), "config: levels: listen tcp "+l.Addr().String())
}

func TestLevelsAddress(t *testing.T) {
	for listen, want := range map[string]string{":9000": "127.0.0.1:9000", "0.0.0.0:9000": "0.0.0.0:9000", "[::1]:9000": "[::1]:9000"} {
		if got := (&Levels{Listen: listen}).address(); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

// Whoever asks too early, or in another way, is told so.
func TestLevelsBeforeTheDatabase(t *testing.T) {
	l := &levels{log: quiet}
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/levels", http.StatusServiceUnavailable}, {"HEAD", "/metrics", http.StatusOK}, {"GET", "/metrics", http.StatusOK},
		{"POST", "/levels", http.StatusMethodNotAllowed}, {"GET", "/", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		l.handler().ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, nil))
		if w.Code != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, w.Code, tc.status)
		}
	}
}

// What is told follows from what was read, and how long ago that was.
func TestTell(t *testing.T) {
	grant := func(name string, l *steer.Level, state qos.State, end int64) qos.Grant {
		g := grantee(name, l, "web-1")
		g.State, g.End = state, end
		return g
	}
	bronze := steer.Level{Name: "bronze", Rank: 10, Unit: 0.2, Share: 0.4}
	p := &picture{
		at: epoch, now: 1_000_000, levels: map[string][]steer.Level{testService: {silver, gold}},
		grants: []qos.Grant{
			grant("a", &gold, qos.Granted, 1_010_000), grant("b", &gold, qos.GrantedLower, 1_030_000),
			grant("c", &gold, qos.Requested, 1_020_000), grant("d", &bronze, qos.Granted, 1_040_000),
			grant("e", &silver, qos.Granted, 999_000),
		},
	}
	for _, tc := range []struct {
		after time.Duration
		want  string
	}{
		{0, "gold 30: 0.15 of 0.5 by 0.05, 2 granted, 1 requested, 2 clients; silver 20: 0 of 1 by 0.1, 0 granted, 0 requested, 0 clients; bronze 0: 0.2 of 0.4 by 0.2, 1 granted, 0 requested, 1 clients"},
		{10 * time.Second, "gold 30: 0.1 of 0.5 by 0.05, 1 granted, 1 requested, 1 clients; silver 20: 0 of 1 by 0.1, 0 granted, 0 requested, 0 clients; bronze 0: 0.2 of 0.4 by 0.2, 1 granted, 0 requested, 1 clients"},
		{time.Hour, "gold 30: 0 of 0.5 by 0.05, 0 granted, 0 requested, 0 clients; silver 20: 0 of 1 by 0.1, 0 granted, 0 requested, 0 clients"},
	} {
		told := p.tell("web-1", []string{testService}, epoch.Add(tc.after))
		if got := uses(told); got != tc.want || told.Age != tc.after.Seconds() {
			t.Errorf("after %s: got  %s\nwant %s", tc.after, got, tc.want)
		}
	}
	if got := p.tell("web-1", []string{testService}, epoch.Add(time.Second)).Services[0].Levels[0].Clients; got[0].Left != 9 || got[1].Left != 29 {
		t.Errorf("what is left: %+v", got)
	}
}

// However many grants there are, and whatever they say: the parts add up, and levels are bounded.
func TestTellAddsUp(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	p := &picture{at: epoch, now: 1}
	want := make(map[string]int64)
	for range 2000 {
		l := steer.Level{Name: fmt.Sprint("l", rng.Intn(2*maxLevels)), Unit: float64(1+rng.Intn(1000)) / qos.Million}
		g := grantee(fmt.Sprint(rng.Int()), &l, "web-1")
		g.State, g.End = qos.Granted, 10_000
		p.grants = append(p.grants, g)
		want[l.Name] += g.Unit
	}
	told := p.tell("web-1", []string{testService}, epoch)
	if n := len(told.Services[0].Levels); n != maxLevels {
		t.Errorf("%d levels, want %d", n, maxLevels)
	}
	for _, l := range told.Services[0].Levels {
		if l.Reserved != part(want[l.Level]) {
			t.Errorf("level %s: %v reserved, want %v", l.Level, l.Reserved, part(want[l.Level]))
		}
	}
	if err := json.NewEncoder(io.Discard).Encode(told); err != nil {
		t.Error(errors.Unwrap(err))
	}
}
