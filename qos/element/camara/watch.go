package camara

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// looks is how many sessions are looked at in parallel.
const looks = 8

// rarely is by how much less often a session is looked at that is available, and one that the operator notifies us of.
const rarely = 6

// watch looks at each session when its time has come, or when a notification says so, until the context ends.
func (e *Element) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.nudged:
		}
		due, _ := e.sessions.due(e.now())
		inParallel(due, func(one held) { _ = e.look(ctx, one) }) // it is looked at again
		if again, next := e.sessions.due(e.now()); len(again) > 0 {
			timer.Reset(minLook)
		} else if !next.IsZero() {
			timer.Reset(max(next.Sub(e.now()), minLook))
		}
	}
}

// minLook is the shortest pause between two rounds of looks: notifications must not make a flood of calls.
const minLook = 20 * time.Millisecond

func inParallel[T any](list []T, do func(T)) {
	var wg sync.WaitGroup
	free := make(chan struct{}, looks)
	for _, one := range list {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			do(one)
		})
	}
	wg.Wait()
}

// nextLook returns when to look at a session again.
func (e *Element) nextLook(one held) time.Time {
	now := e.now()
	return now.Add(pace(e.cfg.Poll, one.given, e.sink != nil, time.UnixMilli(one.end).Sub(now)))
}

// pace returns how long to wait before the next look. A session's end, when it comes before, is looked at too.
func pace(poll time.Duration, given, notified bool, left time.Duration) time.Duration {
	if given {
		poll *= rarely
	}
	if notified {
		poll *= rarely
	}
	if left += time.Second; left > 0 && left < poll {
		return left
	}
	return poll
}

// look asks the operator for a session, and tells the broker what is news to it. An error means that it could not be
// asked; it is looked at later.
func (e *Element) look(ctx context.Context, one held) error {
	ans, err := e.call(ctx, call{method: http.MethodGet, path: "/sessions/" + one.session, grant: one.grant.ID,
		expect: http.StatusOK, once: true})
	if problemOf(err).is(http.StatusNotFound) {
		e.lost(one)
		return nil
	}
	var info *sessionInfo
	if err == nil {
		info, err = decodeSession(ans.body)
	}
	if err != nil {
		one.next, one.failed = e.nextLook(one), true
		e.sessions.swap(one)
		return err
	}
	e.see(ctx, one, info, ans)
	return nil
}

// see takes in what a session has become.
func (e *Element) see(ctx context.Context, one held, info *sessionInfo, ans answer) {
	out := outcomeOf(info, one.given, ans)
	if !out.State.Live() {
		if e.sessions.take(one) {
			e.bury(ctx, one.grant.ID, info) // before the broker hears of it, and asks for the next one
			e.tell(&one.grant, out)
		}
		return
	}
	news := out.State == qos.Granted && (!one.given || sooner(out.End, one.end))
	if out.State == qos.Granted {
		one.given, one.end = true, out.End
	}
	one.next, one.hint, one.failed = e.nextLook(one), "", false
	if e.sessions.swap(one) && news {
		e.tell(&one.grant, out)
	}
}

// sooner tells whether a session ends noticeably before it was believed to.
func sooner(end, believed int64) bool {
	return end != 0 && end < believed-nearly.Milliseconds()
}

// lost lets a session go that the operator has not any more.
func (e *Element) lost(one held) {
	if !e.sessions.take(one) {
		return
	}
	out := element.Outcome{State: qos.Ended, Session: one.session, Reason: reasonOf(one.hint), Detail: one.hint}
	if one.hint == "" {
		out.Detail = noSession().Detail
		if one.end != 0 && e.now().UnixMilli() >= one.end-nearly.Milliseconds() {
			out.Reason = qos.Expired
		}
	}
	if !one.given {
		out.State = qos.Refused
	}
	e.tell(&one.grant, out)
}

func (e *Element) tell(g *qos.Grant, out element.Outcome) {
	e.queue.put(element.Event{ID: element.GrantOf{Service: g.Service, ID: g.ID}, Outcome: out})
}
