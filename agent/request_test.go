package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// write replaces a file, as whoever renews secrets does: at once.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestRequestOptions asks a server that wants to know who asks, by each kind of source that makes requests.
func TestRequestOptions(t *testing.T) {
	dir := t.TempDir()
	token, password := filepath.Join(dir, "token"), filepath.Join(dir, "password")
	write(t, token, " s3cret-1\n")
	write(t, password, "pass word\n")
	var want atomic.Pointer[string]
	want.Store(new("Bearer s3cret-1"))
	app := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != *want.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set(orcaHeader, "TEXT cpu_utilization=0.5")
		io.WriteString(w, "cpu 0.5\n# "+r.Host+" "+r.Header.Get("X-Scope-OrgID")+"\n")
	})
	// ask asks by each kind of source, and returns the first error.
	ask := func(o RequestOptions) error {
		p, err := newPrometheus(&Prometheus{URL: app.URL, CPU: "cpu", RequestOptions: o})
		wantError(t, err, "")
		orca, err := newORCA(&ORCA{URL: app.URL, RequestOptions: o})
		wantError(t, err, "")
		h, err := newHTTPProbe(&HTTPProbe{URL: app.URL, Status: []string{"200"}, RequestOptions: o})
		wantError(t, err, "")
		s, perr := p.collect(soon(t), epoch)
		if perr == nil {
			wantSample(t, s, "cpu=0.5")
		}
		_, oerr := orca.collect(soon(t), epoch)
		herr := h.probe(soon(t))
		if (perr == nil) != (oerr == nil) || (perr == nil) != (herr == nil) {
			t.Errorf("sources disagree: %v, %v, %v", perr, oerr, herr)
		}
		return perr
	}
	wantError(t, ask(RequestOptions{}), "status 401")
	wantError(t, ask(RequestOptions{BearerTokenFile: token}), "")
	want.Store(new("Basic dXNlcjpwYXNzIHdvcmQ="))
	wantError(t, ask(RequestOptions{BearerTokenFile: token}), "status 401")
	wantError(t, ask(RequestOptions{BasicAuth: &BasicAuth{"user", password}}), "")
	want.Store(new("Token abc"))
	wantError(t, ask(RequestOptions{Headers: map[string]string{"authorization": "Token abc"}}), "")
	want.Store(new(""))
	h, err := newHTTPProbe(&HTTPProbe{URL: app.URL, Body: "# www.example.org team-a\n", RequestOptions: RequestOptions{
		Headers: map[string]string{"X-Scope-OrgID": "team-a", "host": "www.example.org"},
	}})
	wantError(t, err, "")
	wantError(t, h.probe(soon(t)), "")

	// A token that is renewed is used at once; one that cannot be is named by its file, and nothing of it is shown.
	p, err := newPrometheus(&Prometheus{URL: app.URL, CPU: "cpu", RequestOptions: RequestOptions{BearerTokenFile: token}})
	wantError(t, err, "")
	for _, tt := range []struct{ token, accepted, err string }{
		{"s3cret-1", "Bearer s3cret-1", ""},
		{"s3cret-2\n", "Bearer s3cret-2", ""},
		{"s3cret-3", "Bearer s3cret-2", "status 401"},
		{"s3cret-3\ns3cret-4\n", "", "bearer_token_file: " + token + ": expected one line"},
		{" \n", "", "bearer_token_file: " + token + ": expected one line"},
		{strings.Repeat("s3cret", maxSecret), "", "bearer_token_file: " + token + ": expected one line"},
	} {
		write(t, token, tt.token)
		want.Store(&tt.accepted)
		_, err := p.collect(soon(t), epoch)
		wantError(t, err, tt.err)
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	os.Remove(token)
	_, err = p.collect(soon(t), epoch)
	wantError(t, err, "bearer_token_file: open "+token+": no such file")
}

