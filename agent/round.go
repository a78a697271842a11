package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// round collects once and reports on every subject. It returns when the next round is due, or an error that no further
// round would mend.
func (a *agent) round(ctx context.Context, due time.Time) (next time.Time, err error) {
	started := time.Now()
	if late(due, started, a.cfg.Interval) {
		a.self.missed()
	} else {
		a.self.kept()
	}
	samples := a.collect(ctx, started)
	err = a.reportAll(ctx, samples)
	if fatal(err) {
		return next, err
	}
	a.note(err)
	next = started.Add(pause(a.cfg.Interval, a.failures, rand.Float64()))
	// A round that took longer is the database's doing; only what is late after it is the agent's own.
	if now := time.Now(); next.Before(now) {
		next = now
	}
	return next, nil
}

// fatal says whether an error is one that time does not mend.
func fatal(err error) bool { return errors.Is(err, ErrClaimed) || store.IsInvalid(err) }

// note keeps count of failed rounds, and logs when the database is lost and when it is back.
func (a *agent) note(err error) {
	switch {
	case err != nil && a.failures == 0:
		a.log.Warn("cannot report; the last report stands until its lease runs out", "error", err, "lease", a.cfg.Lease)
	case err == nil && a.failures > 0:
		a.log.Info("reports again", "failed_rounds", a.failures)
	}
	a.failures++
	if err == nil {
		a.failures = 0
	}
}

// collect asks the sources, and says of those that failed what failed. It also says how the agent itself fares.
func (a *agent) collect(ctx context.Context, now time.Time) []Sample {
	var samples []Sample
	for i, o := range collectAll(ctx, a.sources, now) {
		a.noteSource(o)
		a.noteAbsent(o)
		sample := a.sources[i].complete(&o, now)
		a.noteHealth(&a.sources[i], &sample)
		samples = append(samples, sample)
	}
	if n := a.self.level(); n > 0 {
		samples = append(samples, Sample{Reason: fmt.Sprintf("agent starves: %d deadlines missed", n)})
	}
	return samples
}

func (a *agent) noteSource(o outcome) {
	failed := o.err != nil
	if failed == a.failing[o.name] {
		return
	}
	a.failing[o.name] = failed
	if failed {
		a.log.Warn("collector fails; what it said last stands for a while", "error", o.err)
		return
	}
	a.log.Info("collector works again", "collector", o.name)
}

// noteHealth logs once that the last health of a source stands no longer, and once that it is known again.
func (a *agent) noteHealth(s *source, sample *Sample) {
	if sample.unknownHealth == a.unknown[s.name] {
		return
	}
	a.unknown[s.name] = sample.unknownHealth
	if sample.unknownHealth {
		text := "collector has not reported health for longer than its hold"
		if !s.held.known {
			text = "collector has not reported health yet"
		}
		a.log.Warn(text, "collector", s.name, "hold", s.policy.health, "counts_as", sample.Health)
		return
	}
	a.log.Info("collector says health again", "collector", s.name)
}

// noteAbsent logs once what is absent from the sample of a source, and once that it is there again. A source that fails
// is logged as such.
func (a *agent) noteAbsent(o outcome) {
	if o.err != nil {
		return
	}
	prefix := o.name + ": "
	now := make(map[string]bool)
	for _, m := range o.sample.Absent {
		key := prefix + m.what
		now[key] = true
		if !a.absent[key] && !m.early {
			a.absent[key] = true
			a.log.Warn("absent from the report", "collector", o.name, "what", m.what, "error", m.why)
		}
	}
	for key := range a.absent {
		if what, of := strings.CutPrefix(key, prefix); of && !now[key] {
			delete(a.absent, key)
			a.log.Info("in the report again", "collector", o.name, "what", what)
		}
	}
}

// softLimit is the utilisation from which servers get fewer clients, as far as the agent knows.
func (a *agent) softLimit() float64 {
	if a.cfg.Soft == nil {
		return defaultSoft
	}
	return *a.cfg.Soft
}

