package camara

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
)

// TestGrantAtOnce: 201 AVAILABLE.
func TestGrantAtOnce(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	g := request()
	out := w.grant(e, g)
	s := w.one()
	if out.State != qos.Granted || out.Session != s.SessionID || !in(out.End, 10*time.Minute) {
		t.Errorf("outcome %+v of session %+v", out, s)
	}
	if s.QosProfile != "QOS_L" || s.Device.IPv6Address != "2001:db8:1::7" || s.ApplicationServer.IPv4Address != "192.0.2.1" ||
		s.ApplicationServerPorts.Ports[0] != 443 || s.Duration != 600 || s.Sink != "" {
		t.Errorf("session %+v", s)
	}
	if again := w.grant(e, g); again.State != qos.Granted || again.Session != out.Session {
		t.Errorf("asked again: %+v", again)
	}
	w.one()
}

// TestGrantLater: 201 REQUESTED, and what becomes of it, with and without notifications.
func TestGrantLater(t *testing.T) {
	for name, notified := range map[string]bool{"polled": false, "notified": true} {
		for _, c := range []struct {
			name   string
			act    func(*world, string)
			state  qos.State
			reason qos.Reason
			left   int // sessions at the operator
		}{
			{"AVAILABLE", func(w *world, id string) { w.Provide(id) }, qos.Granted, qos.NoReason, 1},
			{"UNAVAILABLE NETWORK_TERMINATED", func(w *world, id string) { w.EndByNetwork(id) }, qos.Refused, qos.ByElement, 0},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				w := newWorld(t, sim.Config{Setup: -1}, notified)
				e, _ := w.element()
				g := request()
				out := w.grant(e, g)
				if out.State != qos.Requested || out.Session == "" {
					t.Fatalf("outcome %+v", out)
				}
				c.act(w, out.Session)
				ev := w.event(e)
				if ev.State != c.state || ev.Reason != c.reason || ev.Session != out.Session || ev.ID.ID != g.ID || ev.ID.Service != g.Service {
					t.Errorf("event %+v", ev)
				}
				if c.state == qos.Granted && !in(ev.End, 10*time.Minute) {
					t.Errorf("it ends at %d", ev.End)
				}
				if n := len(w.Sessions()); n != c.left {
					t.Errorf("expected %d sessions, got %d", c.left, n)
				}
			})
		}
	}
}

// TestEnds: what ends a session that is AVAILABLE.
func TestEnds(t *testing.T) {
	for name, notified := range map[string]bool{"polled": false, "notified": true} {
		for _, c := range []struct {
			name   string
			act    func(*world, string)
			reason qos.Reason
			left   int
		}{
			{"NETWORK_TERMINATED", func(w *world, id string) { w.EndByNetwork(id) }, qos.ByElement, 0},
			{"DURATION_EXPIRED", func(w *world, _ string) { w.Advance(11 * time.Minute) }, qos.Expired, 1},
			{"DELETE_REQUESTED", func(w *world, id string) { w.delete(id) }, qos.Released, 0},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				w := newWorld(t, sim.Config{}, notified)
				e, _ := w.element()
				g := request()
				out := w.grant(e, g)
				c.act(w, out.Session)
				ev := w.event(e)
				reason := c.reason
				if c.name == "DELETE_REQUESTED" && !notified {
					reason = qos.ByElement // it is gone, and nobody says why
				}
				if ev.State != qos.Ended || ev.Reason != reason || ev.ID.ID != g.ID {
					t.Errorf("event %+v", ev)
				}
				if n := len(w.Sessions()); n != c.left {
					t.Errorf("expected %d sessions, got %d", c.left, n)
				}
			})
		}
	}
}

// delete deletes a session as another program of the same client would.
func (w *world) delete(id string) {
	w.Helper()
	other, _ := w.elementWithoutSink()
	if err := other.remove(w.Context(), qos.GrantID{}, id); err != nil {
		w.Fatal(err)
	}
}

func (w *world) elementWithoutSink() (*Element, func()) {
	cfg := w.cfg
	cfg.Sink = nil
	plain := &world{T: w.T, Provider: w.Provider, cfg: cfg}
	return plain.element()
}

