package store_test

import (
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

var alice, bob = qos.Client(qos.KindID, "alice"), qos.Client(qos.KindID, "bob")

// gold and silver are offers with a server's part alone, and network one that an element has to grant.
var (
	gold    = qos.Offer{Level: "gold", Unit: 400_000, Share: 800_000, NeedsServer: true, Duration: 300}
	silver  = qos.Offer{Level: "silver", Unit: 100_000, Share: 500_000, NeedsServer: true, Duration: 300}
	network = qos.Offer{Level: "gold", Unit: 300_000, Share: 900_000, Network: true, NeedsServer: true, NeedsNetwork: true, Duration: 300, Down: 8000}
)

func request(client qos.ClientID, server string, o qos.Offer, lower ...qos.Offer) store.Request {
	return store.Request{Grant: qos.Grant{Service: www, Client: client, Server: server, Asked: o.Level, Offer: o, Lower: lower}}
}

// awaitGrant waits until a view shows a client's grant in a state.
func awaitGrant(t testing.TB, v *store.View, c qos.ClientID, state qos.State) *qos.Grant {
	t.Helper()
	var g *qos.Grant
	storetest.Eventually(t, "the grant is "+state.String(), func() bool {
		var ok bool
		g, ok = v.Grant(www, c)
		return ok && g.State == state
	})
	return g
}

// What a lookup asks for, the replica that asked and the others know within moments.
func TestAsk(t *testing.T) {
	r := storetest.Start(t)
	s := open(t, store.Config{URLs: []string{r.URL}})
	other := open(t, store.Config{URLs: []string{r.URL}, StateFile: t.TempDir() + "/state"}) // not the same store
	v, w := s.View(store.Base{}), other.View(store.Base{})
	ready, done, ok := v.Await(www, alice)
	if !ok {
		t.Fatal("there is no room to wait")
	}
	defer done()
	if !s.Ask(request(alice, "a", gold)) {
		t.Fatal("there is no room to ask")
	}
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody woke who waited")
	}
	for _, view := range []*store.View{v, w} {
		g := awaitGrant(t, view, alice, qos.Granted)
		if left := g.End - view.Now(); left > 300_000 || left < 200_000 || g.Server != "a" || g.Service != www {
			t.Errorf("%d ms left of %+v", left, g)
		}
	}
}

// That there is no room is known at once, and wakes who waits.
func TestAskForTooMuch(t *testing.T) {
	d := newDesk(t)
	s := open(t, store.Config{URLs: []string{d.redis.URL}})
	v := s.View(store.Base{})
	d.ask(request(bob, "a", qos.Offer{Level: "all", Unit: qos.Million, NeedsServer: true, Duration: 300}))
	ready, done, _ := v.Await(www, alice)
	defer done()
	s.Ask(request(alice, "a", gold))
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody woke who waited")
	}
	if g := awaitGrant(t, v, alice, qos.Refused); g.Reason != qos.Full {
		t.Errorf("got %+v", g)
	}
	bad := request(alice, "a", gold)
	bad.Duration = 0
	s.Ask(bad)
	storetest.Eventually(t, "all is counted", func() bool {
		return s.Status().Asks == store.AskCounts{Asked: 1, Refused: 1, Failed: 1}
	})
	s.Ask(store.Request{Release: true, Grant: qos.Grant{Service: www, Client: bob}})
	awaitGrant(t, v, bob, qos.Ended)
}

// Requests that pile up while the database is away are dropped, and nobody waits.
func TestAskWithoutRedis(t *testing.T) {
	s := open(t, store.Config{URLs: []string{"redis://127.0.0.1:1"}})
	refused := uint64(0)
	for range 5000 {
		if !s.Ask(request(alice, "a", gold)) {
			refused++
		}
	}
	if refused == 0 {
		t.Error("5000 wait")
	}
	storetest.Eventually(t, "those that waited are dropped, too", func() bool { return s.Status().Asks.Dropped > refused })
}

func TestAwaitIsBounded(t *testing.T) {
	s := open(t, store.Config{URLs: []string{"redis://127.0.0.1:1"}})
	v := s.View(store.Base{})
	var last func()
	for range 1024 {
		_, done, ok := v.Await(www, alice)
		if !ok {
			t.Fatal("there is no room")
		}
		last = done
	}
	if _, _, ok := v.Await(www, bob); ok {
		t.Error("one more than 1024 may wait")
	}
	last()
	last() // does no harm
	if _, _, ok := v.Await(www, bob); !ok {
		t.Error("a place that was given back is not given out")
	}
}

func TestLookingUpAllocatesNothing(t *testing.T) {
	d := newDesk(t)
	s := open(t, store.Config{URLs: []string{d.redis.URL}})
	v := s.View(store.Base{})
	d.ask(request(alice, "a", gold))
	id, rec := handle("one")
	must(t, d.c.PutHandle(t.Context(), id, rec))
	awaitGrant(t, v, alice, qos.Granted)
	storetest.Eventually(t, "the handle is known", func() bool { n, _ := rank(s, id); return n > 0 })
	e := s.Entitlements()
	n := testing.AllocsPerRun(1000, func() {
		v.Grant(www, alice)
		v.Grant(www, bob)
		e.Handle(id)
		e.Keyring()
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
