package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// result is what was measured of a row. A row that could not be measured says why in absent.
type result struct {
	row            *row
	cpu            figure // microseconds of processor time a query, of the server process, user and system
	ratio          figure // of cpu over the base's of the same round
	qps            figure
	lost, failed   int // of all rounds; failed were answered with an error
	queries        int
	octets, rounds int
	absent         string
}

// reportEvery is how often the servers behind farm are reported on while anything is compared.
const reportEvery = time.Second

// warmUp is how long a server is asked before it is measured: until its heap has its size.
const warmUp = time.Second

// inTurn measures rows in turn, again and again: what disturbs the machine for a while disturbs them all. Agents report
// all the time, whoever is measured.
func inTurn(ctx context.Context, l *lab, rows []*row, rounds int, measure func(s *stage, i int) error) error {
	s, err := newStage(ctx, l)
	if err != nil {
		return err
	}
	defer s.db.end(l)
	agents := s.startReporter(ctx, s.db, reportEvery)
	defer agents.end()
	for round := range rounds {
		for i, r := range rows {
			l.note("round %d of %d: %s", round+1, rounds, r.name)
			if err := measure(s, i); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	_, err = agents.end()
	return err
}

// compare measures what an answer costs.
func compare(ctx context.Context, l *lab, rows []*row, rounds int, seconds float64) ([]result, error) {
	took := make([]series, len(rows))
	err := inTurn(ctx, l, rows, rounds, func(s *stage, i int) error {
		if took[i].absent != "" {
			return nil
		}
		err := s.measure(ctx, rows[i], seconds, &took[i])
		if absent, ok := errors.AsType[absentError](err); ok {
			took[i].absent = absent.Error()
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return resultsOf(rows, took), nil
}

// series is what was measured of a row, round by round.
type series struct {
	cpu, qps                      []float64
	lost, failed, queries, octets int
	absent                        string
}

// measure runs one row once.
func (s *stage) measure(ctx context.Context, r *row, seconds float64, took *series) error {
	p, ask, err := s.warm(ctx, r, seconds)
	if err != nil {
		return err
	}
	defer s.stop(p)
	var o outcome
	cpu, err := p.cost(func() (err error) { o, err = dnsperf(ctx, ask); return })
	if err != nil {
		return err
	}
	took.cpu = append(took.cpu, float64(cpu.Microseconds())/float64(o.completed))
	took.qps = append(took.qps, o.qps)
	took.lost, took.failed, took.queries, took.octets = took.lost+o.lost, took.failed+o.failed, took.queries+o.sent, o.octets
	return nil
}

// warm starts the server of a row and asks it for a while. It returns the load to measure it under.
func (s *stage) warm(ctx context.Context, r *row, seconds float64) (*process, load, error) {
	ask, err := s.ask(r)
	if err != nil {
		return nil, load{}, err
	}
	var p *process
	if p, ask.addr, err = s.serve(ctx, r); err != nil {
		return nil, load{}, err
	}
	if _, err := dnsperf(ctx, ask); err != nil {
		s.stop(p)
		return nil, load{}, err
	}
	ask.duration = time.Duration(seconds * float64(time.Second))
	return p, ask, nil
}

// ask returns the load of a row's warm-up, but for the address.
func (s *stage) ask(r *row) (load, error) {
	var labels, option string
	if r.carry != nil {
		var err error
		if labels, option, err = r.carry(); err != nil {
			return load{}, err
		}
	}
	questions, err := s.questions(s.lab, "questions-"+r.name, labels)
	return load{questions: questions, option: option, duration: warmUp}, err
}

// resultsOf sets every row against the first, round by round.
func resultsOf(rows []*row, took []series) []result {
	all := make([]result, len(rows))
	for i, t := range took {
		all[i] = result{row: rows[i], absent: t.absent}
		if t.absent != "" {
			continue
		}
		ratios := make([]float64, len(t.cpu))
		for round := range ratios {
			ratios[round] = t.cpu[round] / took[0].cpu[round]
		}
		all[i] = result{
			row: rows[i], cpu: figureOf(t.cpu), ratio: figureOf(ratios), qps: figureOf(t.qps),
			lost: t.lost, failed: t.failed, queries: t.queries, octets: t.octets, rounds: len(t.cpu),
		}
	}
	return all
}
