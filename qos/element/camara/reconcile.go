package camara

import (
	"context"
	"errors"
	"sync"

	"github.com/coredns-farm/farm/qos"
)

// Reconcile looks at the session of each live grant that it has not seen lately, finds those whose names were lost, and
// tells as Events what is otherwise than the broker believes. What is held and was not live at the last call either is given back. An error means
// that some could not be looked at; the others were.
func (e *Element) Reconcile(ctx context.Context, live []*qos.Grant) error {
	var mu sync.Mutex
	var failed error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err // one stands for all: the operator is out of reach
		}
	}
	ids := make(map[qos.GrantID]bool, len(live))
	for _, g := range live {
		ids[g.ID] = true
	}
	inParallel(live, func(g *qos.Grant) { fail(e.check(ctx, g)) })
	for _, one := range e.sessions.absentees(ids) {
		fail(e.Release(ctx, &one.grant))
	}
	if failed == nil {
		e.ready.Store(true)
	}
	wake(e.nudged)
	return failed
}

// check looks at the session of a live grant.
func (e *Element) check(ctx context.Context, g *qos.Grant) error {
	one, ok := e.sessions.get(g.ID)
	if ok && one.session != "" && !one.failed && one.given == g.State.Given() && one.next.After(e.now()) {
		return nil // the broker knows what is known, and it is looked at when its time has come
	}
	if !ok || one.session == "" {
		if !isUUID(g.Session) {
			return e.recover(ctx, g)
		}
		found := held{grant: *g, session: g.Session}
		found.next = e.nextLook(found) // by then, it has been looked at here
		e.sessions.put(found)
	}
	e.sessions.update(g.ID, func(one *held) {
		one.given = g.State.Given() // what it was told and has not kept, it is told again
		if one.given && one.end == 0 {
			one.end = g.End
		}
	})
	if one, ok = e.sessions.get(g.ID); !ok {
		return nil // it was given back meanwhile
	}
	err := e.look(ctx, one)
	if problemOf(err) != nil {
		return errors.New("a session cannot be looked at: " + err.Error())
	}
	return err
}

// recover looks for the session of a grant whose name is not known. A request that has none yet is asked for by Grant.
func (e *Element) recover(ctx context.Context, g *qos.Grant) error {
	req, why := e.requestOf(g)
	if why != "" {
		return nil
	}
	out, found, err := e.search(ctx, g, req)
	switch {
	case problemOf(err) != nil:
		return errors.New("a session cannot be looked for: " + err.Error())
	case err != nil:
		return err
	case found && out.State != qos.Requested:
		e.tell(g, out)
	case !found && g.State.Given():
		e.tell(g, noSession())
	}
	return nil
}
