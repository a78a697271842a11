package camara

import (
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
)

// TestRestart: at each step, the element is thrown away and another one goes on with what the database holds. There is
// one session at the operator, in the state that the grant says.
func TestRestart(t *testing.T) {
	for name, notified := range map[string]bool{"polled": false, "notified": true} {
		for step, run := range map[string]func(*world){
			"POST not sent":        restartBeforePost,
			"POST not answered":    restartBeforeAnswer,
			"POST, no Reconcile":   restartWithoutReconcile,
			"session not stored":   restartBeforeStored,
			"AVAILABLE not seen":   restartBeforeAvailable,
			"end not seen":         restartBeforeEnd,
			"extend not answered":  restartInExtend,
			"DELETE not sent":      restartBeforeDelete,
			"DELETE not answered":  restartInDelete,
			"never stored, ended":  restartAndRelease,
			"event not taken down": restartBeforeEventStored,
		} {
			t.Run(name+"/"+step, func(t *testing.T) {
				op := sim.Config{}
				if step == "AVAILABLE not seen" || step == "event not taken down" {
					op.Setup = -1
				}
				run(newWorld(t, op, notified))
			})
		}
	}
}

// stands checks that the grant, and it alone, has a session.
func (w *world) stands(e *Element, g *qos.Grant) {
	w.Helper()
	out := w.grant(e, g)
	if s := w.one(); out.State != qos.Granted || out.Session != s.SessionID || s.QosStatus != sim.Available {
		w.Errorf("outcome %+v of session %+v", out, s)
	}
}

// interrupted makes the operator's answer to a call get lost, and the element with it.
func (w *world) interrupted(op, lost string, call func(*Element) error) {
	w.Helper()
	e, end := w.element()
	w.fail(sim.Fault{Operation: op, Lost: lost})
	if call(e) == nil {
		w.Fatalf("expected an error when the %s of %s is lost", lost, op)
	}
	end()
}

func restartBeforePost(w *world) {
	g := request()
	w.interrupted("createSession", sim.LostRequest, func(e *Element) error { _, err := e.Grant(w.Context(), g); return err })
	w.none()
	e, _ := w.element()
	w.reconcile(e, g)
	w.stands(e, g)
}

func restartBeforeAnswer(w *world) {
	g := request()
	w.interrupted("createSession", sim.LostAnswer, func(e *Element) error { _, err := e.Grant(w.Context(), g); return err })
	before := w.one()
	e, _ := w.element()
	w.reconcile(e, g)
	ev := w.event(e)
	if ev.State != qos.Granted || ev.Session != before.SessionID || !in(ev.End, 10*time.Minute) {
		w.Errorf("event %+v", ev)
	}
	w.stands(e, g)
	if n := w.Calls()["createSession"]; n != 1 {
		w.Errorf("asked %d times, expected once", n)
	}
}

func restartWithoutReconcile(w *world) {
	g := request()
	w.interrupted("createSession", sim.LostAnswer, func(e *Element) error { _, err := e.Grant(w.Context(), g); return err })
	e, _ := w.element()
	w.stands(e, g)
}

func restartBeforeStored(w *world) {
	g := request()
	first, end := w.element()
	out := w.grant(first, g)
	end()
	e, _ := w.element()
	w.reconcile(e, g) // the database knows no session
	if ev := w.event(e); ev.State != qos.Granted || ev.Session != out.Session {
		w.Errorf("event %+v", ev)
	}
	w.stands(e, g)
}

func restartBeforeAvailable(w *world) {
	g := request()
	first, end := w.element()
	out := w.grant(first, g)
	end()
	g.Session = out.Session
	w.Provide(out.Session)
	e, _ := w.element()
	w.reconcile(e, g)
	if ev := w.event(e); ev.State != qos.Granted || ev.Session != out.Session || !in(ev.End, 10*time.Minute) {
		w.Errorf("event %+v", ev)
	}
	w.stands(e, g)
}

// restartBeforeEventStored: an event that the broker has taken and not written down is told again.
func restartBeforeEventStored(w *world) {
	g := request()
	e, _ := w.element()
	out := w.grant(e, g)
	w.Provide(out.Session)
	w.event(e)
	w.reconcile(e, g)
	if ev := w.event(e); ev.State != qos.Granted || ev.Session != out.Session {
		w.Errorf("event %+v", ev)
	}
}

func restartBeforeEnd(w *world) {
	g := request()
	first, end := w.element()
	g = granted(g, w.grant(first, g))
	end()
	w.EndByNetwork(g.Session)
	e, _ := w.element()
	w.reconcile(e, g)
	if ev := w.event(e); ev.State != qos.Ended || ev.Reason != qos.ByElement || ev.Session != g.Session {
		w.Errorf("event %+v", ev)
	}
	w.none()
	next := request() // and the client can be granted anew
	w.stands(e, next)
}

