package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	maxHeader    = 64 << 10         // octets of a response's header
	maxRedirects = 3                // within one host: a path that moved, not a tour
	idleConn     = 90 * time.Second // longer than any sane interval, so that polling keeps its connection
)

// newClient makes an HTTP client for a source. It asks no proxy, keeps one connection, and leaves its deadline to the
// context of each request, which covers the body to its last octet.
func newClient(t *TLS, redirect func(*http.Request, []*http.Request) error) (*http.Client, error) {
	cfg, err := t.config()
	if err != nil {
		return nil, err
	}
	return &http.Client{
		CheckRedirect: redirect,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{}).DialContext,
			TLSClientConfig:        cfg,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns:           1,
			IdleConnTimeout:        idleConn,
		},
	}, nil
}

// sameHost follows a redirect only within the host and scheme that were asked: another host is not the one that the
// operator named, and must not be asked in its name.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("redirect to another host: %.100q", req.URL.Redacted())
	}
	return nil
}

// noRedirect takes a redirect as the answer.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get asks for url and returns the response, whose body the caller closes. Anything but 200 is an error.
func get(ctx context.Context, c *http.Client, url, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("status %d, expected 200", resp.StatusCode)
	}
	return resp, nil
}

const userAgent = "farm-agent"

// bounded returns a reader that fails once it has read more than limit octets. A compressed body is counted as it
// comes out, so that a small one cannot grow without bound.
func bounded(r io.Reader, limit int64) io.Reader {
	return &boundedReader{r: io.LimitReader(r, limit+1), left: limit}
}

type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

var errTooLarge = errors.New("body is larger than allowed")

// checkURL says whether s is a URL that can be asked for over HTTP.
func checkURL(s string) error {
	req, err := http.NewRequest(http.MethodGet, s, nil)
	if err != nil || req.URL.Host == "" || !strings.HasPrefix(s, "http") {
		return errors.New("expected an http:// or https:// URL")
	}
	return nil
}
