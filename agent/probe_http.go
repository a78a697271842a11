package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/suggest"
)

// HTTPProbe passes when a request is answered as expected. It follows no redirect: a redirect is an answer.
type HTTPProbe struct {
	URL            string   `yaml:"url"`
	Method         string   `yaml:"method"`      // default GET
	Host           string   `yaml:"host"`        // Host header; default the URL's
	Status         []string `yaml:"status"`      // what is expected: 204 or 200-299; default 200-399
	Body           string   `yaml:"body"`        // text that the body must hold
	BodyRegexp     string   `yaml:"body_regexp"` // what the body must match
	TLS            *TLS     `yaml:"tls"`
	RequestOptions `yaml:",inline"`
	DrainStatus    []string `yaml:"drain_status"` // with which the server asks to be drained
}

func (h *HTTPProbe) validate() error {
	if err := checkURL(h.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if _, err := http.NewRequest(h.Method, h.URL, nil); err != nil {
		return fmt.Errorf("method: %w", err)
	}
	if err := firstError(h.TLS.validate(), h.RequestOptions.validate(h.URL)); err != nil {
		return err
	}
	_, err := newHTTPProbe(&HTTPProbe{Status: h.Status, DrainStatus: h.DrainStatus, BodyRegexp: h.BodyRegexp})
	return err
}

// maxProbeBody is how much of a body is looked at, in octets. A health page is small.
const maxProbeBody = 64 << 10

// statusRange is inclusive.
type statusRange struct{ from, to int }

type httpProbe struct {
	cfg    *HTTPProbe
	http   requester
	status []statusRange
	drain  []statusRange
	re     *regexp.Regexp // nil if the body need not match
}

func newHTTPProbe(cfg *HTTPProbe) (*httpProbe, error) {
	p := &httpProbe{cfg: cfg, status: []statusRange{{200, 399}}}
	var err error
	if len(cfg.Status) > 0 {
		if p.status, err = parseStatus("status", cfg.Status); err != nil {
			return nil, err
		}
	}
	if p.drain, err = parseStatus("drain_status", cfg.DrainStatus); err != nil {
		return nil, err
	}
	if cfg.BodyRegexp != "" {
		if p.re, err = regexp.Compile(cfg.BodyRegexp); err != nil {
			return nil, fmt.Errorf("body_regexp: %w", err)
		}
	}
	// Whether the server still accepts connections is half of the question: each probe makes one.
	p.http = requester{options: cfg.RequestOptions, tls: cfg.TLS, redirect: noRedirect, once: true}
	return p, p.http.open()
}

func parseStatus(key string, texts []string) ([]statusRange, error) {
	var out []statusRange
	for i, text := range texts {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			return nil, fmt.Errorf("%s[%d]: %q, expected a status, or a range like 200-299", key, i, suggest.Shown(text))
		}
		out = append(out, statusRange{a, b})
	}
	return out, nil
}

func (p *httpProbe) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, p.cfg.Method, p.cfg.URL, nil)
	if err != nil {
		return err
	}
	req.Host = p.cfg.Host
	resp, err := p.http.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if anyHas(p.drain, resp.StatusCode) {
		return errDrain
	}
	if !anyHas(p.status, resp.StatusCode) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return p.checkBody(resp.Body)
}

func anyHas(ranges []statusRange, status int) bool {
	for _, r := range ranges {
		if r.from <= status && status <= r.to {
			return true
		}
	}
	return false
}

func (p *httpProbe) checkBody(r io.Reader) error {
	if p.cfg.Body == "" && p.re == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r, maxProbeBody))
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if !strings.Contains(string(body), p.cfg.Body) {
		return errors.New("body does not hold the text")
	}
	if p.re != nil && !p.re.Match(body) {
		return errors.New("body does not match")
	}
	return nil
}
