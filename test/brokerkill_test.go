package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// fatal is an operator's API at which a broker dies: when it makes a call, before the operator has heard it or before the
// answer is heard.
type fatal struct {
	operator http.Handler

	mu     sync.Mutex
	call   string // "" is none
	before bool
	die    func()
}

func (f *fatal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	defer f.mu.Unlock()
	hit := f.call != "" && r.Method+" "+resource(r.URL.Path) == f.call
	if hit && f.before {
		f.kill()
		return
	}
	rec := httptest.NewRecorder()
	f.operator.ServeHTTP(rec, r)
	if hit {
		f.kill()
		return
	}
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (f *fatal) kill() {
	f.call = ""
	f.die()
}

// arm has the next such call be the broker's last.
func (f *fatal) arm(call string, before bool, die func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call, f.before, f.die = call, before, die
}

// TestBrokerKilledAtEachStep kills a broker at each of its calls to an operator, and starts it again. In the end the client
// has what it asked for, the operator has one session for it, and none when the grant is over.
func TestBrokerKilledAtEachStep(t *testing.T) {
	const sessions, session = "/sessions", "/sessions/ID"
	for _, step := range []struct{ call, while string }{
		{"POST /oauth2/token", "asking"},
		{"POST " + sessions, "asking"},
		{"GET " + session, "asking"},
		{"POST " + session + "/extend", "renewing"},
		{"DELETE " + session, "releasing"},
	} {
		for _, before := range []bool{true, false} {
			heard := "the answer is not heard"
			if before {
				heard = "the operator has not heard it"
			}
			t.Run(step.call+", "+heard, func(t *testing.T) {
				t.Parallel() // they mostly wait
				newMortal(t).through(step.call, step.while, before)
			})
		}
	}
}

// mortal is a client's grant in the care of a broker that dies.
type mortal struct {
	t        *testing.T
	db       *database
	operator *sim.Provider
	api      *fatal
	conf     string
	broker   *process
	request  qos.Grant
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	redis := storetest.Start(t)
	m := &mortal{t: t, db: dial(t, redis.URL), operator: sim.New(sim.Config{Secret: "operator's secret"})}
	t.Cleanup(m.operator.Close)
	m.api = &fatal{operator: m.operator}
	server := httptest.NewServer(m.api)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	m.conf = filepath.Join(dir, "broker.yaml")
	secret := filepath.Join(dir, "secret")
	for file, text := range map[string]string{secret: "operator's secret", m.conf: fmt.Sprintf(`redis: [%s]
name: broker1
elements:
  - name: operator
    camara:
      url: %s/quality-on-demand/v1
      poll: 100ms
      identifiers: [phone]
      oauth: {token_url: %s/oauth2/token, client_id: farm, secret_file: %q}
`, redis.URL, server.URL, server.URL, secret)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.db.server(levelledName, "web1", "192.0.2.1")
	m.request = qos.Grant{
		Service: levelledName, Client: qos.Client(qos.KindID, "alice"), Server: "web1", Asked: "gold", Phone: "+123456789",
		Offer: qos.Offer{Level: "gold", Unit: 100_000, Share: qos.Million, Network: true, NeedsNetwork: true, Profile: "QOS_E", Duration: 20},
	}
	m.request.ServerAddr = netip.MustParseAddr("192.0.2.1")
	m.begin()
	return m
}

// begin starts the broker, or another one in its place.
func (m *mortal) begin() {
	m.t.Helper()
	m.broker = start(m.t, "broker", command(m.t, "farm"), "broker", "-c", m.conf)
	m.broker.says("broker starts")
}

// through has a grant asked for, renewed and released, and the broker killed on the way.
func (m *mortal) through(call, while string, before bool) {
	dead := make(chan struct{})
	kill := func() {
		go func() { // the call is waited for by the broker: it dies meanwhile
			m.broker.kill()
			close(dead)
		}()
		<-dead
	}
	reborn := func(phase string) {
		if phase == while {
			<-dead
			m.begin()
		}
	}
	arm := func(phase string) {
		if phase == while {
			m.api.arm(call, before, kill)
		}
	}

	arm("asking")
	m.ask()
	reborn("asking")
	m.await("granted", func(g *qos.Grant) bool { return g != nil && g.State == qos.Granted && g.Session != "" })
	m.sessions(1)

	if while == "renewing" {
		arm("renewing")
		first := m.grant().End
		m.await("late, and to go on", func(g *qos.Grant) bool {
			m.ask()
			return g.End > first
		})
		reborn("renewing")
		await(m.t, "the session to go on", func() bool {
			all := m.operator.Sessions()
			return len(all) == 1 && all[0].QosStatus == sim.Available && all[0].Duration > int32(m.request.Duration)
		})
		m.sessions(1)
	}

	arm("releasing")
	g := m.grant()
	m.db.do("release the grant", func(ctx context.Context) error {
		_, err := m.db.Release(ctx, levelledName, g.ID)
		return err
	})
	reborn("releasing")
	await(m.t, "no session to be left", func() bool { return m.available() == 0 })
	m.db.usedUp(m.t, 0)
}

// ask asks for the grant; asking again late in its time renews it.
func (m *mortal) ask() {
	m.t.Helper()
	m.db.do("ask for a grant", func(ctx context.Context) error {
		_, err := m.db.Ask(ctx, store.Request{Grant: m.request})
		return err
	})
}

// grant is the client's live grant, nil if it has none.
func (m *mortal) grant() (live *qos.Grant) {
	m.t.Helper()
	m.db.do("read the grants", func(ctx context.Context) error {
		all, err := m.db.Grants(ctx, levelledName)
		for i := range all {
			if all[i].State.Live() {
				live = &all[i]
			}
		}
		return err
	})
	return live
}

func (m *mortal) await(what string, holds func(*qos.Grant) bool) {
	m.t.Helper()
	await(m.t, "the grant to be "+what, func() bool { return holds(m.grant()) })
}

// available is how many sessions the operator provides.
func (m *mortal) available() (n int) {
	for _, s := range m.operator.Sessions() {
		if s.QosStatus == sim.Available {
			n++
		}
	}
	return n
}

func (m *mortal) sessions(want int) {
	m.t.Helper()
	if got := m.available(); got != want {
		m.t.Errorf("Expected %d sessions at the operator, got %+v", want, m.operator.Sessions())
	}
}
