package agent

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// subject is one server that is reported on.
type subject struct {
	id       string
	reporter string // empty: the server's own agent speaks
	places   []*place
	probes   []*probing
}

// place is what the agent knows of a subject's standing in one service.
type place struct {
	service    string
	record     steer.Server
	seq        uint64
	begun      bool // whether the database has answered a report of this run
	registered bool
	drained    bool // whether our drain stands
	claims     int  // reports in a row that were refused because another agent speaks
}

// newSubjects makes what the configuration tells the agent to report on. Its probes are not running yet.
func newSubjects(c *Config, self *awareness, log *slog.Logger) ([]*subject, error) {
	if c.Reporter == "" {
		s, err := newServer(c, self, log)
		return []*subject{s}, err
	}
	var out []*subject
	for i, p := range c.Servers {
		s := &subject{id: p.Server, reporter: c.Reporter}
		for _, name := range p.Services {
			// Only the server's own agent registers it; a prober finds it registered, or in a Corefile.
			s.places = append(s.places, &place{service: fqdn(name), registered: true})
		}
		var err error
		s.probes, err = newProbes(fmt.Sprintf("servers[%d].probe", i), p.Probe, self, log.With("server", p.Server))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func newServer(c *Config, self *awareness, log *slog.Logger) (*subject, error) {
	s := &subject{id: c.Server}
	for i, service := range c.Services {
		rec, err := serverRecord(c, service)
		if err != nil {
			return nil, fmt.Errorf("services[%d]: %w", i, err)
		}
		s.places = append(s.places, &place{service: fqdn(service.Name), record: rec})
	}
	var err error
	s.probes, err = newProbes("probe", c.Probe, self, log)
	return s, err
}

func newProbes(path string, cfgs []Probe, self *awareness, log *slog.Logger) ([]*probing, error) {
	var out []*probing
	for i := range cfgs {
		cfg := &cfgs[i]
		kind, _, _ := cfg.kind()
		name := fmt.Sprintf("%s[%d].%s", path, i, kind)
		p, err := newProber(cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, &probing{
			prober: p, name: name, interval: cfg.Interval, timeout: cfg.Timeout, rise: cfg.Rise, fall: cfg.Fall,
			self: self, log: log, known: make(chan struct{}),
		})
	}
	return out, nil
}

func newProber(cfg *Probe) (prober, error) {
	switch {
	case cfg.HTTP != nil:
		return newHTTPProbe(cfg.HTTP)
	case cfg.TCP != nil:
		return newTCPProbe(cfg.TCP)
	case cfg.GRPC != nil:
		return &grpcProbe{cfg.GRPC}, nil
	}
	return &commandProbe{cfg.Command}, nil
}

// newSources makes the collectors. What they keep open lives no longer than ctx.
func newSources(ctx context.Context, c *Config) ([]source, error) {
	var out []source
	for i := range c.Collect {
		cfg := &c.Collect[i]
		kind, _, _ := cfg.kind()
		name := fmt.Sprintf("collect[%d].%s", i, kind)
		col, err := newCollector(ctx, c, cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		policy := holdPolicy{health: *cfg.Hold, numbers: c.Lease, unknown: cfg.Unknown}
		s := source{name: name, timeout: cfg.Timeout, collector: col, policy: policy}
		if p, ok := col.(promiser); ok {
			s.promised = p.promises()
		}
		out = append(out, s)
	}
	return out, nil
}

func newCollector(ctx context.Context, c *Config, cfg *Collect) (collector, error) {
	switch {
	case cfg.Host != nil:
		return newHost(cfg.Host)
	case cfg.Connections != nil:
		return newConnections(cfg.Connections, uint16(c.Port))
	case cfg.Prometheus != nil:
		return newPrometheus(cfg.Prometheus)
	case cfg.ORCA != nil && cfg.ORCA.GRPC != "":
		return newORCAStream(ctx, cfg.ORCA, c.Interval)
	case cfg.ORCA != nil:
		return newORCA(cfg.ORCA)
	case cfg.HAProxy != nil:
		return newHAProxy(cfg.HAProxy), nil
	}
	return &commandCollector{cfg.Command.Run}, nil
}

// known says whether every probe has had a result. Before, nothing is said of the server: it is not announced on a guess.
func (s *subject) known() bool {
	for _, p := range s.probes {
		select {
		case <-p.known:
		default:
			return false
		}
	}
	return true
}

// verdicts returns what the probes say.
func (s *subject) verdicts() []Sample {
	var out []Sample
	for _, p := range s.probes {
		out = append(out, p.sample())
	}
	return out
}

// report makes the report of the subject's next word at a place. The first one takes the server over from an earlier run,
// so that it stays the first until it has arrived.
func (s *subject) report(p *place, sample *Sample) store.Report {
	if p.seq == 0 || p.begun {
		p.seq++
	}
	r := reportRecord(sample)
	r.Service, r.ID, r.Reporter, r.Seq = p.service, s.id, s.reporter, p.seq
	return r
}
