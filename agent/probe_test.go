package agent

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func healthPage(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/", http.StatusFound)
	case r.URL.Path == "/broken":
		w.WriteHeader(500)
	case r.URL.Path == "/hangs":
		<-r.Context().Done()
	case r.URL.Path == "/host":
		io.WriteString(w, r.Host+" "+r.Method)
	default:
		io.WriteString(w, "all is well\n")
	}
}

func TestHTTPProbe(t *testing.T) {
	s := serve(t, healthPage)
	for _, tt := range []struct {
		path string
		cfg  HTTPProbe
		err  string
	}{
		{"/", HTTPProbe{}, ""},
		{"/", HTTPProbe{Status: []string{"204"}}, "status 200"},
		{"/", HTTPProbe{Body: "well"}, ""},
		{"/", HTTPProbe{Body: "ill"}, "body does not hold"},
		{"/", HTTPProbe{BodyRegexp: `^all .* well\s`}, ""},
		{"/", HTTPProbe{BodyRegexp: `^well`}, "body does not match"},
		{"/broken", HTTPProbe{}, "status 500"},
		{"/broken", HTTPProbe{Status: []string{"200-299", "500"}}, ""},
		{"/moved", HTTPProbe{}, ""},
		{"/moved", HTTPProbe{Status: []string{"200-299"}}, "status 302"},
		{"/host", HTTPProbe{Host: "www.example.org", Body: "www.example.org GET"}, ""},
		{"/host", HTTPProbe{Method: "POST", Body: " POST"}, ""},
		{"/hangs", HTTPProbe{}, "deadline exceeded"},
		{"/broken", HTTPProbe{DrainStatus: []string{"404", "500-503"}}, "asks to be drained"},
		{"/broken", HTTPProbe{DrainStatus: []string{"404"}}, "status 500"},
		{"/", HTTPProbe{DrainStatus: []string{"404"}, Body: "well"}, ""},
	} {
		tt.cfg.URL = s.URL + tt.path
		wantError(t, tt.cfg.validate(), "")
		p, err := newHTTPProbe(&tt.cfg)
		wantError(t, err, "")
		ctx := soon(t)
		if tt.path == "/hangs" {
			ctx = brief(t)
		}
		wantError(t, p.probe(ctx), tt.err)
	}
}

// tlsServer starts an HTTPS server and writes its certificate to a file.
func tlsServer(t *testing.T) (s *httptest.Server, ca string) {
	s = httptest.NewUnstartedServer(http.HandlerFunc(healthPage))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return s, ca
}

func TestProbesOverTLS(t *testing.T) {
	s, ca := tlsServer(t)
	for _, tt := range []struct {
		tls *TLS
		err string
	}{
		{&TLS{}, "unknown authority"},
		{&TLS{Insecure: true}, ""},
		{&TLS{CA: ca}, ""},
		{&TLS{CA: ca, ServerName: "example.com"}, ""},
		{&TLS{CA: ca, ServerName: "www.example.org"}, "not www.example.org"},
	} {
		h, err := newHTTPProbe(&HTTPProbe{URL: s.URL, TLS: tt.tls})
		wantError(t, err, "")
		wantError(t, h.probe(soon(t)), tt.err)
		p, err := newTCPProbe(&TCPProbe{Address: s.Listener.Addr().String(), TLS: tt.tls})
		wantError(t, err, "")
		wantError(t, p.probe(soon(t)), tt.err)
	}
	_, err := newTCPProbe(&TCPProbe{TLS: &TLS{CA: "/nowhere"}})
	wantError(t, err, "tls.ca")
	_, err = newHTTPProbe(&HTTPProbe{TLS: &TLS{CA: "testdata/exposition.txt"}})
	wantError(t, err, "no certificate")
}

func TestTCPProbe(t *testing.T) {
	p, err := newTCPProbe(&TCPProbe{Address: listen(t, func(net.Conn) {})})
	wantError(t, err, "")
	wantError(t, p.probe(soon(t)), "")
	p, err = newTCPProbe(&TCPProbe{Address: refused(t)})
	wantError(t, err, "")
	wantError(t, p.probe(soon(t)), "connection refused")
}