// A token is for the host that was named: a redirect carries it to no other one, nor to another port or in clear text.
func TestTokensStayHome(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write(t, token, "s3cret")
	var strayed atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	within := 0
	app := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusFound)
		default:
			if r.Header.Get("Authorization") == "Bearer s3cret" {
				within++
			}
			io.WriteString(w, "cpu 0.5\n")
		}
	})
	for _, tt := range []struct{ path, err string }{{"/moved", ""}, {"/away", "redirect to another host"}} {
		p, err := newPrometheus(&Prometheus{URL: app.URL + tt.path, CPU: "cpu", RequestOptions: RequestOptions{BearerTokenFile: token}})
		wantError(t, err, "")
		_, err = p.collect(soon(t), epoch)
		wantError(t, err, tt.err)
	}
	h, err := newHTTPProbe(&HTTPProbe{URL: app.URL + "/away", RequestOptions: RequestOptions{BearerTokenFile: token}})
	wantError(t, err, "")
	wantError(t, h.probe(soon(t)), "") // a redirect is an answer
	if strayed.Load() > 0 || within != 1 {
		t.Errorf("another host was asked %d times, the same one %d times with the token, want 0 and 1", strayed.Load(), within)
	}
}

// A URL's query may be a secret, too, and where a redirect leads is what another side says.
func TestErrorsShowNoQuery(t *testing.T) {
	away := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://other.example/login?return=s3cret", http.StatusFound)
	})
	for _, address := range []string{"http://" + refused(t), away.URL} {
		p, err := newPrometheus(&Prometheus{URL: address + "/metrics?token=s3cret", CPU: "cpu"})
		wantError(t, err, "")
		if _, err := p.collect(soon(t), epoch); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %v, want an error without the secret", err)
		}
	}
	h, err := newHTTPProbe(&HTTPProbe{URL: "http://" + refused(t) + "/?token=s3cret"})
	wantError(t, err, "")
	if err := h.probe(soon(t)); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want an error without the secret", err)
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{}
	a.cert, a.key, a.pem = certify(t, name, nil)
	return a
}

// certify makes a certificate for 127.0.0.1; without an authority, one for an authority.
func certify(t *testing.T, name string, by *authority) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	wantError(t, err, "")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent, signer := template, key
	if by == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	wantError(t, err, "")
	cert, err := x509.ParseCertificate(der)
	wantError(t, err, "")
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// issue writes a certificate of the authority and its key into files.
func (a *authority) issue(t *testing.T, name, certFile, keyFile string) {
	_, key, text := certify(t, name, a)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	wantError(t, err, "")
	write(t, certFile, text)
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// serveTLS starts an HTTPS server with a certificate of an authority that asks clients for one of another.
func serveTLS(t *testing.T, dir string, own, clients *authority) *httptest.Server {
	certFile, keyFile := filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	own.issue(t, "server", certFile, keyFile)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	wantError(t, err, "")
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "cpu 0.5\n# "+r.TLS.PeerCertificates[0].Subject.CommonName+"\n")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestClientCertificates: a client's certificate, and the authorities that it trusts, are renewed in their files and used
// from the next connection on.
func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	old, renewed := newAuthority(t, "old"), newAuthority(t, "renewed")
	write(t, ca, old.pem)
	old.issue(t, "client-1", cert, key)
	s := serveTLS(t, dir, old, old)

	with := &TLS{CA: ca, Cert: cert, Key: key}
	p, err := newPrometheus(&Prometheus{URL: s.URL, CPU: "cpu", TLS: with})
	wantError(t, err, "")
	h, err := newHTTPProbe(&HTTPProbe{URL: s.URL, Body: "# client-", TLS: with})
	wantError(t, err, "")
	tcp, err := newTCPProbe(&TCPProbe{Address: s.Listener.Addr().String(), TLS: with})
	wantError(t, err, "")
	ask := func(want string) {
		t.Helper()
		_, err := p.collect(soon(t), epoch)
		wantError(t, err, want)
		wantError(t, h.probe(soon(t)), want)
	}
	ask("")
	wantError(t, tcp.probe(soon(t)), "")
	without, err := newHTTPProbe(&HTTPProbe{URL: s.URL, TLS: &TLS{CA: ca}})
	wantError(t, err, "")
	wantError(t, without.probe(soon(t)), "certificate required")

	// The server's certificate, and those of its clients, come from another authority now.
	s.Close()
	s = serveTLS(t, dir, renewed, renewed)
	p.url, h.cfg.URL, tcp.cfg.Address = s.URL, s.URL, s.Listener.Addr().String()
	ask("unknown authority")
	wantError(t, tcp.probe(soon(t)), "unknown authority")
	write(t, ca, old.pem+renewed.pem)
	ask("unknown certificate authority") // so says the server of the client's
	renewed.issue(t, "client-2", cert, key)
	ask("")
	wantError(t, tcp.probe(soon(t)), "")

	write(t, key, "no key")
	_, err = newPrometheus(&Prometheus{URL: s.URL, CPU: "cpu", TLS: with})
	wantError(t, err, "tls.cert: ")
	wantError(t, h.probe(soon(t)), "tls.cert: ")
}