// reportAll reports on every subject that there is something to say of. The first error of the database ends it: the
// others would only wait for the same.
func (a *agent) reportAll(ctx context.Context, collected []Sample) error {
	for _, s := range a.subjects {
		if !s.known() {
			continue
		}
		sample := merge(append(s.verdicts(), collected...))
		sample.dropUnknown(a.softLimit())
		for _, p := range s.places {
			if err := a.reportAt(ctx, s, p, &sample); err != nil {
				return err
			}
		}
	}
	return nil
}

// reportAt reports on a subject at one place. A server that is not registered, or not any more, is registered first.
func (a *agent) reportAt(ctx context.Context, s *subject, p *place, sample *Sample) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout(a.cfg.Interval))
	defer cancel()
	drain := a.draining || sample.Drain
	if err := a.settle(ctx, s, p, drain); err != nil {
		return err
	}
	reply, err := a.send(ctx, s, p, sample)
	if err != nil || reply.Outcome != store.Unknown || s.reporter != "" {
		return err
	}
	a.log.Warn("the database does not know the server any more; registering it again", "service", p.service)
	p.registered, p.drained = false, false
	if err := a.settle(ctx, s, p, drain); err != nil {
		return err
	}
	_, err = a.send(ctx, s, p, sample)
	return err
}

// settle makes the database know the server, and whether it is drained.
func (a *agent) settle(ctx context.Context, s *subject, p *place, drain bool) error {
	if !p.registered {
		if err := a.register(ctx, s, p, drain); err != nil {
			return err
		}
	}
	if drain == p.drained {
		return nil
	}
	state := steer.Ready
	if drain {
		state = steer.Drain
	}
	kept, err := a.db.SetAdmin(ctx, p.service, s.id, state, store.ByAgent)
	if err != nil {
		return err
	}
	p.drained = drain
	if !a.draining {
		a.log.Info(textOfAdmin(state, kept), "service", p.service, "server", s.id)
	}
	return nil
}

// textOfAdmin is what the log says when a collector or a probe asked for the server to be drained, or no longer asks.
func textOfAdmin(state steer.AdminState, kept bool) string {
	text := "server is drained, as a collector or a probe asks"
	if state == steer.Ready {
		text = "server is no longer drained: no collector or probe asks for it"
	}
	if kept {
		text += "; an operator has set another state, and it stands"
	}
	return text
}

// register registers the server and takes back a drain that an earlier run of an agent left behind. What an operator
// has said of the server, or of its admin state, stands.
func (a *agent) register(ctx context.Context, s *subject, p *place, drain bool) error {
	kept, err := a.db.PutServer(ctx, p.service, p.record, store.ByAgent)
	if err != nil {
		return err
	}
	if !drain {
		held, err := a.db.SetAdmin(ctx, p.service, s.id, "ready", store.ByAgent)
		if err != nil {
			return err
		}
		if held {
			a.log.Warn("an operator has drained the server, and it stays so", "service", p.service, "server", s.id)
		}
	}
	p.registered = true
	text := "server is registered"
	if kept {
		text = "server is registered as an operator wrote it, not as the configuration has it"
	}
	a.log.Info(text, "service", p.service, "server", s.id)
	return nil
}

// send sends one report and deals with the answers that concern the agent. Stale is as good as accepted: the report had
// arrived, and it was the answer that got lost.
func (a *agent) send(ctx context.Context, s *subject, p *place, sample *Sample) (store.ReportReply, error) {
	r := s.report(p, sample)
	r.Agent, r.Lease = a.instance, a.cfg.Lease.Seconds()
	reply, err := a.db.Report(ctx, r)
	if err != nil {
		return reply, err
	}
	p.begun = reply.Outcome != store.Unknown
	if reply.Outcome != store.Claimed {
		p.claims = 0
		return reply, nil
	}
	p.claims++
	a.log.Error("another agent, started later, reports for this server; stop one of the two",
		"service", p.service, "server", s.id, "other", reply.Agent, "try", p.claims, "of", maxClaims)
	if p.claims >= maxClaims {
		return reply, fmt.Errorf("service %s, server %s, agent %s: %w", p.service, s.id, reply.Agent, ErrClaimed)
	}
	return reply, nil
}
