package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// epoch is the time at which tests begin that bring their own.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// quiet is a log for those who do not look at it.
var quiet = slog.New(slog.DiscardHandler)

// soon is a context that ends a hanging test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// brief is a context for what must not take its time.
func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// show writes a sample the way tables want it: only what is said, in a fixed order.
func show(s Sample) string {
	var b strings.Builder
	for _, name := range numberNames {
		if p := *s.number(name); p != nil {
			fmt.Fprintf(&b, "%s=%g ", name, math.Round(*p*1e6)/1e6)
		}
	}
	if s.Health != "" {
		fmt.Fprintf(&b, "health=%s ", s.Health)
	}
	if s.Drain {
		b.WriteString("drain ")
	}
	if s.Reason != "" {
		fmt.Fprintf(&b, "reason=%q ", s.Reason)
	}
	for _, a := range s.Absent {
		fmt.Fprintf(&b, "(%s: %s) ", a.what, a.why)
	}
	return strings.TrimSpace(b.String())
}

func wantSample(t *testing.T, got Sample, want string) {
	t.Helper()
	if s := show(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// wantError checks that an error holds a text, or that there is none if the text is empty. It says whether there is one.
func wantError(t *testing.T, err error, want string) bool {
	t.Helper()
	if err == nil && want != "" {
		t.Errorf("got no error, want %q", want)
	}
	if err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
		t.Errorf("got error %q, want %q", err, want)
	}
	return err != nil
}

// serve starts an HTTP server on loopback.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// listen answers every connection on loopback with what talk does.
func listen(t testing.TB, talk func(net.Conn)) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return l.Addr().String()
}

// hold reads until the other side is gone.
func hold(c net.Conn) { io.Copy(io.Discard, c) }

// refused is an address that nobody listens on.
func refused(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await asks until it is so. It is for what other processes and kernels do, which tell nobody.
func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}