// TestRefusals: each error of the API that is the operator's last word.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		count  int
		reason qos.Reason
	}{
		{400, "INVALID_ARGUMENT", 1, qos.Failed},
		{400, "OUT_OF_RANGE", 1, qos.Failed},
		{400, "INVALID_CREDENTIAL", 1, qos.Failed},
		{400, "INVALID_TOKEN", 1, qos.Failed},
		{400, "INVALID_SINK", 1, qos.Failed},
		{401, "UNAUTHENTICATED", 2, qos.Failed},
		{403, "PERMISSION_DENIED", 1, qos.Failed},
		{404, "IDENTIFIER_NOT_FOUND", 1, qos.ByElement},
		{404, "NOT_FOUND", 1, qos.ByElement},
		{422, "QUALITY_ON_DEMAND.QOS_PROFILE_NOT_APPLICABLE", 1, qos.ByElement},
		{422, "SERVICE_NOT_APPLICABLE", 1, qos.ByElement},
		{422, "MISSING_IDENTIFIER", 1, qos.ByElement},
		{422, "UNSUPPORTED_IDENTIFIER", 1, qos.ByElement},
		{422, "UNNECESSARY_IDENTIFIER", 1, qos.ByElement},
	} {
		t.Run(c.code, func(t *testing.T) {
			w := newWorld(t, sim.Config{}, false)
			e, _ := w.element()
			w.fail(sim.Fault{Operation: "createSession", Count: c.count, Status: c.status, Code: c.code})
			g := request()
			out := w.grant(e, g)
			if out.State != qos.Refused || out.Reason != c.reason || !strings.Contains(out.Detail, c.code) {
				t.Errorf("outcome %+v", out)
			}
			w.none()
			if calls := w.Calls()["createSession"]; calls != c.count {
				t.Errorf("asked %d times, expected %d", calls, c.count)
			}
			if again := w.grant(e, g); again.State != qos.Granted {
				t.Errorf("once the operator is well: %+v", again)
			}
		})
	}
}

// TestTrouble: what may be better the next time is an error, and leaves at most one session whatever was done.
func TestTrouble(t *testing.T) {
	for name, f := range map[string]sim.Fault{
		"500": {Status: 500}, "503": {Status: 503}, "504": {Status: 504}, "501": {Status: 501},
		"request lost": {Lost: sim.LostRequest}, "answer lost": {Lost: sim.LostAnswer},
		"slow": {Delay: sim.Duration(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Config{}, false)
			e, _ := w.element()
			w.grant(e, request2()) // has a token and the profile's bounds: what fails is what is asked for next
			f.Operation = "createSession"
			w.fail(f)
			g := request()
			ctx := t.Context()
			if f.Delay > 0 {
				ctx = withDeadline(t, 500*time.Millisecond)
			}
			if out, err := e.Grant(ctx, g); err == nil {
				t.Fatalf("expected an error, got %+v", out)
			}
			w.Heal()
			if out := w.grant(e, g); out.State != qos.Granted {
				t.Errorf("asked again: %+v", out)
			}
			if n := len(w.Sessions()); n != 2 {
				t.Errorf("expected two sessions, got %d", n)
			}
		})
	}
}

// request2 asks for another device.
func request2() *qos.Grant {
	g := request()
	g.ClientAddr = netip.MustParseAddr("2001:db8:2::7")
	return g
}

// TestOneTokenRefresh: a token that is not accepted is replaced once.
func TestOneTokenRefresh(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	w.grant(e, request2())
	w.RevokeTokens()
	if out := w.grant(e, request()); out.State != qos.Granted {
		t.Errorf("outcome %+v", out)
	}
	if n := w.Calls()["token"]; n != 2 {
		t.Errorf("expected two tokens to be fetched, got %d", n)
	}
}

// TestTokenEndpoint: a refusal of the credentials is one of the grant; trouble is an error.
func TestTokenEndpoint(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	w.fail(sim.Fault{Operation: "token", Status: 503, Count: 2}) // one of them is the profile's
	if out, err := e.Grant(t.Context(), request()); err == nil || strings.Contains(err.Error(), clientSecret) {
		t.Errorf("503: %+v, %v", out, err)
	}
	w.cfg.OAuth.SecretFile = write(t, t.TempDir(), "secret", "wrong")
	wrong, _ := w.element()
	out := w.grant(wrong, request())
	if out.State != qos.Refused || out.Reason != qos.Failed || !strings.Contains(out.Detail, "invalid_client") {
		t.Errorf("wrong secret: %+v", out)
	}
	write(t, "", w.cfg.OAuth.SecretFile, clientSecret)
	if out := w.grant(wrong, request()); out.State != qos.Granted {
		t.Errorf("after the secret was put right: %+v", out)
	}
}

