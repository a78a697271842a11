package camara

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// Bounds of what is read of an answer, in octets.
const (
	maxHeader = 64 << 10
	maxBody   = 1 << 20
)

// caller makes the calls of one API.
type caller struct {
	base       string // URL without a slash at its end
	client     *http.Client
	tokens     *tokens
	timeout    time.Duration
	correlator string
	now        func() time.Time
}

// newClient makes an HTTP client that follows no redirect: what it sends is for the host that was named, and no other.
func newClient(ca string) (*http.Client, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s: expected PEM certificates", ca)
		}
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        cfg,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    looks,
			IdleConnTimeout:        90 * time.Second, // longer than most pauses between two looks
		},
	}, nil
}

// call is one operation of the API.
type call struct {
	method, path string
	grant        qos.GrantID // that it is made for
	body         any         // nil is none
	expect       int         // status of a success
	once         bool        // whether "too many requests" is an error at once
}

// answer is what came of a call.
type answer struct {
	body  []byte
	ahead time.Duration // by how much the operator's clock is ahead of ours
}

// errBusy says that the operator has had too many requests for now.
var errBusy = errors.New("429: too many requests, also after a pause")

// maxAttempts bounds how often a call is made that the operator has no time for.
const maxAttempts = 6

// do makes a call until the operator has decided. Its refusals are problems; any other error means that it may or may
// not have done what was asked. It blocks through the operator's pauses, as far as ctx goes.
func (c *caller) do(ctx context.Context, op call) (answer, error) {
	fresh := false // whether the token has been replaced
	for attempt := 0; ; {
		ans, wait, err := c.try(ctx, op, !fresh)
		switch p := problemOf(err); {
		case p.is(http.StatusUnauthorized) && !fresh && p.code != codeToken:
			fresh = true
		case p.is(http.StatusTooManyRequests):
			if attempt++; op.once || attempt >= maxAttempts {
				return ans, errBusy
			}
			if err := pause(ctx, backoff(attempt, wait, rand.Float64())); err != nil {
				return ans, err
			}
		default:
			return ans, err
		}
	}
}

// try makes a call once. With a problem 429 comes what the operator said of when to try again. A token that is not
// accepted is forgotten.
func (c *caller) try(ctx context.Context, op call, forget bool) (answer, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	token, err := c.tokens.get(ctx)
	if err != nil {
		return answer{}, 0, err
	}
	req, err := c.request(ctx, op)
	if err != nil {
		return answer{}, 0, err
	}
	token.SetAuthHeader(req)
	resp, err := c.client.Do(req)
	if err != nil {
		return answer{}, 0, fmt.Errorf("%s: %w", op.what(), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized && forget {
		c.tokens.drop(token)
	}
	now := c.now()
	ans, err := read(resp, op)
	ans.ahead = ahead(resp.Header, now)
	return ans, retryAfter(resp.Header, now), err
}

func (c *caller) request(ctx context.Context, op call) (*http.Request, error) {
	var body io.Reader
	if op.body != nil {
		b, err := json.Marshal(op.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, op.method, c.base+op.path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "farm")
	req.Header.Set("X-Correlator", c.correlator+op.grant.String())
	return req, nil
}

// read takes a response apart: a success, the operator's refusal, or neither.
func read(resp *http.Response, op call) (answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	final := resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusRequestTimeout
	switch {
	case resp.StatusCode == op.expect && err != nil:
		return answer{}, fmt.Errorf("%s: %w", op.what(), err)
	case resp.StatusCode == op.expect && len(body) > maxBody:
		return answer{}, fmt.Errorf("%s: expected an answer of at most %d octets", op.what(), maxBody)
	case resp.StatusCode == op.expect:
		return answer{body: body}, nil
	case final:
		return answer{}, decodeProblem(resp.StatusCode, body)
	}
	return answer{}, fmt.Errorf("%s: status %d, expected %d", op.what(), resp.StatusCode, op.expect)
}

// what names an operation without the session, which is nobody's business in a log.
func (op *call) what() string {
	path, _, _ := strings.Cut(strings.TrimPrefix(op.path, "/"), "/")
	return op.method + " /" + path
}

// Bounds of the pauses before a call is made again.
const (
	firstBackoff  = 250 * time.Millisecond
	lastBackoff   = 8 * time.Second
	maxRetryAfter = time.Minute // an open request is over by then
)

// backoff returns how long to wait after so many attempts. What the operator said is the least; chance, 0 to 1, spreads
// those who were turned away together.
func backoff(attempt int, said time.Duration, chance float64) time.Duration {
	step := min(firstBackoff<<(attempt-1), lastBackoff)
	return max(said, step/2) + time.Duration(chance*float64(step/2))
}

// pause waits, unless the context would end before.
func pause(ctx context.Context, wait time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		return errBusy
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads the header of that name: seconds or a date (RFC 9110 section 10.2.3). 0 is not said.
func retryAfter(h http.Header, now time.Time) time.Duration {
	said := h.Get("Retry-After")
	if s, err := strconv.ParseUint(said, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(said); err == nil {
		return min(max(at.Sub(now)-ahead(h, now), 0), maxRetryAfter)
	}
	return 0
}

// nearly is how far clocks may be apart before it is told: the header Date has whole seconds, and some time on the way.
const nearly = 2 * time.Second

// ahead returns by how much the clock of who wrote the header Date is ahead of ours. Grants end by our clock.
func ahead(h http.Header, now time.Time) time.Duration {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	if d := at.Sub(now) + time.Second/2; d.Abs() > nearly {
		return d
	}
	return 0
}
