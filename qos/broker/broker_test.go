package broker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

var quiet = slog.New(slog.DiscardHandler)

// stage is a real Redis, and an element that brokers ask.
type stage struct {
	*testing.T
	redis *storetest.Redis
	db    *store.Client
	fake  *fakeElement
}

func newStage(t *testing.T) *stage {
	t.Helper()
	r := storetest.Start(t)
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &stage{t, r, db, newFakeElement()}
}

// start starts a broker; what it returns ends it, and waits until it has. With a crash it may end before.
func (s *stage) start(name string, c *crash) (stop func()) {
	s.Helper()
	queue, err := s.db.Requests(name)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var db database = queued{s.db, queue}
	var e element.Element = s.fake
	if c != nil {
		c.die = cancel
		db, e = mortalDB{db, c}, mortalElement{s.fake, c}
	}
	m := newMetrics()
	b := newBroker(db, sites{newSite("edge", e, quiet, m)}, quiet, m)
	var running sync.WaitGroup
	running.Go(func() { b.run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		queue.Close()
	})
	s.Cleanup(stop)
	return stop
}

// request is one for gold, or else silver, of a client that is different in each service.
func request(service string) store.Request {
	return store.Request{Grant: qos.Grant{
		Service: service, Client: qos.Client(qos.KindID, service), Server: "web1", Asked: "gold",
		Offer: gold, Lower: []qos.Offer{silver},
		ClientAddr: netip.MustParseAddr("192.0.2.1"), ServerAddr: netip.MustParseAddr("198.51.100.1"),
	}}
}

func (s *stage) ask(r store.Request) qos.Grant {
	s.Helper()
	g, err := s.db.Ask(s.Context(), r)
	if err != nil {
		s.Fatalf("asking: %v", err)
	}
	return g
}

func (s *stage) read(g qos.Grant) qos.Grant {
	s.Helper()
	now, known, err := s.db.Grant(s.Context(), g.Service, g.ID)
	if err != nil || !known {
		s.Fatalf("reading grant %s of %s: known %t, %v", g.ID, g.Service, known, err)
	}
	return now
}

// becomes awaits a state, and returns the grant in it.
func (s *stage) becomes(g qos.Grant, want qos.State) (now qos.Grant) {
	s.Helper()
	storetest.Eventually(s.T, fmt.Sprintf("the grant of %s is %s", g.Service, want), func() bool {
		now = s.read(g)
		return now.State == want
	})
	return now
}

// isHeld awaits that the element holds a grant at a level, or, with an empty one, not at all.
func (s *stage) isHeld(g qos.Grant, level string) {
	s.Helper()
	storetest.Eventually(s.T, fmt.Sprintf("the element holds the grant of %s at %q", g.Service, level), func() bool {
		return s.fake.holds(g.Service, g.ID) == level
	})
}

func TestAskAndRelease(t *testing.T) {
	s := newStage(t)
	s.start("one", nil)
	g := s.becomes(s.ask(request("a.example.org.")), qos.Granted)
	if g.Level != "gold" || !g.Network || g.Session != "fake" {
		t.Errorf("got %+v, want gold on the network, with the element's session", g)
	}
	s.isHeld(g, "gold")
	if _, err := s.db.Revoke(t.Context(), g.Service, g.ID); err != nil {
		t.Fatal(err)
	}
	s.isHeld(g, "")
	if now := s.read(g); now.State != qos.Ended || now.Reason != qos.Revoked {
		t.Errorf("got %+v, want that it was revoked", now)
	}
}

