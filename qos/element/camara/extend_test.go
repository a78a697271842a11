package camara

import (
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
)

// longer is a grant that is to go on.
func longer(g *qos.Grant, by time.Duration) *qos.Grant {
	next := *g
	next.End += by.Milliseconds()
	return &next
}

func TestExtend(t *testing.T) {
	for name, c := range map[string]struct {
		by    time.Duration
		fault *sim.Fault
		act   func(*world, string)
		state qos.State
		left  time.Duration // to the end; 0 is not looked at
		calls int           // of extend
	}{
		"as asked":     {by: time.Hour, state: qos.Granted, left: 70 * time.Minute, calls: 1},
		"nothing more": {by: 0, state: qos.Granted, left: 10 * time.Minute},
		"capped":       {by: 48 * time.Hour, state: qos.Granted, left: 24 * time.Hour, calls: 1},
		"gone":         {by: time.Hour, act: (*world).delete, state: qos.Ended},
		"terminated":   {by: time.Hour, act: func(w *world, id string) { w.EndByNetwork(id) }, state: qos.Ended},
		"409 but well": {by: time.Hour, fault: &sim.Fault{Status: 409, Code: "QUALITY_ON_DEMAND.SESSION_EXTENSION_NOT_ALLOWED"},
			state: qos.Granted, left: 10 * time.Minute, calls: 1},
		"400": {by: time.Hour, fault: &sim.Fault{Status: 400}, state: qos.Refused, calls: 1},
		"403": {by: time.Hour, fault: &sim.Fault{Status: 403}, state: qos.Refused, calls: 1},
		"404": {by: time.Hour, fault: &sim.Fault{Status: 404}, state: qos.Ended, calls: 1},
		"401": {by: time.Hour, fault: &sim.Fault{Status: 401}, state: qos.Granted, left: 70 * time.Minute, calls: 2},
		"429": {by: time.Hour, fault: &sim.Fault{Status: 429}, state: qos.Granted, left: 70 * time.Minute, calls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Config{}, false)
			w.cfg.Poll = maxPoll // nobody looks but the test
			e, _ := w.element()
			g := request()
			g = granted(g, w.grant(e, g))
			if c.act != nil {
				c.act(w, g.Session)
			}
			if c.fault != nil {
				c.fault.Operation = "extendQosSessionDuration"
				w.fail(*c.fault)
			}
			out, err := e.Extend(t.Context(), longer(g, c.by))
			if err != nil || out.State != c.state || c.left != 0 && !in(out.End, c.left) {
				t.Errorf("outcome %+v, %v", out, err)
			}
			if out.End > g.End+c.by.Milliseconds() {
				t.Errorf("it ends at %d, later than asked", out.End)
			}
			if n := w.Calls()["extendQosSessionDuration"]; n != c.calls {
				t.Errorf("asked %d times, expected %d", n, c.calls)
			}
		})
	}
}

// TestExtendTrouble: what may be better the next time is an error.
func TestExtendTrouble(t *testing.T) {
	w := newWorld(t, sim.Config{Setup: -1}, false)
	e, _ := w.element()
	g := request()
	out := w.grant(e, g)
	if out, err := e.Extend(t.Context(), granted(g, out)); err == nil {
		t.Errorf("REQUESTED: expected an error, got %+v", out)
	}
	if out, err := e.Extend(t.Context(), request2()); err != nil || out.State != qos.Ended {
		t.Errorf("unknown: %+v, %v", out, err)
	}
	w.Provide(out.Session)
	w.fail(sim.Fault{Operation: "extendQosSessionDuration", Status: 503})
	next := granted(g, out)
	next.End = time.Now().Add(20 * time.Minute).UnixMilli()
	if out, err := e.Extend(t.Context(), next); err == nil {
		t.Errorf("503: expected an error, got %+v", out)
	}
	if out, err := e.Extend(t.Context(), next); err != nil || out.State != qos.Granted {
		t.Errorf("asked again: %+v, %v", out, err)
	}
}

func TestRelease(t *testing.T) {
	for name, c := range map[string]struct {
		fault  *sim.Fault
		failed bool
		left   int
	}{
		"204":     {},
		"404":     {fault: &sim.Fault{Status: 404}, left: 1}, // the operator says so
		"401":     {fault: &sim.Fault{Status: 401}},
		"429":     {fault: &sim.Fault{Status: 429}},
		"403":     {fault: &sim.Fault{Status: 403}, failed: true, left: 1},
		"503":     {fault: &sim.Fault{Status: 503}, failed: true, left: 1},
		"request": {fault: &sim.Fault{Lost: sim.LostRequest}, failed: true, left: 1},
		"answer":  {fault: &sim.Fault{Lost: sim.LostAnswer}, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Config{}, false)
			e, _ := w.element()
			g := request()
			g = granted(g, w.grant(e, g))
			if c.fault != nil {
				c.fault.Operation = "deleteSession"
				w.fail(*c.fault)
			}
			if err := e.Release(t.Context(), g); (err != nil) != c.failed {
				t.Errorf("release: %v", err)
			}
			if n := len(w.Sessions()); n != c.left {
				t.Errorf("expected %d sessions, got %d", c.left, n)
			}
			for range 2 { // what is released stays so
				if err := e.Release(t.Context(), g); err != nil {
					t.Errorf("release again: %v", err)
				}
			}
			w.none()
			select {
			case ev := <-e.Events():
				t.Errorf("what was asked for is no event: %+v", ev)
			default:
			}
		})
	}
}
