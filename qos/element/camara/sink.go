package camara

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// sink takes the operator's notifications. Each grant has a URL of its own, which says whose session it is before its
// name is known, and a token of its own, which is computed: a new element knows those of the old one.
type sink struct {
	base     string // URL without a slash at its end
	key      []byte
	server   *http.Server
	listener net.Listener
	element  *Element
}

// Bounds of what a notifier may send, and of how long it may take.
const (
	maxNotification = 64 << 10
	maxSinkHeader   = 16 << 10
	sinkRead        = 10 * time.Second
	sinkIdle        = time.Minute
)

// tokenMargin is how long a sink's token outlives its session: the last notification may be late.
const tokenMargin = 10 * time.Minute

// sinkKey makes the key of the tokens from the client's secret, which both sides know.
func sinkKey(secret []byte) []byte {
	return mac(secret, []byte("farm/camara/sink/v1"))
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// listen opens the sink's port.
func listen(cfg *Sink, key []byte, e *Element) (*sink, error) {
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("sink.cert: %w", err)
		}
		return &c, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("sink.listen: %w", err)
	}
	s := &sink{base: strings.TrimSuffix(cfg.URL, "/"), key: key, listener: l, element: e}
	s.server = &http.Server{
		Handler:        s,
		ReadTimeout:    sinkRead,
		WriteTimeout:   sinkRead,
		IdleTimeout:    sinkIdle,
		MaxHeaderBytes: maxSinkHeader,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, 0), // strangers' handshakes are no news
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// Read again for every connection, so that a renewed certificate needs no restart.
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return load() },
		},
	}
	return s, nil
}

// serve takes notifications until the server is shut down.
func (s *sink) serve() {
	if err := s.server.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		s.element.log.Error("notifications are not taken any more; sessions are polled", "error", err)
	}
}

func (s *sink) urlOf(id qos.GrantID) string { return s.base + "/" + id.String() }

// grantOfSink returns the grant that a session's sink is for. ok is false for what is no sink of a grant.
func grantOfSink(sink string) (id qos.GrantID, ok bool) {
	u, err := url.Parse(sink)
	if err != nil {
		return id, false
	}
	err = id.UnmarshalText([]byte(path.Base(u.Path)))
	return id, err == nil
}

// token is what the operator must show to notify us of a grant's session.
func (s *sink) token(id qos.GrantID) string {
	return base64.RawURLEncoding.EncodeToString(mac(s.key, id[:]))
}

// credential makes the credential of a grant's session, which ends at the latest then.
func (s *sink) credential(id qos.GrantID, then time.Time) *sinkCredential {
	return &sinkCredential{"ACCESSTOKEN", s.token(id), then.Add(tokenMargin).UTC().Truncate(time.Second), "bearer"}
}

// ServeHTTP takes one notification. It is a hint to look at the session, and nothing else of it is believed.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c := r.Header.Get("X-Correlator"); len(c) <= 256 && correlatorForm.MatchString(c) {
		w.Header().Set("X-Correlator", c)
	}
	var id qos.GrantID
	if id.UnmarshalText([]byte(path.Base(r.URL.Path))) != nil || r.Method != http.MethodPost {
		complain(w, http.StatusBadRequest, "INVALID_ARGUMENT", "expected a POST to the sink of a session")
		return
	}
	shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !hmac.Equal([]byte(shown), []byte(s.token(id))) {
		complain(w, http.StatusUnauthorized, "UNAUTHENTICATED", "expected the access token of the session's sink")
		return
	}
	n, err := readNotification(w, r)
	if err != nil {
		complain(w, http.StatusBadRequest, "INVALID_ARGUMENT", err.Error())
		return
	}
	if !s.element.notice(id, n) {
		complain(w, http.StatusGone, "GONE", "nobody is interested in this session any more")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func readNotification(w http.ResponseWriter, r *http.Request) (*notification, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/cloudevents+json" {
		return nil, errors.New("expected Content-Type application/cloudevents+json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotification))
	if err != nil {
		return nil, fmt.Errorf("expected a body of at most %d octets", maxNotification)
	}
	return decodeNotification(body)
}

// notice has a session be looked at, and tells whether anybody is interested in it. That a session of a grant that was
// given back is deleted is as it should be; and before the first Reconcile, nobody knows what is of interest.
func (e *Element) notice(id qos.GrantID, n *notification) bool {
	if e.sessions.notice(id, n.Data.SessionID, n.Data.QosStatus, n.Data.StatusInfo, e.now()) {
		wake(e.nudged)
		return true
	}
	return n.Data.StatusInfo == infoDeleted || !e.ready.Load()
}

// complain answers with an error in the form of the API.
func complain(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "message": message})
}

// close ends the sink; what is being taken may be finished until the context ends.
func (s *sink) close(ctx context.Context) error { return s.server.Shutdown(ctx) }