// TestProbeDrains: a server that answers its probe as a drain gets fewer clients, then none, and is ready again when it
// answers so; the agent goes on all the while.
func TestProbeDrains(t *testing.T) {
	db := storetest.Start(t)
	var status atomic.Int64
	status.Store(200)
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })
	cfg := rapid(db)
	cfg.Probe = []Probe{{
		HTTP:     &HTTPProbe{URL: app.URL, DrainStatus: []string{"404"}},
		Interval: 50 * time.Millisecond, Timeout: 50 * time.Millisecond, Fall: 1000, // a busy machine is no failure
	}}
	r := start(t, db, cfg)
	admin := func() string { return field(db, "adms", "web-1") }
	r.awaitReport("web-1", "a report", whatever)
	for range 2 {
		status.Store(404)
		await(t, "the drain", func() bool { return strings.Contains(admin(), `"drain"`) })
		await(t, "the reason", func() bool {
			rep := r.report("web-1")
			return rep.Health == "up" && rep.Reason == "probe[0].http: asks to be drained"
		})
		status.Store(200)
		await(t, "the end of the drain", func() bool { return !strings.Contains(admin(), `"drain"`) && r.report("web-1").Reason == "" })
	}
	// An agent that leaves while the server is drained leaves as any other does.
	status.Store(404)
	await(t, "the drain", func() bool { return strings.Contains(admin(), `"drain"`) })
	r.stop()
	wantError(t, r.end(), "")
	if got := admin(); !strings.Contains(got, `"left":"stopped"`) {
		t.Errorf("the admin state is %s after the agent left, want that it left", got)
	}
}

// A metric can drain the server as well.
func TestMetricDrains(t *testing.T) {
	db := storetest.Start(t)
	var state atomic.Int64
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "up 1\nstate "+string('0'+rune(state.Load()))+"\n")
	})
	cfg := rapid(db)
	cfg.Interval = 100 * time.Millisecond
	cfg.Collect = []Collect{{Prometheus: &Prometheus{URL: app.URL, Health: "up == 1 and state < 2", Drain: "state == 1"}}}
	r := start(t, db, cfg)
	admin := func() string { return field(db, "adms", "web-1") }
	for _, tt := range []struct {
		state  int64
		health string
		drain  bool
		reason string
	}{
		{0, "up", false, ""},
		{1, "up", true, "drain: state == 1 is true"},
		{2, "down", false, "up == 1 and state < 2 is false"},
		{0, "up", false, ""},
	} {
		state.Store(tt.state)
		await(t, "state "+tt.health+" "+tt.reason, func() bool {
			rep := r.report("web-1")
			return rep != nil && string(rep.Health) == tt.health && rep.Reason == tt.reason && strings.Contains(admin(), `"drain"`) == tt.drain
		})
	}
	r.stop()
	wantError(t, r.end(), "")
}