// TestTooManyRequests: 429 is waited out; what the operator says of when to come back is kept to.
func TestTooManyRequests(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	w.fail(sim.Fault{Operation: "createSession", Status: 429, Code: "QUOTA_EXCEEDED"})
	w.fail(sim.Fault{Operation: "createSession", Status: 429, RetryAfter: 1})
	start := time.Now()
	if out := w.grant(e, request()); out.State != qos.Granted || time.Since(start) < time.Second {
		t.Errorf("outcome %+v after %v", out, time.Since(start))
	}
	w.fail(sim.Fault{Operation: "createSession", Status: 429, Count: maxAttempts, RetryAfter: 3600})
	if out, err := e.Grant(withDeadline(t, 10*time.Second), request2()); err == nil {
		t.Errorf("expected an error when there is no time to wait, got %+v", out)
	}
}

// TestDurations: a duration that the profile does not take is brought within its bounds, before or after the operator says so.
func TestDurations(t *testing.T) {
	short := sim.Profile{Name: "QOS_L", Status: sim.Active, MinDuration: &sim.Quantity{Value: 2, Unit: "Minutes"}, MaxDuration: &sim.Quantity{Value: 5, Unit: "Minutes"}}
	for name, c := range map[string]struct {
		asked uint32
		want  int32
	}{"too long": {600, 300}, "too short": {1, 120}, "fits": {200, 200}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Config{Profiles: []sim.Profile{short}}, false)
			e, _ := w.element()
			g := request()
			g.Duration = c.asked
			out := w.grant(e, g)
			if s := w.one(); s.Duration != c.want || out.State != qos.Granted || !in(out.End, time.Duration(c.want)*time.Second) {
				t.Errorf("session %+v, outcome %+v", s, out)
			}
			if n := w.Calls()["createSession"]; n != 1 {
				t.Errorf("asked %d times, expected once", n)
			}
		})
	}
	t.Run("changed", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		e, _ := w.element()
		w.grant(e, request2())
		if err := w.SetProfile(short); err != nil {
			t.Fatal(err)
		}
		if out := w.grant(e, request()); out.State != qos.Granted || !in(out.End, 5*time.Minute) {
			t.Errorf("outcome %+v", out)
		}
	})
	t.Run("unknown bounds", func(t *testing.T) {
		w := newWorld(t, sim.Config{Profiles: []sim.Profile{short}}, false)
		w.cfg.ProfilesURL = ""
		e, _ := w.element()
		if out := w.grant(e, request()); out.State != qos.Refused || !strings.Contains(out.Detail, codeDuration) {
			t.Errorf("outcome %+v", out)
		}
	})
	t.Run("no end", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		e, _ := w.element()
		w.fail(sim.Fault{Operation: "createSession", Status: 400, Code: codeDuration, Count: 2})
		if out := w.grant(e, request()); out.State != qos.Refused {
			t.Errorf("outcome %+v", out)
		}
	})
}

// TestProfileInTheWay: the session of a higher level makes way for the one of a lower level.
func TestProfileInTheWay(t *testing.T) {
	w := newWorld(t, sim.Config{Setup: -1}, false)
	e, _ := w.element()
	g := request()
	out := w.grant(e, g)
	lower := granted(g, out)
	lower.Profile = "QOS_S"
	if out := w.grant(e, lower); out.State != qos.Requested {
		t.Errorf("outcome %+v", out)
	}
	if s := w.one(); s.QosProfile != "QOS_S" {
		t.Errorf("session %+v", s)
	}
}

// TestIdentifiers: what of a client is told, in which order, and what is not enough.
func TestIdentifiers(t *testing.T) {
	v4, v6 := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:1::7")
	for name, c := range map[string]struct {
		addr  netip.Addr
		port  uint16
		phone string
		order []Identifier
		want  string
	}{
		"ipv6":                    {v6, 0, "", nil, "2001:db8:1::7"},
		"ipv6 before phone":       {v6, 0, "+123456789", nil, "2001:db8:1::7"},
		"phone as asked":          {v6, 0, "+123456789", []Identifier{ByPhone}, "+123456789"},
		"phone without plus":      {v4, 0, "123456789", nil, "+123456789"},
		"phone before ipv4":       {v4, 5000, "+123456789", nil, "+123456789"},
		"ipv4 with port":          {v4, 5000, "", nil, "198.51.100.7"},
		"mapped":                  {netip.AddrFrom16(v4.As16()), 5000, "", nil, "198.51.100.7"},
		"ipv4 without port":       {v4, 0, "", nil, ""},
		"none":                    {netip.Addr{}, 0, "", nil, ""},
		"not what operator knows": {v6, 0, "", []Identifier{ByPhone, ByIPv4}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sim.Config{}, false)
			w.cfg.Identifiers = c.order
			e, _ := w.element()
			g := request()
			g.ClientAddr, g.ClientPort, g.Phone = c.addr, c.port, c.phone
			out := w.grant(e, g)
			if c.want == "" {
				if out.State != qos.Refused || out.Reason != qos.ByElement || w.Calls()["createSession"] != 0 {
					t.Errorf("outcome %+v", out)
				}
				return
			}
			d := w.one().Device
			got := d.IPv6Address + d.PhoneNumber
			if d.IPv4Address != nil {
				got += d.IPv4Address.PublicAddress
			}
			if got != c.want {
				t.Errorf("expected device %s, got %+v", c.want, d)
			}
		})
	}
}

