package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Prometheus is the collector of an exposition, in Prometheus' text format or in OpenMetrics. Its keys are expressions, in
// a subset of PromQL.
type Prometheus struct {
	URL            string `yaml:"url"`
	TLS            *TLS   `yaml:"tls"`
	RequestOptions `yaml:",inline"`
	Utilization    string `yaml:"utilization"` // number
	CPU            string `yaml:"cpu"`         // number
	Mem            string `yaml:"mem"`         // number
	InFlight       string `yaml:"in_flight"`   // number
	RPS            string `yaml:"rps"`         // counter of requests, or a number
	EPS            string `yaml:"eps"`         // counter of errors, or a number
	Latency        string `yaml:"latency"`     // histogram or summary of seconds, without _sum and _count, or a number
	Health         string `yaml:"health"`      // condition under which the server is up
	Drain          string `yaml:"drain"`       // condition under which the server is to be drained
}

func (p *Prometheus) validate() error {
	if err := checkURL(p.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if err := firstError(p.TLS.validate(), p.RequestOptions.validate(p.URL)); err != nil {
		return err
	}
	_, err := newMeanings(p)
	return err
}

// checkWindows refuses windows in which there can never be two readings.
func (p *Prometheus) checkWindows(interval time.Duration) error {
	m, err := newMeanings(p)
	if err != nil {
		return nil // said by validate
	}
	for key, expr := range m.expressions() {
		for _, r := range rangesOf(expr) {
			if r.Range < 2*interval {
				return fmt.Errorf("%s: %w", key, errorAt(r.PositionRange().Start, "[%v], expected at least two intervals", r.Range))
			}
		}
	}
	return nil
}

// meaning is a compiled key of a Prometheus collector.
type meaning struct {
	key  string
	expr parser.Expr
}

// counted is a key that is a counter by itself: what it means is its rate from one report to the next.
type counted struct {
	key     string
	counter *parser.VectorSelector
	rate    rate
}

// meanings are the compiled keys of a Prometheus collector.
type meanings struct {
	numbers       []meaning
	counters      []*counted // rps and eps
	sum, count    *counted   // latency, nil if it is not asked for, or an expression
	health, drain parser.Expr
}

func newMeanings(p *Prometheus) (*meanings, error) {
	var m meanings
	var errs []error
	for _, k := range []struct{ key, text string }{
		{"utilization", p.Utilization}, {"cpu", p.CPU}, {"mem", p.Mem}, {"in_flight", p.InFlight},
		{"rps", p.RPS}, {"eps", p.EPS}, {"latency", p.Latency},
	} {
		if k.text != "" {
			errs = append(errs, at(k.key, m.addNumber(k.key, k.text)))
		}
	}
	var err error
	if p.Health != "" {
		m.health, err = parseCondition(p.Health)
		errs = append(errs, at("health", err))
	}
	if p.Drain != "" {
		m.drain, err = parseCondition(p.Drain)
		errs = append(errs, at("drain", err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(m.expressions()) == 0 {
		return nil, errors.New("expected at least one of utilization, cpu, mem, in_flight, rps, eps, latency, health, drain")
	}
	return &m, nil
}

// at puts a key before an error.
func at(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// addNumber compiles a key that makes a number. A metric that stands alone is a counter for rps and eps, and a histogram
// or summary for latency.
func (m *meanings) addNumber(key, text string) error {
	expr, err := parseNumber(text)
	if err != nil {
		return err
	}
	s, isAlone := unwrap(expr).(*parser.VectorSelector)
	switch {
	case isAlone && (key == "rps" || key == "eps"):
		m.counters = append(m.counters, &counted{key: key, counter: s})
		return nil
	case isAlone && key == "latency":
		m.sum = &counted{key: key, counter: withSuffix(s, "_sum")}
		m.count = &counted{key: key, counter: withSuffix(s, "_count")}
		return nil
	}
	m.numbers = append(m.numbers, meaning{key, expr})
	return checkReadings(expr)
}

// withSuffix returns a selector of the metric whose name has the suffix.
func withSuffix(s *parser.VectorSelector, suffix string) *parser.VectorSelector {
	name, matchers := splitSelector(s)
	named := labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name+suffix)
	return &parser.VectorSelector{Name: name + suffix, LabelMatchers: append([]*labels.Matcher{named}, matchers...)}
}

// expressions returns all that is looked at, by key.
func (m *meanings) expressions() map[string]parser.Expr {
	out := make(map[string]parser.Expr)
	for _, n := range m.numbers {
		out[n.key] = n.expr
	}
	for _, c := range m.counters {
		out[c.key] = c.counter
	}
	if m.sum != nil {
		out["latency_sum"], out["latency_count"] = m.sum.counter, m.count.counter
	}
	if m.health != nil {
		out["health"] = m.health
	}
	if m.drain != nil {
		out["drain"] = m.drain
	}
	return out
}

// names returns the metrics that are needed.
func (m *meanings) names() map[string]bool {
	names := make(map[string]bool)
	for _, expr := range m.expressions() {
		metricsOf(expr, names)
	}
	return names
}

// newWindows makes a window for each selector of which readings are kept, as long as the longest range over it.
func (m *meanings) newWindows() map[string]*window {
	windows := make(map[string]*window)
	for _, expr := range m.expressions() {
		for _, r := range rangesOf(expr) {
			key := windowKey(r)
			if windows[key] == nil {
				windows[key] = newWindow(r)
			}
			windows[key].keep = max(windows[key].keep, r.Range)
		}
	}
	return windows
}

type prometheusCollector struct {
	url     string
	http    requester
	means   *meanings
	names   map[string]bool
	windows map[string]*window
}

func newPrometheus(cfg *Prometheus) (*prometheusCollector, error) {
	means, err := newMeanings(cfg)
	if err != nil {
		return nil, err
	}
	p := &prometheusCollector{url: cfg.URL, means: means, names: means.names(), windows: means.newWindows()}
	p.http = requester{options: cfg.RequestOptions, tls: cfg.TLS, redirect: sameHost}
	return p, p.http.open()
}

// promises names what is configured: whatever of it is absent is unknown.
func (p *prometheusCollector) promises() []string {
	var keys []string
	for key := range p.means.expressions() {
		keys = append(keys, strings.TrimSuffix(strings.TrimSuffix(key, "_sum"), "_count"))
	}
	return keys
}

func (p *prometheusCollector) collect(ctx context.Context, now time.Time) (Sample, error) {
	resp, err := p.http.get(ctx, p.url, acceptExposition)
	if err != nil {
		return Sample{}, err
	}
	defer resp.Body.Close()
	contentType := resp.Header.Get("Content-Type")
	openMetrics := isOpenMetrics(contentType)
	e, err := readExposition(resp.Body, p.names, openMetrics, now)
	if err != nil {
		return Sample{}, err
	}
	if t, _, _ := mime.ParseMediaType(contentType); t == "text/html" && len(e.metrics) == 0 {
		return Sample{}, errors.New("the answer is text/html, expected an exposition")
	}
	s := p.sample(e, now)
	if openMetrics && !e.ended {
		s.lack("exposition", `it ends without "# EOF", expected as of OpenMetrics`)
	}
	return s, nil
}

// sample makes a sample of a scrape. What it lacks it names.
func (p *prometheusCollector) sample(e *exposition, now time.Time) Sample {
	room := maxPoints
	for _, w := range p.windows {
		w.add(e, now, room)
		room -= w.points
	}
	var s Sample
	ev := &evaluation{scrape: e, windows: p.windows, now: now}
	for _, n := range p.means.numbers {
		v, err := ev.amount(n.expr)
		if isShare(n.key) && v < 0 && v > -shareNoise {
			v = 0
		}
		if s.lackIf(n.key, err); err == nil {
			*s.number(n.key) = &v
		}
	}
	for _, c := range p.means.counters {
		v, err := c.next(e, now)
		if s.lackIf(c.key, err); err == nil {
			*s.number(c.key) = &v
		}
	}
	p.means.addLatency(&s, e, now)
	p.means.addConditions(&s, ev)
	p.addFaults(&s, e)
	return s
}

// firstError returns the first error that is one. Reasons are short, and several errors seldom say more than one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// shareNoise is by how much the use of a resource may be below 0: a counter of idle time is read a moment after the time
// that it is compared with, so that an idle machine can seem to be idle for longer than the window.
const shareNoise = 0.1

// lackIf records that something is absent if there is an error.
func (s *Sample) lackIf(what string, err error) {
	if err == nil {
		return
	}
	_, early := errors.AsType[earlyError](err)
	s.Absent = append(s.Absent, absence{what: what, why: err.Error(), early: early})
}

// amount returns the value of an expression that must not take counters for amounts.
func (e *evaluation) amount(expr parser.Expr) (float64, error) {
	for _, s := range readingsOf(expr) {
		if name, _ := splitSelector(s); e.scrape.kinds[name] == "counter" {
			return 0, counterError{s}
		}
	}
	return e.number(expr)
}

// next returns the rate of a counter since the last scrape. Where there is a counter of errors, but no series of the
// errors that are meant, there were none yet.
func (c *counted) next(e *exposition, now time.Time) (float64, error) {
	name, matchers := splitSelector(c.counter)
	chosen := e.selectSeries(name, matchers)
	v, ok := c.rate.next(chosen, now)
	noneYet := c.key == "eps" && e.metrics[name] != nil && e.unknownLabel(name, matchers) == ""
	switch {
	case len(chosen) == 0 && !noneYet:
		c.rate.last = nil
		return 0, e.explainMissing(name, matchers, c.counter)
	case !ok:
		return 0, earlyError("no rate yet")
	}
	return v, nil
}

// addLatency makes the mean latency since the last scrape. Without requests there is none.
func (m *meanings) addLatency(s *Sample, e *exposition, now time.Time) {
	if m.sum == nil {
		return
	}
	sum, serr := m.sum.next(e, now)
	count, cerr := m.count.next(e, now)
	s.lackIf("latency", firstError(serr, cerr))
	if serr == nil && cerr == nil && count > 0 {
		s.Latency = new(sum / count)
	}
}

func (m *meanings) addConditions(s *Sample, ev *evaluation) {
	if m.health != nil {
		up, err := ev.condition(m.health)
		s.lackIf("health", err)
		switch {
		case err == nil && up:
			s.Health = Up
		case err == nil:
			s.Health = Down
			s.explain(fmt.Sprintf("%s is false", m.health))
		}
	}
	if m.drain != nil {
		drain, err := ev.condition(m.drain)
		s.lackIf("drain", err)
		if err == nil && drain {
			s.Drain = true
			s.explain(fmt.Sprintf("drain: %s is true", m.drain))
		}
	}
}

// addFaults names the lines that were left out of metrics of which others were read.
func (p *prometheusCollector) addFaults(s *Sample, e *exposition) {
	for _, name := range slices.Sorted(maps.Keys(e.faults)) {
		if e.metrics[name] != nil {
			s.lack(name, e.faults[name].String())
		}
	}
}

// rate turns counters into a rate. It keeps the last reading.
type rate struct {
	last map[string]float64 // by the labels; nil before the first reading
	at   time.Time
}

// next returns the rate a second since the last reading, summed over the series; false if there is nothing to compare
// with. A counter that fell was reset and counts from 0; one that is new counts from the next reading on.
func (r *rate) next(now []series, at time.Time) (float64, bool) {
	last, elapsed := r.last, at.Sub(r.at)
	r.last, r.at = make(map[string]float64, len(now)), at
	grown := 0.0
	for _, s := range now {
		key := string(s.labels.Bytes(nil))
		r.last[key] = s.value
		before, seen := last[key]
		switch {
		case seen && s.value >= before:
			grown += s.value - before
		case seen:
			grown += s.value
		}
	}
	return grown / elapsed.Seconds(), last != nil && elapsed > 0
}
