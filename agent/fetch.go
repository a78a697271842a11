package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	maxHeader    = 64 << 10         // octets of a response's header
	maxRedirects = 3                // within one host: a path that moved, not a tour
	idleConn     = 90 * time.Second // longer than any sane interval, so that polling keeps its connection
)

// requester makes the requests to one HTTP source: one at a time. It asks no proxy, keeps one connection unless told not
// to, and leaves its deadline to the context of each request, which covers the body to its last octet.
type requester struct {
	options     RequestOptions
	tls         *TLS
	redirect    func(*http.Request, []*http.Request) error
	once        bool // whether each request has a connection of its own
	authorities []byte
	client      *http.Client
}

// open makes the client, or makes it again if the authorities that it trusts have changed.
func (r *requester) open() error {
	authorities, err := r.tls.readCA()
	if err != nil {
		return err
	}
	if r.client != nil && bytes.Equal(authorities, r.authorities) {
		return nil
	}
	cfg, err := r.tls.configWith(authorities)
	if err != nil {
		return err
	}
	r.close()
	r.authorities = authorities
	r.client = &http.Client{
		CheckRedirect: r.redirect,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{}).DialContext,
			TLSClientConfig:        cfg,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns:           1,
			IdleConnTimeout:        idleConn,
			DisableKeepAlives:      r.once,
		},
	}
	return nil
}

func (r *requester) close() {
	if r.client != nil {
		r.client.CloseIdleConnections()
	}
}

// do makes a request with what the options add to it. The caller closes the response's body.
func (r *requester) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", userAgent)
	if err := r.options.apply(req); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	// The library's error has all of the URL, of which the query may be a secret. Which source it is the caller says.
	if uerr, ok := errors.AsType[*url.Error](err); ok {
		err = uerr.Err
	}
	return resp, err
}

// sameHost follows a redirect only within the host and scheme that were asked: another host is not the one that the
// operator named, and must not be asked in its name.
func sameHost(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("redirect to another host: %.100q", req.URL.Scheme+"://"+req.URL.Host)
	}
	return nil
}

// noRedirect takes a redirect as the answer.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// get asks for a URL and returns the response, whose body the caller closes. Anything but 200 is an error.
func (r *requester) get(ctx context.Context, target, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := r.do(req)
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
	if err != nil || req.URL.Host == "" || !slices.Contains([]string{"http", "https"}, req.URL.Scheme) {
		return errors.New("expected an http:// or https:// URL")
	}
	return nil
}
