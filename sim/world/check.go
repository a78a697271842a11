package world

import (
	"errors"
	"fmt"
	"slices"

	"github.com/coredns-farm/farm/steer"
)

// Bounds of a scenario: beyond, a run would not end in reasonable time or memory.
const (
	maxServers   = 10_000
	maxResolvers = 1_000_000
	maxReplicas  = 64
	maxDuration  = 100_000
	maxCores     = 1024
	maxTable     = 24
	maxFactor    = 1000 // of the load
	maxEntries   = 1000 // of a list
)

func (s *Scenario) check() error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{s.Duration > 0 && s.Duration <= maxDuration, "duration: expected more than 0 s, up to 100,000"},
		{s.From >= 0 && s.From < s.Duration, "from: expected a time before the end"},
		{s.UnitCores >= 1 && s.UnitCores <= maxCores, "unit_cores: expected 1 to 1024"},
		{s.ServiceMS >= 0.1 && s.ServiceMS <= 60_000, "service_ms: expected 0.1 to 60,000"},
		{s.DeclaredError >= 0 && s.DeclaredError <= 3, "declared_error: expected 0 to 3"},
		{s.Heartbeat >= 0.1 && s.Heartbeat <= 600, "heartbeat: expected 0.1 to 600 s"},
		{s.Reports.Delay >= 0 && s.Reports.Delay <= 600, "report_delay: expected 0 to 600 s"},
		{s.Reports.Noise >= 0 && s.Reports.Noise <= 3, "report_noise: expected 0 to 3"},
		{s.Smoothing > 0 && s.Smoothing <= 1, "smoothing: expected more than 0, up to 1"},
		{s.ColdSpeed > 0 && s.ColdSpeed <= 1, "cold_speed: expected more than 0, up to 1"},
		{s.WarmUp >= 0 && s.WarmUp <= maxDuration, "warm_up: expected 0 to 100,000 s"},
		{s.Utilization > 0 && s.Utilization <= 10, "utilization: expected more than 0, up to 10"},
		{s.Resolvers >= 1 && s.Resolvers <= maxResolvers, "resolvers: expected 1 to 1,000,000"},
		{s.Zipf >= 0 && s.Zipf <= 5, "zipf: expected 0 to 5"},
		{s.Churn >= 0 && s.Churn <= 1000, "churn: expected 0 to 1000 resolvers a second"},
		{s.Replicas >= 1 && s.Replicas <= maxReplicas, "replicas: expected 1 to 64"},
		{s.TTL >= 1 && s.TTL <= 86_400, "ttl: expected 1 to 86,400 s"},
		{s.StaleFor >= 0 && s.StaleFor <= maxDuration, "stale_for: expected 0 to 100,000 s"},
		{s.Pages >= 1 && s.Pages <= 100_000, "pages: expected 1 to 100,000"},
		{s.Requests >= 1 && s.Requests <= 1000, "requests: expected 1 to 1000"},
		{max(len(s.Servers), len(s.Events), len(s.Load), len(s.Elsewhere), len(s.Reports.Unreported), len(s.Reports.HandWritten)) <= maxEntries,
			"expected at most 1000 entries in each list"},
		{s.Table == 0 || s.Table >= 3 && s.Table <= maxTable, "table: expected 3 to 24 bits, or 0"},
		{s.ThinkTail == 0 || s.ThinkTail >= 1.05 && s.ThinkTail <= 10, "think_tail: expected 1.05 to 10, or 0"},
		{s.KeepAlive >= 0 && s.KeepAlive <= maxDuration, "keep_alive: expected 0 to 100,000 s"},
		{s.Think > 0 && s.Think <= maxDuration || s.Pages == 1, "think: expected more than 0 s between pages, up to 100,000"},
	} {
		if !c.ok {
			return errors.New(c.what)
		}
	}
	return errors.Join(s.checkParts(), s.checkServers(), s.checkReporting(), s.checkElsewhere(), s.checkLoad(), s.checkEvents())
}

func (s *Scenario) checkParts() error {
	m := &s.TTLMix
	if !(m.Honour+m.Least30+m.Least60+m.Fixed300 > 0) {
		return errors.New("ttl_mix: expected some part above 0")
	}
	for name, part := range map[string]float64{"giant": s.Giant, "affinity": s.Affinity, "whole_seconds": s.WholeSecond,
		"fixed_order": s.FixedOrder, "report_loss": s.Reports.Loss,
		"first_taken": s.FirstTaken, "stale_use": s.StaleUse, "ttl_mix.honour": m.Honour, "ttl_mix.least_30": m.Least30,
		"ttl_mix.least_60": m.Least60, "ttl_mix.fixed_300": m.Fixed300} {
		if !(part >= 0 && part <= 1) {
			return fmt.Errorf("%s: expected 0 to 1", name)
		}
	}
	return nil
}

