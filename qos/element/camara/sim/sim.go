// Package sim plays an operator: the provider's side of CAMARA Quality-On-Demand 1.1.0 and qos-profiles 1.1.0 (release
// r3.2), with a token endpoint. It is for trying an element, and for tests. It holds no network to anything: sessions are
// available because time has passed, and end because somebody says so.
package sim

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Config says how the operator behaves. Zero fields take the defaults that stand beside them.
type Config struct {
	ClientID string // of the one API consumer there is; default farm
	Secret   string // of the client; required

	Profiles  []Profile     // default the four that CAMARA names
	Setup     time.Duration // from a request to AVAILABLE; 0 is at once, negative is never by itself
	Terminate time.Duration // from AVAILABLE to the network's ending it; 0 is never
	TokenLife time.Duration // of access tokens; default an hour
	Latency   time.Duration // of every answer
	Faults    []Fault       // of the first answers

	Notifier *http.Client // posts notifications; default one that trusts the system's authorities
	Log      *slog.Logger // what happens to sessions; default nobody is told
}

// Retention is how long a session can still be seen after it has ended.
const Retention = 360 * time.Second

// The defaults, and bounds.
const (
	defaultClient    = "farm"
	defaultTokenLife = time.Hour
	maxSessions      = 100_000
	maxBody          = 64 << 10
)

// Provider is the simulated operator: an http.Handler. Make one with New. Its methods may be called from any goroutine;
// none blocks for long.
type Provider struct {
	cfg   Config
	mux   *http.ServeMux
	notes chan note
	woken chan struct{} // tells run that there may be something to do
	stop  func()
	runs  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	offset   time.Duration
	book     book
	profiles map[string]Profile
	tokens   map[string]token
	faults   []Fault
	calls    map[string]int
}

// New makes an operator and starts its clock. Close ends it.
func New(cfg Config) *Provider {
	cfg.ClientID = cmp.Or(cfg.ClientID, defaultClient)
	cfg.TokenLife = cmp.Or(cfg.TokenLife, defaultTokenLife)
	if cfg.Profiles == nil {
		cfg.Profiles = Profiles()
	}
	if cfg.Notifier == nil {
		cfg.Notifier = &http.Client{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{
		cfg: cfg, notes: make(chan note, maxNotes), woken: make(chan struct{}, 1),
		book:     book{sessions: make(map[string]*session), terminate: cfg.Terminate},
		profiles: make(map[string]Profile), tokens: make(map[string]token), calls: make(map[string]int),
		faults: append([]Fault(nil), cfg.Faults...),
	}
	for _, one := range cfg.Profiles {
		p.profiles[one.Name] = one
	}
	p.mux = p.routes()
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.runs.Go(func() { p.run(ctx) })
	p.runs.Go(func() { p.notify(ctx) })
	return p
}

// Close ends the operator's clock and its notifications.
func (p *Provider) Close() {
	p.stop()
	p.runs.Wait()
}

// ServeHTTP answers as the operator.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	w.Header().Set("Date", p.now().UTC().Format(http.TimeFormat))
	p.mu.Unlock()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.mux.ServeHTTP(w, r)
}

// now is the operator's time. The caller holds mu.
func (p *Provider) now() time.Time { return time.Now().Add(p.offset) }

// do changes what the operator knows, once time has had its effect, and sends the notifications of both.
func (p *Provider) do(change func(now time.Time)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.book.step(now)
	change(now)
	p.book.step(now)
	p.hand(p.book.takeNotes())
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// run lets time have its effect, until the context ends.
func (p *Provider) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.mu.Lock()
		now := p.now()
		next := p.book.step(now)
		p.hand(p.book.takeNotes())
		p.mu.Unlock()
		if !next.IsZero() {
			timer.Reset(next.Sub(now))
		}
		select {
		case <-ctx.Done():
			return
		case <-p.woken:
		case <-timer.C:
		}
	}
}

// Advance sets the operator's clock forward.
func (p *Provider) Advance(by time.Duration) {
	p.do(func(time.Time) { p.offset += by })
	p.do(func(time.Time) {})
}

// Sessions returns the sessions that can be seen.
func (p *Provider) Sessions() (list []SessionInfo) {
	p.do(func(time.Time) { list = p.book.list() })
	return list
}

// Provide makes a session AVAILABLE that is REQUESTED. It tells whether there was one.
func (p *Provider) Provide(id string) (ok bool) {
	p.do(func(now time.Time) {
		s := p.book.sessions[id]
		if ok = s != nil && s.status == Requested; ok {
			s.ready = now
		}
	})
	return ok
}

// EndByNetwork has the network end a session that is not over. It tells whether there was one.
func (p *Provider) EndByNetwork(id string) (ok bool) {
	p.do(func(now time.Time) {
		s := p.book.sessions[id]
		if ok = s != nil && s.status != Unavailable; ok {
			p.book.end(s, NetworkTerminated, now)
		}
	})
	return ok
}

// RevokeTokens makes all access tokens invalid.
func (p *Provider) RevokeTokens() {
	p.do(func(time.Time) { clear(p.tokens) })
}

// Calls returns how often each operation was asked for, by its operationId; "token" is the token endpoint.
func (p *Provider) Calls() map[string]int {
	calls := make(map[string]int)
	p.do(func(time.Time) {
		for op, n := range p.calls {
			calls[op] = n
		}
	})
	return calls
}
