package camara

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
)

// cloudEvent is a notification as the API shows it.
func cloudEvent(session, status, info string) string {
	data := map[string]string{"sessionId": session, "qosStatus": status}
	if info != "" {
		data["statusInfo"] = info
	}
	b, _ := json.Marshal(map[string]any{
		"id": "83a0d986-0866-4f38-b8c0-fc65bfcda452", "source": "https://api.example.com/qod/v1/sessions/" + session,
		"specversion": "1.0", "type": statusChanged, "time": "2024-06-01T13:00:00Z", "data": data,
	})
	return string(b)
}

// TestSink: who may notify, of what, and what is said to the others.
func TestSink(t *testing.T) {
	w := newWorld(t, sim.Config{}, true)
	e, _ := w.element()
	g := request()
	g = granted(g, w.grant(e, g))
	w.reconcile(e, g)
	other, unknown := "123e4567-e89b-12d3-a456-426614174000", request()
	bearer := func(id qos.GrantID) string { return "Bearer " + e.sink.token(id) }
	well := cloudEvent(g.Session, statusUnavailable, infoTerminated)
	for name, c := range map[string]struct {
		method, path, auth, kind, body string
		want                           int
	}{
		"well":              {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", well, 204},
		"with parameters":   {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json; charset=utf-8", well, 204},
		"GET":               {"GET", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", well, 400},
		"no grant":          {"POST", "/camara/", bearer(g.ID), "application/cloudevents+json", well, 400},
		"no token":          {"POST", "/camara/" + g.ID.String(), "", "application/cloudevents+json", well, 401},
		"wrong token":       {"POST", "/camara/" + g.ID.String(), bearer(g.ID) + "x", "application/cloudevents+json", well, 401},
		"another's token":   {"POST", "/camara/" + g.ID.String(), bearer(unknown.ID), "application/cloudevents+json", well, 401},
		"JSON":              {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/json", well, 400},
		"not JSON":          {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", "{", 400},
		"not of the API":    {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", "{}", 400},
		"too long":          {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", well + strings.Repeat(" ", maxNotification), 400},
		"another session":   {"POST", "/camara/" + g.ID.String(), bearer(g.ID), "application/cloudevents+json", cloudEvent(other, statusAvailable, ""), 410},
		"unknown grant":     {"POST", "/camara/" + unknown.ID.String(), bearer(unknown.ID), "application/cloudevents+json", well, 410},
		"deleted, as asked": {"POST", "/camara/" + unknown.ID.String(), bearer(unknown.ID), "application/cloudevents+json", cloudEvent(other, statusUnavailable, infoDeleted), 204},
	} {
		r := httptest.NewRequest(c.method, "https://broker.example.com:8443"+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("Authorization", c.auth)
		rec := httptest.NewRecorder()
		e.sink.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s: expected %d, got %d %s", name, c.want, rec.Code, rec.Body)
		}
	}
	// A notification is a hint: the session stands, whatever it says.
	w.stands(e, g)
	select {
	case ev := <-e.Events():
		t.Errorf("event %+v", ev)
	default:
	}
}

// TestSinkBeforeReconcile: what a new element does not know yet may well be live; it does not tell the operator to be silent.
func TestSinkBeforeReconcile(t *testing.T) {
	w := newWorld(t, sim.Config{}, true)
	first, end := w.element()
	g := request()
	g = granted(g, w.grant(first, g))
	end()
	e, _ := w.element()
	r := httptest.NewRequest(http.MethodPost, e.sink.urlOf(g.ID), strings.NewReader(cloudEvent(g.Session, statusAvailable, "")))
	r.Header.Set("Content-Type", "application/cloudevents+json")
	r.Header.Set("Authorization", "Bearer "+first.sink.token(g.ID))
	rec := httptest.NewRecorder()
	e.sink.ServeHTTP(rec, r)
	if rec.Code != http.StatusNoContent {
		t.Errorf("expected 204, got %d %s", rec.Code, rec.Body)
	}
	w.reconcile(e, g)
	w.EndByNetwork(g.Session) // the token of before the restart is good
	if ev := w.event(e); ev.State != qos.Ended {
		t.Errorf("event %+v", ev)
	}
}

// TestNoticeBeforeAnswer: a notification that comes before the session's name is known is not lost.
func TestNoticeBeforeAnswer(t *testing.T) {
	var h holdings
	g, now := request(), time.Now()
	h.put(held{grant: *g})
	if !h.notice(g.ID, "s", statusUnavailable, infoTerminated, now) {
		t.Error("the grant is held")
	}
	h.name(held{grant: *g, session: "s", given: true, next: now.Add(time.Hour)})
	if due, _ := h.due(now); len(due) != 1 || due[0].hint != infoTerminated {
		t.Errorf("expected the session to be looked at, got %+v", due)
	}
}

func TestGrantOfSink(t *testing.T) {
	g := request()
	for sink, want := range map[string]bool{
		"https://a.example/camara/" + g.ID.String(): true,
		"https://b.example/" + g.ID.String():        true,
		"https://b.example/notifications":           false,
		"https://b.example/":                        false,
		"::":                                        false,
		"":                                          false,
	} {
		if id, ok := grantOfSink(sink); ok != want || ok && id != g.ID {
			t.Errorf("%s: %v %v", sink, id, ok)
		}
	}
}