func (s *Scenario) checkServers() error {
	n := 0
	for _, g := range s.Servers {
		if g.Count < 1 || g.Count > maxServers || g.Size < 1 || g.Size*s.UnitCores > maxCores {
			return errors.New("servers: expected count 1 to 10,000 and size of at most 1024 cores")
		}
		n += g.Count
	}
	if n == 0 || n > maxServers {
		return errors.New("servers: expected 1 to 10,000")
	}
	return nil
}

// checkReporting looks at the servers without an agent.
func (s *Scenario) checkReporting() error {
	for i, g := range s.Reports.Unreported {
		if g.Count < 1 || len(s.selectServers(g.Size, 0, g.Count)) < g.Count {
			return fmt.Errorf("unreported %d: expected a count of servers that there are", i+1)
		}
	}
	for i, h := range s.Reports.HandWritten {
		switch {
		case h.Count < 1 || len(s.selectServers(h.Size, 0, h.Count)) < h.Count:
			return fmt.Errorf("hand_written %d: expected a count of servers that there are", i+1)
		case !(h.Utilization >= 0 && h.Utilization <= 10):
			return fmt.Errorf("hand_written %d: utilization: expected 0 to 10", i+1)
		case !(h.RPS >= 0 && h.RPS <= steer.MaxRate):
			return fmt.Errorf("hand_written %d: rps: expected 0 to %g", i+1, steer.MaxRate)
		}
	}
	return nil
}

func (s *Scenario) checkElsewhere() error {
	for i, e := range s.Elsewhere {
		switch {
		case e.Count < 1 || len(s.selectServers(e.Size, 0, e.Count)) < e.Count:
			return fmt.Errorf("elsewhere %d: expected a count of servers that there are", i+1)
		case !(e.Part > 0 && e.Part <= 1):
			return fmt.Errorf("elsewhere %d: part: expected more than 0, up to 1", i+1)
		case !(e.At >= 0) || !(e.Until > e.At || e.Until == 0):
			return fmt.Errorf("elsewhere %d: expected 0 <= at < until", i+1)
		}
	}
	return nil
}

func (s *Scenario) checkLoad() error {
	peak := 0.0
	for i, p := range s.Load {
		switch {
		case !(p.At >= 0 && p.At <= maxDuration) || i > 0 && !(p.At > s.Load[i-1].At):
			return fmt.Errorf("load %d: at: expected times that grow, from 0 to 100,000 s", i+1)
		case !(p.Factor >= 0 && p.Factor <= maxFactor):
			return fmt.Errorf("load %d: factor: expected 0 to %d", i+1, maxFactor)
		}
		peak = max(peak, p.Factor)
	}
	if len(s.Load) > 0 && peak == 0 {
		return errors.New("load: expected a factor above 0")
	}
	return nil
}

func (s *Scenario) checkEvents() error {
	for i := range s.Events {
		e := &s.Events[i]
		switch {
		case !slices.Contains([]EventKind{Slow, Crash, Drain, Flash, Restart}, e.Kind):
			return fmt.Errorf("event %d: unknown kind %q: expected slow, crash, drain, flash or restart", i+1, e.Kind)
		case !(e.At >= 0) || !(e.Until >= e.At || e.Until == 0):
			return fmt.Errorf("event %d: expected 0 <= at <= until", i+1)
		case e.Kind == Flash && e.Factor < 1:
			return fmt.Errorf("event %d: flash needs a factor of 1 or more", i+1)
		case (e.Kind == Slow || e.Kind == Flash) && !(e.Factor > 0 && e.Factor <= 1000):
			return fmt.Errorf("event %d: %s needs a factor above 0, up to 1000", i+1, e.Kind)
		case e.Kind == Restart && (e.Skip < 0 || e.Skip >= s.Replicas):
			return fmt.Errorf("event %d: there is no replica %d", i+1, e.Skip)
		case e.Kind == Flash && (e.Count < 1 || e.Count > s.Resolvers):
			return fmt.Errorf("event %d: flash needs a count of resolvers", i+1)
		case e.Kind != Restart && e.Kind != Flash && len(s.affected(e)) == 0:
			return fmt.Errorf("event %d: there is no such server", i+1)
		}
	}
	return nil
}