func TestRefusals(t *testing.T) {
	no := element.Outcome{State: qos.Refused, Reason: qos.ByElement, Detail: "no room"}
	for _, c := range []struct {
		name    string
		refuses []string
		change  func(*store.Request)
		want    qos.Grant // State, Level, Network and Reason
		held    string
	}{
		{"the next lower one", []string{"gold"}, func(*store.Request) {},
			qos.Grant{State: qos.GrantedLower, Offer: qos.Offer{Level: "silver", Network: true}}, "silver"},
		{"the server's part alone", []string{"gold", "silver"}, func(*store.Request) {},
			qos.Grant{State: qos.Granted, Offer: qos.Offer{Level: "gold"}, Reason: qos.ByElement}, ""},
		{"nothing", []string{"gold", "silver"}, func(r *store.Request) { r.NeedsNetwork = true },
			qos.Grant{State: qos.Refused, Offer: qos.Offer{Level: "gold", Network: true}, Reason: qos.ByElement}, ""},
		{"a lower one that is the server's alone", []string{"gold"}, func(r *store.Request) { r.Lower[0].Network = false },
			qos.Grant{State: qos.GrantedLower, Offer: qos.Offer{Level: "silver"}}, ""},
		{"a lower one of an element that is not here", []string{"gold"}, func(r *store.Request) {
			r.NeedsNetwork = true
			r.Lower[0].Element = "elsewhere"
		}, qos.Grant{State: qos.Refused, Offer: qos.Offer{Level: "gold", Network: true}, Reason: qos.ByElement}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			for _, level := range c.refuses {
				s.fake.answers[level] = no
			}
			s.start("one", nil)
			r := request("a.example.org.")
			c.change(&r)
			g := s.becomes(s.ask(r), c.want.State)
			if g.Level != c.want.Level || g.Network != c.want.Network || g.Reason != c.want.Reason {
				t.Errorf("got %+v, want %+v", g, c.want)
			}
			s.isHeld(g, c.held)
		})
	}
}

// An element that tells later, and one that ends by itself.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []element.Outcome
		states []qos.State
		level  string
		reason qos.Reason
	}{
		{"granted, then ended", []element.Outcome{{State: qos.Granted, Session: "later"}, {State: qos.Ended, Reason: qos.ByElement}},
			[]qos.State{qos.Granted, qos.Ended}, "gold", qos.ByElement},
		{"refused, then a lower one", []element.Outcome{{State: qos.Refused, Reason: qos.ByElement}},
			[]qos.State{qos.GrantedLower}, "silver", qos.NoReason},
		{"ended before it was granted", []element.Outcome{{State: qos.Ended, Reason: qos.ByElement}},
			[]qos.State{qos.GrantedLower}, "silver", qos.NoReason},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.fake.answers["gold"] = element.Outcome{State: qos.Requested, Session: "later"}
			s.start("one", nil)
			r := request("a.example.org.")
			r.NeedsNetwork = true
			g := s.ask(r)
			s.isHeld(g, "gold")
			for i, out := range c.events {
				s.fake.events <- element.Event{ID: element.GrantOf{Service: g.Service, ID: g.ID}, Outcome: out}
				g = s.becomes(g, c.states[i])
			}
			if g.Level != c.level || g.Reason != c.reason {
				t.Errorf("got %+v, want %s, reason %q", g, c.level, c.reason)
			}
		})
	}
}

// What an element grants that the database does not want (any more) is released.
func TestUnwantedEvents(t *testing.T) {
	s := newStage(t)
	s.start("one", nil)
	id := element.GrantOf{Service: "a.example.org.", ID: qos.GrantID{1}}
	s.fake.set(func(f *fakeElement) { f.held[id] = qos.Grant{Offer: gold} })
	s.fake.events <- element.Event{ID: id, Outcome: element.Outcome{State: qos.Granted}}
	s.isHeld(qos.Grant{Service: id.Service, ID: id.ID}, "")
}

// A broken element is asked again, within the request's time.
func TestBrokenElement(t *testing.T) {
	s := newStage(t)
	s.fake.broken = 3
	s.start("one", nil)
	s.becomes(s.ask(request("a.example.org.")), qos.Granted)
}

// Each crash leaves behind something that the next broker of the name mends: whatever the step, the grant stands in the
// end, at the database and at the element alike; and when it is released, at neither.
func TestCrashAtEachStep(t *testing.T) {
	for _, how := range []struct {
		name    string
		refuses bool
	}{{"granted", false}, {"granted lower", true}} {
		t.Run(how.name, func(t *testing.T) {
			s := newStage(t)
			level, state := "gold", qos.Granted
			if how.refuses {
				s.fake.answers["gold"] = element.Outcome{State: qos.Refused, Reason: qos.ByElement}
				level, state = "silver", qos.GrantedLower
			}
			steps := 0
			for s.crashAt(&crash{steps: steps}, fmt.Sprintf("n%d.example.org.", steps), level, state) {
				if steps++; steps > 100 {
					t.Fatal("expected an end to the steps")
				}
			}
			if steps < 6 { // each of reading, asking and answering can end before it and after it
				t.Errorf("a broker died at %d steps, want more", steps)
			}
			if s.fake.twice {
				t.Error("the element was called twice at a time for one grant")
			}
		})
	}
}

