package farm

import (
	"net/netip"
	"slices"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// books is where keys, handles and grants are: in the memory of the store, or of a test. None of it blocks.
type books interface {
	Keyring() *qos.Keyring                 // nil is none
	Handle(qos.HandleID) *qos.HandleRecord // nil is unknown; it is not to be changed
	Grant(service string, c qos.ClientID) (*qos.Grant, bool)
	Await(service string, c qos.ClientID) (changed <-chan struct{}, done func(), ok bool)
	Ask(store.Request) bool
}

// ledger is the books of a running database.
type ledger struct {
	*store.View
	*store.Entitlements
	store *store.Store
}

func (l ledger) Ask(r store.Request) bool { return l.store.Ask(r) }

// requestTTL bounds, in seconds, what is answered while a request is open: the answer may be another one soon.
const requestTTL = 5

// For how long, in ms, a refusal is taken for an answer, and that there was no room for one: that may change at any time.
const (
	refusedFor = 10_000
	fullFor    = 1000
)

// decideAt chooses the server for a client of a level that is granted, and sees to its grant: the one that it has keeps it
// where it is; else one is requested for the server that was chosen. It may wait for the grant, if it is to.
func (f *Farm) decideAt(q *query, farm *steer.Farm, sq *steer.Query, p *steer.Pick) {
	g := f.grantOf(q, farm)
	if g != nil && g.State == qos.Refused && q.level.Needs(steer.RequiresNetwork) {
		sq.Level = 0 // what it would get is not what it asked for
	}
	f.decideWith(farm, sq, g, p)
	switch f.request(q, farm, p, g) {
	case released:
		g = &qos.Grant{ID: g.ID, State: qos.Ended, Reason: qos.Released, Offer: g.Offer}
	case requested:
		if g = f.wait(q, farm); g != nil {
			f.decideWith(farm, sq, g, p)
		} else {
			g = &qos.Grant{State: qos.Requested, Offer: qos.Offer{Level: q.level.Name}}
		}
	}
	q.show(farm, g, p)
}

// decideWith keeps a client with a live grant at its server.
func (f *Farm) decideWith(farm *steer.Farm, sq *steer.Query, g *qos.Grant, p *steer.Pick) {
	sq.Granted = 0
	if g != nil && g.State.Live() {
		sq.Granted = int32(farm.ByID(g.Server) + 1)
	}
	steer.DecideInto(p, farm, f.memory.learned, sq)
}

// grantOf returns the client's grant at the service, as far as it says anything now; else nil.
func (f *Farm) grantOf(q *query, farm *steer.Farm) *qos.Grant {
	g, ok := f.books.Grant(farm.Service.Name, q.right.client)
	switch {
	case !ok:
		return nil
	case g.State.Live() && q.now < g.End:
		return g
	case g.State == qos.Refused && g.Reason == qos.Full && q.now < g.End+fullFor,
		g.State == qos.Refused && g.Reason != qos.Full && q.now < g.End+refusedFor:
		return g
	}
	return nil
}

// asked is what a lookup asked the database for.
type asked uint8

const (
	nothing   asked = iota // or that a grant goes on, of which nothing is to be awaited
	requested              // a grant
	released               // that the grant ends
)

// request files a request where one is due: for a client that has no grant for what it asks, or one of which half is over,
// or that gives its grant back; and that may ask at all.
func (f *Farm) request(q *query, farm *steer.Farm, p *steer.Pick, g *qos.Grant) asked {
	what := q.due(p, g)
	switch {
	case what == nothing && !q.renews(p, g):
		return nothing
	case !q.unspoofed():
		filed.spoofable.Inc()
		return nothing
	case !f.limiter.Allow(steer.WhoIs(q.right.client), q.now):
		filed.limited.Inc()
		return nothing
	}
	r := store.Request{Release: what == released}
	if what == released {
		r.Service, r.Client = farm.Service.Name, q.right.client
	} else {
		r.Grant = q.requestFor(farm, p)
	}
	if !f.books.Ask(r) {
		filed.dropped.Inc()
		return nothing
	}
	filed.filed.Inc()
	return what
}

// due is what a lookup has to ask for: the truth table of requests, but for renewals.
func (q *query) due(p *steer.Pick, g *qos.Grant) asked {
	live := g != nil && g.State.Live()
	switch {
	case q.option.Drop && q.option.HasRelease:
		if live && g.ID == qos.GrantID(q.option.Release) {
			return released
		}
		return nothing
	case q.option.NoGrant, q.option.Dry, p.N == 0, p.Level == 0:
		return nothing
	case q.fits(p, g):
		return nothing
	case g != nil && g.State == qos.Refused:
		return nothing // it was told so a moment ago
	}
	return requested
}

// fits says whether the client has the grant that it would ask for.
func (q *query) fits(p *steer.Pick, g *qos.Grant) bool {
	return g != nil && g.State.Live() && p.By == steer.ByGrant && (g.Asked == q.level.Name || g.Level == q.level.Name)
}

// renews says whether the client's grant has less than half of its time to go, and is to go on.
func (q *query) renews(p *steer.Pick, g *qos.Grant) bool {
	return q.fits(p, g) && g.State.Given() && !q.option.NoGrant && !q.option.Dry && !q.option.Drop && g.End-q.now <= int64(g.Duration)*1000/2
}

// requestFor is what a query's client asks for at the server of the pick.
func (q *query) requestFor(farm *steer.Farm, p *steer.Pick) qos.Grant {
	s := farm.Servers[p.Servers[0]]
	r := qos.Grant{
		Service: farm.Service.Name, Client: q.right.client, Server: s.ID, Asked: q.level.Name, Offer: qos.OfferOf(q.level),
		ClientAddr: q.client.addr, Phone: q.right.phone, ServerPort: s.Port,
	}
	if d := q.option.Device; d.IsValid() {
		r.ClientAddr, r.ClientPort = d.Addr(), d.Port()
	} else if q.right.addr.IsValid() {
		r.ClientAddr = q.right.addr
	}
	if d := max(q.option.Duration, q.label.Duration); d > 0 {
		r.Duration = min(r.Duration, d)
	}
	if left := (q.right.expires - q.now) / 1000; q.right.expires > 0 && left < int64(r.Duration) {
		r.Duration = uint32(max(left, 1)) // a grant does not outlive the handle
	}
	r.ServerAddr = addressFor(s, r.ClientAddr)
	for i := len(farm.Service.Levels) - 1; i >= 0; i-- {
		if l := &farm.Service.Levels[i]; l.Rank < q.level.Rank && needsGrant(l) && len(r.Lower) < qos.MaxLower {
			r.Lower = append(r.Lower, qos.OfferOf(l))
		}
	}
	if q.option.HasRequestID {
		r.ID = qos.GrantID(q.option.RequestID)
	}
	return r
}

// addressFor returns the server's first address of the client's family, or its first.
func addressFor(s *steer.Server, client netip.Addr) netip.Addr {
	if len(s.Addresses) == 0 {
		return netip.Addr{}
	}
	i := slices.IndexFunc(s.Addresses, func(a netip.Addr) bool { return a.Is4() == client.Is4() })
	return s.Addresses[max(i, 0)]
}

// wait holds the answer until the client's request is answered, for as long as it is to be held, and returns what the client
// has by then; nil if nothing is new.
func (f *Farm) wait(q *query, farm *steer.Farm) *qos.Grant {
	if f.conf.qos.wait <= 0 || q.asksByOption && !q.option.Wait {
		return nil
	}
	t := time.NewTimer(f.conf.qos.wait)
	defer t.Stop()
	for {
		// What changed before Await is seen by looking after it.
		changed, done, ok := f.books.Await(farm.Service.Name, q.right.client)
		g := f.grantOf(q, farm)
		if !ok {
			return g // too many wait already
		}
		if g == nil || g.State == qos.Requested {
			select {
			case <-changed:
				done()
				continue
			case <-t.C:
			case <-q.ctx.Done():
			}
		}
		done()
		return g
	}
}

// show notes what the client is told of its grant.
func (q *query) show(farm *steer.Farm, g *qos.Grant, p *steer.Pick) {
	if p.N > 0 {
		q.shown.Server = farm.Servers[p.Servers[0]].ID
	}
	if g == nil {
		return
	}
	q.shown.State, q.shown.Grant, q.shown.Level = g.State, g.ID, g.Level
	if g.Reason != qos.NoReason {
		q.shown.Reason = g.Reason
	}
	if g.State.Live() {
		q.shown.Left = uint32(max(g.End-q.now, 0) / 1000)
	}
	if g.State.Given() {
		q.shown.DSCP, q.shown.HasDSCP = g.DSCP, g.DSCP > 0
	}
	if g.State == qos.Refused && q.reason.text == "" {
		q.reason = notGranted
	}
}

// grantTTL bounds how long an answer stands: not longer than the grant, and not at all where it hangs on what no cache sees.
func (q *query) grantTTL(ttl uint32) uint32 {
	switch {
	case q.level == nil:
		return ttl
	case q.right.origin == byOption || q.asksByOption:
		return 0
	case q.shown.State == qos.Requested:
		return min(ttl, requestTTL)
	case q.shown.State.Given():
		return min(ttl, q.shown.Left)
	}
	return ttl
}
