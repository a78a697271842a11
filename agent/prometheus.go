package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Prometheus is the collector of a text exposition. Its keys say which metric means what, as name{label="value"}.
type Prometheus struct {
	URL         string `yaml:"url"`
	TLS         *TLS   `yaml:"tls"`
	Utilization string `yaml:"utilization"` // gauge, or gauge / gauge, or gauge / number
	CPU         string `yaml:"cpu"`         // the same
	Mem         string `yaml:"mem"`         // the same
	InFlight    string `yaml:"in_flight"`   // the same
	RPS         string `yaml:"rps"`         // counter of requests
	EPS         string `yaml:"eps"`         // counter of errors
	Latency     string `yaml:"latency"`     // histogram or summary of seconds, without _sum and _count
}

func (p *Prometheus) validate() error {
	if err := checkURL(p.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	_, err := newMeanings(p)
	return err
}

// meanings are the compiled keys of a Prometheus collector. A nil one is not asked for.
type meanings struct {
	utilization, cpu, mem, inFlight *ratio
	rps, eps, sum, count            *selector
}

func newMeanings(p *Prometheus) (*meanings, error) {
	var m meanings
	var errs []error
	for _, g := range []struct {
		key, text string
		to        **ratio
	}{
		{"utilization", p.Utilization, &m.utilization}, {"cpu", p.CPU, &m.cpu},
		{"mem", p.Mem, &m.mem}, {"in_flight", p.InFlight, &m.inFlight},
	} {
		errs = append(errs, compile(g.key, g.text, g.to, parseRatio))
	}
	for _, c := range []struct {
		key, text string
		to        **selector
	}{
		{"rps", p.RPS, &m.rps}, {"eps", p.EPS, &m.eps},
		{"latency", p.Latency, &m.sum}, {"latency", p.Latency, &m.count},
	} {
		errs = append(errs, compile(c.key, c.text, c.to, parseWhole))
	}
	if m.sum != nil {
		m.sum.name += "_sum"
		m.count.name += "_count"
	}
	if len(m.names()) == 0 {
		errs = append(errs, errors.New("expected at least one of utilization, cpu, mem, in_flight, rps, eps, latency"))
	}
	return &m, errors.Join(errs...)
}

func compile[T any](key, text string, to **T, parse func(string) (T, error)) error {
	if text == "" {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	*to = &v
	return nil
}

// names returns the metrics that are needed.
func (m *meanings) names() map[string]bool {
	names := make(map[string]bool)
	for _, r := range []*ratio{m.utilization, m.cpu, m.mem, m.inFlight} {
		if r == nil {
			continue
		}
		names[r.over.name] = true
		if r.under != nil {
			names[r.under.name] = true
		}
	}
	for _, s := range []*selector{m.rps, m.eps, m.sum, m.count} {
		if s != nil {
			names[s.name] = true
		}
	}
	return names
}

type prometheusCollector struct {
	url    string
	client *http.Client
	means  *meanings
	names  map[string]bool

	rps, eps, sum, count rate
}

func newPrometheus(cfg *Prometheus) (*prometheusCollector, error) {
	client, err := newClient(cfg.TLS, sameHost)
	if err != nil {
		return nil, err
	}
	means, err := newMeanings(cfg)
	if err != nil {
		return nil, err
	}
	return &prometheusCollector{url: cfg.URL, client: client, means: means, names: means.names()}, nil
}

func (p *prometheusCollector) collect(ctx context.Context, now time.Time) (Sample, error) {
	resp, err := get(ctx, p.client, p.url, "text/plain;version=0.0.4")
	if err != nil {
		return Sample{}, err
	}
	defer resp.Body.Close()
	e, err := readExposition(resp.Body, p.names)
	if err != nil {
		return Sample{}, err
	}
	if len(e) == 0 {
		return Sample{}, errors.New("none of the metrics is exposed")
	}
	return p.sample(e, now), nil
}

func (p *prometheusCollector) sample(e exposition, now time.Time) Sample {
	var s Sample
	m := p.means
	for _, g := range []struct {
		from *ratio
		to   **float64
	}{{m.utilization, &s.Utilization}, {m.cpu, &s.CPU}, {m.mem, &s.Mem}, {m.inFlight, &s.InFlight}} {
		if g.from != nil {
			*g.to = e.ratio(g.from)
		}
	}
	s.RPS = p.rps.of(e, m.rps, now)
	s.EPS = p.eps.of(e, m.eps, now)
	sum, count := p.sum.of(e, m.sum, now), p.count.of(e, m.count, now)
	if sum != nil && count != nil && *count > 0 {
		s.Latency = new(*sum / *count)
	}
	return s
}

// rate turns counters into a rate. It keeps the last reading.
type rate struct {
	last map[string]float64 // nil before the first reading
	at   time.Time
}

func (r *rate) of(e exposition, s *selector, now time.Time) *float64 {
	if s == nil {
		return nil
	}
	return r.next(e.series(s), now)
}

// next returns the rate a second since the last reading, summed over the series; nil if there is nothing to compare
// with. A counter that fell was reset and counts from 0; one that is new counts from the next reading on.
func (r *rate) next(series map[string]float64, now time.Time) *float64 {
	last, elapsed := r.last, now.Sub(r.at)
	r.last, r.at = series, now
	if last == nil || series == nil || elapsed <= 0 {
		return nil
	}
	grown := 0.0
	for key, v := range series {
		before, seen := last[key]
		switch {
		case seen && v >= before:
			grown += v - before
		case seen:
			grown += v
		}
	}
	return new(grown / elapsed.Seconds())
}
