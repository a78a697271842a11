package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// errChanged means that a grant has changed while an element was asked: it is read anew.
var errChanged = errors.New("the grant has changed meanwhile")

// maxChanges is how often in a row a grant may change while it is worked on, before that is a cause to pause.
const maxChanges = 4

// patience is for how long something is tried: no request lives longer. What an element still holds then, is found when
// it is reconciled.
const patience = time.Minute

// work does what there is to do for a grant, and acknowledges it. What is cut short by the end of the broker is not
// acknowledged: the next broker does it.
func (b *broker) work(id element.GrantOf, items []item, more <-chan struct{}) {
	looks := false
	for _, it := range items {
		if it.event == nil {
			looks = true
			continue
		}
		b.persist(id, more, func(ctx context.Context) error { return b.happened(ctx, it.site, it.event) })
	}
	if looks && !b.persist(id, more, func(ctx context.Context) error { return b.settle(ctx, id) }) {
		return
	}
	for _, it := range items {
		if it.work != nil {
			b.ack(it)
		}
	}
}

func (b *broker) ack(it item) {
	// One that is not acknowledged is handed out again, and finds nothing to do.
	if err := b.db.Ack(b.life, *it.work); err != nil {
		b.log.Debug("work cannot be acknowledged", "error", err)
	}
}

// persist tries something until it succeeds, with pauses. It returns false if the broker has to end before that; when it
// gives up, that is an end, too. Something new for the same grant cuts a pause short.
func (b *broker) persist(id element.GrantOf, more <-chan struct{}, try func(context.Context) error) (done bool) {
	end := time.Now().Add(patience)
	for failures := 0; ; {
		err := try(b.life)
		switch failures++; {
		case err == nil:
			return true
		case b.ended():
			return false
		case time.Now().After(end):
			b.metrics.givenUp.Inc()
			b.log.Warn("given up on a grant", "service", id.Service, "grant", id.ID, "error", err)
			return true
		case errors.Is(err, errChanged) && failures < maxChanges:
		default:
			pause(b.quit, more, backoff(failures, rand.Float64()))
		}
	}
}

// pause waits, unless something cuts it short.
func pause(quit, more <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-more:
	case <-quit:
	}
}

// settle reads a grant and has its element do what it needs.
func (b *broker) settle(ctx context.Context, id element.GrantOf) error {
	g, known, err := b.db.Grant(ctx, id.Service, id.ID)
	if err != nil {
		return err
	}
	if !known {
		return b.releaseEverywhere(ctx, id)
	}
	switch actOf(&g) {
	case ask:
		return b.ask(ctx, &g, offers(&g), nil)
	case extend:
		return b.extend(ctx, &g)
	}
	if s := b.sites.of(g.Element); s != nil {
		return b.release(ctx, s, &g)
	}
	return nil
}

// ask asks for one offer after the other, until an element says yes. refused is the refusal of a better one, if there
// was one.
func (b *broker) ask(ctx context.Context, g *qos.Grant, offers []qos.Offer, refused *element.Outcome) error {
	for _, o := range offers {
		if !o.Network {
			return b.answer(ctx, nil, g, answerOf(g, o, element.Outcome{State: qos.Granted}))
		}
		s := b.sites.of(o.Element)
		if s == nil {
			continue
		}
		request := with(g, o)
		request.End = localEnd(g, nowMillis())
		out, err := s.grant(ctx, &request)
		if err != nil {
			return err
		}
		if out.State == qos.Granted || out.State == qos.Requested {
			return b.answer(ctx, s, g, answerOf(g, o, out))
		}
		if refused == nil {
			refused = &out
		}
	}
	if refused == nil {
		b.notOurs(g)
		return nil
	}
	return b.answer(ctx, nil, g, without(g, *refused))
}

func (b *broker) notOurs(g *qos.Grant) {
	b.metrics.elsewhere.Inc()
	b.log.Debug("work for an element that is not here", "element", g.Element, "service", g.Service, "grant", g.ID)
}

func (b *broker) extend(ctx context.Context, g *qos.Grant) error {
	s := b.sites.of(g.Element)
	if s == nil {
		b.notOurs(g)
		return nil
	}
	local := *g
	local.End = localEnd(g, nowMillis())
	out, err := s.extend(ctx, &local)
	if err != nil {
		return err
	}
	if out.End == local.End {
		out.End = 0 // as it was asked, on whatever clock
	}
	a, news := extended(g, out)
	if !news {
		return nil
	}
	return b.answer(ctx, nil, g, a)
}

func (b *broker) release(ctx context.Context, s *site, g *qos.Grant) error {
	if err := s.release(ctx, g); err != nil {
		return err
	}
	b.log.Debug("released", "element", s.name, "service", g.Service, "grant", g.ID)
	return nil
}

// releaseEverywhere is for a grant that the database does not know (any more), and so does not say whose it was.
func (b *broker) releaseEverywhere(ctx context.Context, id element.GrantOf) error {
	var errs []error
	for _, s := range b.sites {
		errs = append(errs, b.release(ctx, s, &qos.Grant{Service: id.Service, ID: id.ID}))
	}
	return errors.Join(errs...)
}

// answer writes an answer. holder is the element that now holds the grant, nil for none: if the answer is not taken, and
// nobody else has made the grant stand there, it is released.
func (b *broker) answer(ctx context.Context, holder *site, was *qos.Grant, a qos.Grant) error {
	taken, err := b.db.Answer(ctx, was.Service, a)
	if err != nil {
		return err
	}
	if taken {
		name := a.Element
		if s := b.sites.of(name); s != nil {
			name = s.name
		}
		b.metrics.outcomes.WithLabelValues(name, a.State.String(), a.Reason.String()).Inc()
		b.log.Info(a.State.String(), "service", a.Service, "grant", a.ID, "client", a.Client, "server", a.Server,
			"level", a.Level, "element", name, "network", a.Network, "reason", a.Reason, "detail", a.Detail)
		return nil
	}
	if holder == nil {
		return errChanged
	}
	now, _, err := b.db.Grant(ctx, was.Service, was.ID)
	if err != nil {
		return err
	}
	if !now.State.Live() || !now.Network || b.sites.of(now.Element) != holder {
		if err := b.release(ctx, holder, &a); err != nil {
			return err
		}
	}
	return errChanged
}

// happened takes in what an element has done by itself.
func (b *broker) happened(ctx context.Context, s *site, ev *element.Event) error {
	g, known, err := b.db.Grant(ctx, ev.ID.Service, ev.ID.ID)
	if err != nil {
		return err
	}
	switch a := actOf(&g); {
	case !known || a == release || b.sites.of(g.Element) != s:
		if ev.State != qos.Granted {
			return nil
		}
		g.Service, g.ID = ev.ID.Service, ev.ID.ID
		return b.release(ctx, s, &g)
	case a == ask && ev.State == qos.Granted:
		return b.answer(ctx, s, &g, answerOf(&g, g.Offer, ev.Outcome))
	case a == ask:
		return b.ask(ctx, &g, g.Lower, &ev.Outcome)
	case ev.State == qos.Granted && ev.End < g.End-clockSlack:
		// The element holds it for less long than it stands: an extension was lost on its way. What it then has, counts.
		return b.extend(ctx, &g)
	default:
		answer, news := extended(&g, ev.Outcome)
		if !news {
			return nil
		}
		return b.answer(ctx, nil, &g, answer)
	}
}

func nowMillis() int64 { return time.Now().UnixMilli() }