// TestWhatCannotBeAsked: grants that an operator cannot be told are refused without asking.
func TestWhatCannotBeAsked(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	for name, spoil := range map[string]func(*qos.Grant){
		"server":   func(g *qos.Grant) { g.ServerAddr = netip.Addr{} },
		"profile":  func(g *qos.Grant) { g.Profile = "" },
		"name":     func(g *qos.Grant) { g.Profile = "a/b?c" },
		"duration": func(g *qos.Grant) { g.Duration = 0 },
	} {
		g := request()
		spoil(g)
		if out := w.grant(e, g); out.State != qos.Refused || out.Detail == "" {
			t.Errorf("%s: %+v", name, out)
		}
		if err := e.Release(t.Context(), g); err != nil {
			t.Errorf("%s: release: %v", name, err)
		}
	}
	if n := w.Calls()["createSession"]; n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestConflict: 409 is settled: the grant's own session is adopted, a left one is deleted, and others' are left alone.
func TestConflict(t *testing.T) {
	t.Run("adopted", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		before, end := w.element()
		g := request()
		out := w.grant(before, g)
		end()
		e, _ := w.element()
		if again := w.grant(e, g); again.State != qos.Granted || again.Session != out.Session {
			t.Errorf("expected session %s to be adopted, got %+v", out.Session, again)
		}
		w.one()
	})
	t.Run("another profile", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		before, end := w.element()
		out := w.grant(before, request())
		end()
		e, _ := w.element()
		g := request()
		g.Profile = "QOS_S"
		if again := w.grant(e, g); again.State != qos.Granted || again.Session == out.Session {
			t.Errorf("outcome %+v", again)
		}
		if s := w.one(); s.QosProfile != "QOS_S" {
			t.Errorf("session %+v", s)
		}
	})
	t.Run("a former grant's", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, true)
		before, end := w.element()
		out := w.grant(before, request())
		end()
		e, _ := w.element()
		if again := w.grant(e, request()); again.State != qos.Granted || again.Session == out.Session {
			t.Errorf("outcome %+v", again)
		}
		w.one()
	})
	t.Run("terminated and not deleted", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		before, end := w.element()
		out := w.grant(before, request())
		end()
		w.EndByNetwork(out.Session)
		e, _ := w.element()
		if again := w.grant(e, request()); again.State != qos.Granted {
			t.Errorf("outcome %+v", again)
		}
		w.one()
	})
	t.Run("another grant's", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		e, _ := w.element()
		out := w.grant(e, request())
		again := w.grant(e, request())
		if again.State != qos.Refused || again.Reason != qos.ByElement || w.one().SessionID != out.Session {
			t.Errorf("outcome %+v", again)
		}
	})
	t.Run("without end", func(t *testing.T) {
		w := newWorld(t, sim.Config{}, false)
		e, _ := w.element()
		w.fail(sim.Fault{Operation: "createSession", Status: 409, Count: 2})
		if out := w.grant(e, request()); out.State != qos.Refused || !strings.Contains(out.Detail, "409 CONFLICT") {
			t.Errorf("outcome %+v", out)
		}
	})
}

// TestForeignSession: a session of another application with our credentials is left alone.
func TestForeignSession(t *testing.T) {
	w := newWorld(t, sim.Config{}, false)
	e, _ := w.element()
	g := request()
	req, _ := e.requestOf(g)
	req.Sink = "https://app.example.com/notifications"
	if _, err := e.call(t.Context(), call{method: http.MethodPost, path: "/sessions", body: req, expect: http.StatusCreated}); err != nil {
		t.Fatal(err)
	}
	if out := w.grant(e, g); out.State != qos.Refused || !strings.Contains(out.Detail, "another application") {
		t.Errorf("outcome %+v", out)
	}
	if err := e.Release(t.Context(), g); err != nil {
		t.Error(err)
	}
	w.one()
}