func restartInExtend(w *world) {
	g := request()
	first, end := w.element()
	g = granted(g, w.grant(first, g))
	end()
	next := longer(g, 5*time.Minute)
	w.interrupted("extendQosSessionDuration", sim.LostAnswer, func(e *Element) error {
		w.reconcile(e, g)
		_, err := e.Extend(w.Context(), next)
		return err
	})
	longerBy := w.one().Duration
	e, _ := w.element()
	w.reconcile(e, g)
	out, err := e.Extend(w.Context(), next)
	if err != nil || out.State != qos.Granted || !in(out.End, 15*time.Minute) {
		w.Errorf("outcome %+v, %v", out, err)
	}
	if s := w.one(); s.Duration != longerBy {
		w.Errorf("extended twice: %d s, then %d s", longerBy, s.Duration)
	}
}

func restartBeforeDelete(w *world) {
	restartDelete(w, sim.LostRequest, 1)
}

func restartInDelete(w *world) {
	restartDelete(w, sim.LostAnswer, 0)
}

func restartDelete(w *world, lost string, left int) {
	g := request()
	first, end := w.element()
	g = granted(g, w.grant(first, g))
	end()
	w.interrupted("deleteSession", lost, func(e *Element) error { return e.Release(w.Context(), g) })
	if n := len(w.Sessions()); n != left {
		w.Errorf("expected %d sessions, got %d", left, n)
	}
	e, _ := w.element()
	w.reconcile(e)
	if err := e.Release(w.Context(), g); err != nil {
		w.Error(err)
	}
	w.none()
}

// restartAndRelease: a session that the database has never heard of is released too.
func restartAndRelease(w *world) {
	g := request()
	w.interrupted("createSession", sim.LostAnswer, func(e *Element) error { _, err := e.Grant(w.Context(), g); return err })
	w.one()
	e, _ := w.element()
	if err := e.Release(w.Context(), g); err != nil {
		w.Error(err)
	}
	w.none()
}

// TestReconcile: what is held and not live is given back, but not what was made meanwhile; what is live and gone is told.
func TestReconcile(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	w.cfg.Poll = maxPoll
	e, _ := w.element()
	a, b := request(), request2()
	a, b = granted(a, w.grant(e, a)), granted(b, w.grant(e, b))
	w.reconcile(e, a)
	if n := len(w.Sessions()); n != 2 {
		t.Fatalf("b may have been made meanwhile: expected 2 sessions, got %d", n)
	}
	w.reconcile(e, a, b)
	w.reconcile(e, a)
	w.reconcile(e, a)
	if s := w.one(); s.SessionID != a.Session {
		t.Errorf("session %+v", s)
	}
	w.delete(a.Session)
	e, _ = w.element()
	w.reconcile(e, a)
	if ev := w.event(e); ev.State != qos.Ended || ev.ID.ID != a.ID {
		t.Errorf("event %+v", ev)
	}
}

// TestReconcileSparesTheOperator: what was seen lately is not asked for again each time.
func TestReconcileSparesTheOperator(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	w.cfg.Poll = maxPoll
	e, _ := w.element()
	g := request()
	g = granted(g, w.grant(e, g))
	for range 3 {
		w.reconcile(e, g)
	}
	if n := w.Calls()["getSession"]; n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestReconcileTrouble: an operator out of reach is an error, and nothing is believed to be gone.
func TestReconcileTrouble(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	w.cfg.Poll = maxPoll
	first, end := w.element()
	g := request()
	g = granted(g, w.grant(first, g))
	end()
	e, _ := w.element()
	for _, f := range []sim.Fault{{Status: 503}, {Status: 429}, {Status: 403}, {Status: 401, Count: 2}} {
		f.Operation = "getSession"
		w.fail(f)
		if err := e.Reconcile(t.Context(), []*qos.Grant{g}); err == nil {
			t.Errorf("%+v: expected an error", f)
		}
	}
	w.reconcile(e, g)
	select {
	case ev := <-e.Events():
		t.Errorf("event %+v", ev)
	default:
	}
	w.stands(e, g)
}

// TestClockAhead: an operator's clock that is wrong moves no grant's end.
func TestClockAhead(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	w.Advance(24 * time.Hour)
	e, _ := w.element()
	if out := w.grant(e, request()); !in(out.End, 10*time.Minute) {
		t.Errorf("it ends in %v", time.Until(time.UnixMilli(out.End)))
	}
}

// TestCutShort: a session that will end before it was said to is told.
func TestCutShort(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	w.cfg.Poll = maxPoll
	first, end := w.element()
	g := request()
	g = longer(granted(g, w.grant(first, g)), time.Hour) // the database believes more than there is
	end()
	e, _ := w.element()
	w.reconcile(e, g)
	if ev := w.event(e); ev.State != qos.Granted || !in(ev.End, 10*time.Minute) {
		t.Errorf("event %+v", ev)
	}
}