// crashAt has a broker die while a grant is asked for, and then while it is released, each time with another one after
// it. It says whether it died.
func (s *stage) crashAt(c *crash, service, level string, state qos.State) bool {
	s.Helper()
	steps := c.steps
	g := s.ask(request(service))
	s.untilDead(c, func() bool { return s.read(g).State == state })
	stop := s.start("one", nil)
	s.becomes(g, state)
	s.isHeld(g, level)
	stop()
	if _, err := s.db.Release(s.Context(), g.Service, g.ID); err != nil {
		s.Fatal(err)
	}
	c2 := &crash{steps: steps}
	s.untilDead(c2, func() bool { return s.fake.holds(g.Service, g.ID) == "" })
	stop = s.start("one", nil)
	s.isHeld(g, "")
	stop()
	return c.died() || c2.died()
}

// untilDead runs a broker that may die until it has, or until what it was to do is done and acknowledged.
func (s *stage) untilDead(c *crash, done func() bool) {
	s.Helper()
	stop := s.start("one", c)
	storetest.Eventually(s.T, "the broker dies, or its work is done", func() bool { return c.died() || done() && s.idle() })
	stop()
}

// idle reports whether no work is under way.
func (s *stage) idle() bool {
	for shard := range store.Shards {
		out := s.redis.Do("EVAL", `if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
			local ok, got = pcall(redis.call, 'XPENDING', KEYS[1], 'broker')
			return ok and got[1] or 0`, "1", fmt.Sprintf("farm:{%02d}:req", shard))
		if out != "0" {
			return false
		}
	}
	return true
}

// A grant that its client renews goes on at the element.
func TestRenewal(t *testing.T) {
	s := newStage(t)
	s.start("one", nil)
	r := request("a.example.org.")
	r.Duration = 8 // s; it is renewed once half of it is over
	g := s.becomes(s.ask(r), qos.Granted)
	storetest.Eventually(t, "the grant is renewed", func() bool { return s.ask(r).Version > g.Version })
	storetest.Eventually(t, "the element hears of it", func() (heard bool) {
		s.fake.set(func(f *fakeElement) { heard = f.extends > 0 })
		return heard
	})
	if now := s.read(g); now.End <= g.End || now.State != qos.Granted {
		t.Errorf("got %+v, want it to end later than %d", now, g.End)
	}
}

// Two brokers share the work, and no grant is worked on by both.
func TestTwoBrokers(t *testing.T) {
	s := newStage(t)
	s.start("one", nil)
	s.start("two", nil)
	var all []qos.Grant
	for i := range 40 {
		all = append(all, s.ask(request(fmt.Sprintf("n%d.example.org.", i))))
	}
	for _, g := range all {
		s.becomes(g, qos.Granted)
	}
	if s.fake.twice {
		t.Error("the element was called twice at a time for one grant")
	}
}

// A database that is lost for a while costs nothing that stands; afterwards the broker goes on.
func TestDatabaseLost(t *testing.T) {
	s := newStage(t)
	s.start("one", nil)
	a := s.becomes(s.ask(request("a.example.org.")), qos.Granted)
	s.redis.Restart() // it comes back empty
	b := request("b.example.org.")
	var g qos.Grant
	storetest.Eventually(t, "the database takes requests again", func() bool {
		var err error
		g, err = s.db.Ask(t.Context(), b)
		return err == nil
	})
	s.becomes(g, qos.Granted)
	if s.fake.holds(a.Service, a.ID) == "" {
		t.Error("expected what was granted to be held until the element is reconciled")
	}
}

// What the database has and the queue has lost is found.
func TestForgottenRequests(t *testing.T) {
	b := &broker{sites: sites{{name: "edge"}}}
	for _, c := range []struct {
		name   string
		change func(*qos.Grant)
		want   bool
	}{
		{"asked long ago", func(*qos.Grant) {}, true},
		{"asked just now", func(g *qos.Grant) { g.End += 20_000 }, false},
		{"the element will tell", func(g *qos.Grant) { g.Session = "x" }, false},
		{"another's", func(g *qos.Grant) { g.Element = "elsewhere" }, false},
		{"granted", func(g *qos.Grant) { g.State = qos.Granted }, false},
	} {
		g := qos.Grant{State: qos.Requested, Offer: gold, End: nowMillis() + 40_000}
		c.change(&g)
		if got := b.isForgotten(&g); got != c.want {
			t.Errorf("%s: got %t, want %t", c.name, got, c.want)
		}
	}
}