func TestGRPCProbe(t *testing.T) {
	server := health.NewServer()
	server.SetServingStatus("shop", healthpb.HealthCheckResponse_NOT_SERVING)
	address, _ := serveGRPC(t, "", func(s *grpc.Server) { healthpb.RegisterHealthServer(s, server) })
	for _, tt := range []struct{ address, service, err string }{
		{address, "", ""},
		{address, "shop", "NOT_SERVING"},
		{address, "nothing", "unknown service"},
		{refused(t), "", "refused"},
	} {
		p := &grpcProbe{&GRPCProbe{Address: tt.address, Service: tt.service}}
		wantError(t, p.probe(soon(t)), tt.err)
	}
	s, ca := tlsServer(t)
	p := &grpcProbe{&GRPCProbe{Address: s.Listener.Addr().String(), TLS: &TLS{CA: ca, ServerName: "www.example.org"}}}
	wantError(t, p.probe(soon(t)), "not www.example.org")
}

func TestCommandProbe(t *testing.T) {
	for _, tt := range []struct {
		script string
		drain  int
		err    string
	}{
		{"exit 0", 0, ""},
		{"exit 1", 0, "exit status 1"},
		{"exit 3", 3, "asks to be drained"},
		{"exit 2", 3, "exit status 2"},
		{"exit 0", 3, ""},
		{"kill -9 $$", 3, "signal: killed"},
	} {
		p := &commandProbe{&CommandProbe{Run: sh(tt.script), DrainExit: tt.drain}}
		wantError(t, p.probe(soon(t)), tt.err)
	}
}

type probeFunc func(context.Context) error

func (f probeFunc) probe(ctx context.Context) error { return f(ctx) }

func newProbing(p prober) *probing {
	return &probing{
		prober: p, name: "probe[0].test", interval: 10 * time.Second, timeout: time.Second, rise: 2, fall: 3,
		self: new(awareness), log: quiet, known: make(chan struct{}),
	}
}

func TestProbing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		var asked atomic.Int32
		p := newProbing(probeFunc(func(context.Context) error {
			asked.Add(1)
			if fails.Load() {
				return errors.New("no answer")
			}
			return nil
		}))
		ctx, end := context.WithCancel(t.Context())
		go p.run(ctx, time.Second)
		wantSample(t, p.sample(), "")
		<-p.known
		wantSample(t, p.sample(), "health=up")

		fails.Store(true)
		time.Sleep(22 * time.Second) // two intervals of 9 to 11 s
		wantSample(t, p.sample(), "health=up")
		time.Sleep(11 * time.Second)
		wantSample(t, p.sample(), `health=down reason="probe[0].test: no answer"`)
		if n := asked.Load(); n < 4 || n > 5 {
			t.Errorf("asked %d times in 33 s", n)
		}
		fails.Store(false)
		time.Sleep(22 * time.Second)
		wantSample(t, p.sample(), "health=up")
		end()
		synctest.Wait()
	})
}

// A probe that hangs is a failure after its timeout, and an agent's end is none.
func TestProbingTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProbing(probeFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		ctx, end := context.WithCancel(t.Context())
		start := time.Now()
		go p.run(ctx, 0)
		<-p.known
		if took := time.Since(start); took != p.timeout {
			t.Errorf("took %v, want %v", took, p.timeout)
		}
		wantSample(t, p.sample(), `health=down reason="probe[0].test: context deadline exceeded"`)
		time.Sleep(11*time.Second - time.Millisecond)
		end()
		synctest.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		p := newProbing(probeFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		ctx, end := context.WithCancel(t.Context())
		go p.run(ctx, 0)
		synctest.Wait()
		end()
		synctest.Wait()
		wantSample(t, p.sample(), "")
	})
}

// A drain that a probe asks for ends when it passes without asking for it, not when it fails.
func TestProbingDrains(t *testing.T) {
	var result error
	p := newProbing(probeFunc(func(context.Context) error { return result }))
	p.fall, p.rise = 1, 1
	for _, step := range []struct {
		result error
		want   string
	}{
		{nil, "health=up"},
		{errDrain, `health=up drain reason="probe[0].test: asks to be drained"`},
		{errors.New("no answer"), `health=down drain reason="probe[0].test: no answer"`},
		{errDrain, `health=up drain reason="probe[0].test: asks to be drained"`},
		{errors.New("no answer"), `health=down drain reason="probe[0].test: no answer"`},
		{nil, "health=up"},
	} {
		result = step.result
		p.once(t.Context())
		wantSample(t, p.sample(), step.want)
	}
}

// An agent in doubt of itself takes longer to call a server down.
func TestProbingInDoubt(t *testing.T) {
	var fails error
	p := newProbing(probeFunc(func(context.Context) error { return fails }))
	p.once(t.Context())
	fails = errors.New("no answer")
	p.self.missed()
	for range p.fall {
		p.once(t.Context())
		wantSample(t, p.sample(), "health=up")
	}
	p.once(t.Context())
	if got := show(p.sample()); !strings.HasPrefix(got, "health=down") {
		t.Errorf("got %s, want it down", got)
	}
}
