package camara

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/qos/element/camara/camaratest"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// world is an operator on loopback, and what elements need to ask it. All that goes over the wire is checked against the
// API's definitions, where they are.
type world struct {
	*testing.T
	*sim.Provider
	cfg  Config
	sink atomic.Pointer[sink] // of the element that is there now
}

const clientSecret = "correct horse battery staple"

// newWorld starts an operator. notified is whether elements take its notifications.
func newWorld(t *testing.T, op sim.Config, notified bool) *world {
	t.Helper()
	w := &world{T: t}
	dir := t.TempDir()
	cert, key, roots := certificate(t, dir)
	apis := camaratest.Load(t)
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		s := w.sink.Load()
		if s == nil {
			return nil, errors.New("there is no sink")
		}
		return new(net.Dialer).DialContext(ctx, network, s.listener.Addr().String())
	}
	op.Secret = clientSecret
	op.Notifier = &http.Client{Transport: apis.Notifier(t, &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
	})}
	w.Provider = sim.New(op)
	server := httptest.NewServer(apis.Provider(t, camaratest.Both, w.Provider))
	t.Cleanup(w.Provider.Close) // after the server has answered all
	t.Cleanup(server.Close)
	w.cfg = Config{
		URL: server.URL + sim.SessionsPath, ProfilesURL: server.URL + sim.ProfilesPath, Poll: minPoll,
		OAuth: OAuth{TokenURL: server.URL + sim.TokenPath, ClientID: "farm", SecretFile: write(t, dir, "secret", clientSecret+"\n")},
	}
	if notified {
		w.cfg.Poll = maxPoll // so that only a notification can tell
		w.cfg.Sink = &Sink{Listen: "127.0.0.1:0", URL: "https://broker.example.com:8443/camara/", Cert: cert, Key: key}
	}
	return w
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes one for the sink, and who trusts it.
func certificate(t *testing.T, dir string) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"broker.example.com"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))), roots
}

// element starts one more element. close ends it before the test does.
func (w *world) element() (e *Element, close func()) {
	w.Helper()
	e, err := New(w.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		w.Fatal(err)
	}
	if e.sink != nil {
		w.sink.Store(e.sink)
	}
	close = func() {
		if err := e.Close(w.Context()); err != nil {
			w.Errorf("close: %v", err)
		}
	}
	w.Cleanup(func() { _ = e.Close(context.Background()) })
	return e, close
}

// fail makes the operator's next answers fail.
func (w *world) fail(f sim.Fault) {
	w.Helper()
	f.Count = max(f.Count, 1)
	if err := w.Fail(f); err != nil {
		w.Fatal(err)
	}
}

// one returns the operator's only session.
func (w *world) one() sim.SessionInfo {
	w.Helper()
	list := w.Sessions()
	if len(list) != 1 {
		w.Fatalf("expected one session at the operator, got %+v", list)
	}
	return list[0]
}

func (w *world) none() {
	w.Helper()
	if list := w.Sessions(); len(list) != 0 {
		w.Errorf("expected no session at the operator, got %+v", list)
	}
}

// event waits for the next event.
func (w *world) event(e *Element) element.Event {
	w.Helper()
	select {
	case ev := <-e.Events():
		return ev
	case <-time.After(patience):
		w.Fatalf("waited %s for an event in vain", patience)
		panic("unreachable")
	}
}

// request is a grant that is asked for.
func request() *qos.Grant {
	g := &qos.Grant{
		Service: "www.example.org.", Server: "web1", Asked: "gold",
		Offer:      qos.Offer{Level: "gold", Network: true, Profile: "QOS_L", Duration: 600},
		State:      qos.Requested,
		ClientAddr: netip.MustParseAddr("2001:db8:1::7"),
		ServerAddr: netip.MustParseAddr("192.0.2.1"), ServerPort: 443,
		End: time.Now().Add(time.Minute).UnixMilli(), Version: 1,
	}
	_, _ = rand.Read(g.ID[:])
	return g
}

// granted is the grant once the broker has written down an outcome.
func granted(g *qos.Grant, out element.Outcome) *qos.Grant {
	next := *g
	next.State, next.Session, next.End = out.State, out.Session, out.End
	next.Version++
	return &next
}

// in tells whether a time in ms is so far away, give or take what a loaded machine and whole seconds make.
func in(ms int64, d time.Duration) bool {
	return time.Until(time.UnixMilli(ms).Add(-d)).Abs() < 20*time.Second
}

func (w *world) grant(e *Element, g *qos.Grant) element.Outcome {
	w.Helper()
	out, err := e.Grant(w.Context(), g)
	if err != nil {
		w.Fatalf("grant: %v", err)
	}
	return out
}

func (w *world) reconcile(e *Element, live ...*qos.Grant) {
	w.Helper()
	if err := e.Reconcile(w.Context(), live); err != nil {
		w.Fatalf("reconcile: %v", err)
	}
}

func withDeadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
