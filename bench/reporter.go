package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// lease is how long reports stand: longer than any measurement, so that none depends on how late a report comes.
const lease = 3600

// reportOf is what an agent says of a server that is neither idle nor full.
func (f farm) reportOf(i int, rnd *rand.Rand) store.Report {
	u := 0.2 + 0.5*rnd.Float64()
	rate := u * 10 * float64(f.weight(i))
	return store.Report{
		Service: f.service(i), ID: f.id(i), Health: steer.Up, Lease: lease,
		Utilization: new(u), CPU: new(u), Mem: new(0.4), RPS: new(rate), EPS: new(0.1), InFlight: new(rate / 50), Latency: new(0.02),
		Agent: "agent-of-" + f.id(i), Seq: uint64(time.Now().UnixMicro()),
	}
}

// report writes one report of a server, which must be registered.
func (f farm) report(ctx context.Context, db *database, i int, rnd *rand.Rand) error {
	reply, err := db.Report(ctx, f.reportOf(i, rnd))
	if err == nil && reply.Outcome != store.Accepted {
		err = fmt.Errorf("report of %s of %s: expected it to be taken, got %s", f.id(i), f.service(i), reply.Outcome)
	}
	return err
}

// reportAll writes a report of every server.
func (f farm) reportAll(ctx context.Context, db *database) error {
	return f.each(ctx, func(ctx context.Context, i int) error {
		return f.report(ctx, db, i, rand.New(rand.NewPCG(1, uint64(i))))
	})
}

// reporter reports for the servers of a farm, as their agents would. It is ended by stop.
type reporter struct {
	stop    context.CancelCauseFunc
	ctx     context.Context
	writing sync.WaitGroup
	written atomic.Int64
}

// startReporter has every server reported on once in each interval, one after the other; 0 is as often as the database
// takes it.
func (f farm) startReporter(ctx context.Context, db *database, interval time.Duration) *reporter {
	r := new(reporter)
	r.ctx, r.stop = context.WithCancelCause(ctx)
	for w := range min(writers, f.servers) {
		rnd := rand.New(rand.NewPCG(1, uint64(w)))
		r.writing.Go(func() { r.run(f, db, w, interval, rnd) })
	}
	return r
}

func (r *reporter) run(f farm, db *database, first int, interval time.Duration, rnd *rand.Rand) {
	for round := time.Now(); ; round = round.Add(interval) {
		for i := first; i < f.servers; i += writers {
			if sleep(r.ctx, time.Until(round.Add(interval*time.Duration(i)/time.Duration(f.servers)))) != nil {
				return
			}
			if err := f.report(r.ctx, db, i, rnd); err != nil {
				r.stop(err)
				return
			}
			r.written.Add(1)
		}
	}
}

// end ends the reports. It returns how many were written, and what went wrong, if anything did.
func (r *reporter) end() (int, error) {
	r.stop(errEnded)
	r.writing.Wait()
	if err := context.Cause(r.ctx); err != errEnded {
		return int(r.written.Load()), err
	}
	return int(r.written.Load()), nil
}

var errEnded = fmt.Errorf("the reports have ended")
