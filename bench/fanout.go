package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coredns-farm/farm/store"
)

// fanout is what it takes of Redis to pass reports on to replicas.
type fanout struct {
	Reports float64 `json:"reports_per_second"`
	Write   float64 `json:"redis_us_per_report"`             // to take a report, with nobody following
	Pass    float64 `json:"redis_us_per_report_and_replica"` // to pass it on
	Octets  float64 `json:"octets_per_report_and_replica"`   // that Redis sends
}

// fanoutFarm is followed by so many replicas: by none of them, and by all.
var fanoutFarm = farm{services: 100, servers: 1000}

const fanoutReplicas = 16

// fanoutIntervals are how often each server is reported on: so seldom that reports come one by one, and so often that
// replicas read several at once.
var fanoutIntervals = []time.Duration{2 * time.Second, 200 * time.Millisecond}

// measureFanout measures what following costs the database. The replicas are in this process: only Redis is looked at.
func measureFanout(ctx context.Context, l *lab, seconds float64) ([]fanout, error) {
	l.note("scale: %d replicas", fanoutReplicas)
	db, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer db.end(l)
	if err := fanoutFarm.register(ctx, db); err != nil {
		return nil, err
	}
	if err := fanoutFarm.reportAll(ctx, db); err != nil {
		return nil, err
	}
	var alone, followed []passing
	d := time.Duration(seconds * float64(time.Second))
	for _, interval := range fanoutIntervals {
		p, err := pass(ctx, db, interval, d)
		if err != nil {
			return nil, err
		}
		alone = append(alone, p)
	}
	end, err := follow(ctx, l, db)
	defer end()
	if err != nil {
		return nil, err
	}
	for _, interval := range fanoutIntervals {
		p, err := pass(ctx, db, interval, d)
		if err != nil {
			return nil, err
		}
		followed = append(followed, p)
	}
	all := make([]fanout, len(alone))
	for i, a := range alone {
		f := followed[i]
		all[i] = fanout{f.rate, a.cpu, (f.cpu - a.cpu) / fanoutReplicas, (f.octets - a.octets) / fanoutReplicas}
	}
	return all, nil
}

// follow starts replicas and waits until they follow.
func follow(ctx context.Context, l *lab, db *database) (end func(), err error) {
	var stores []*store.Store
	end = func() {
		for _, s := range stores {
			s.Close()
		}
	}
	for i := range fanoutReplicas {
		// Stores of the same configuration would be one.
		s, err := store.Open(store.Config{URLs: []string{db.url}, StateFile: l.stateFile(i)})
		if err != nil {
			return end, err
		}
		stores = append(stores, s)
	}
	for i, s := range stores {
		if err := await(ctx, db.process, fmt.Sprintf("replica %d to follow", i), s.Ready); err != nil {
			return end, err
		}
	}
	return end, nil
}

// passing is what Redis did for a report.
type passing struct{ rate, cpu, octets float64 }

func pass(ctx context.Context, db *database, interval, d time.Duration) (passing, error) {
	before, err := db.info(ctx)
	if err != nil {
		return passing{}, err
	}
	began := time.Now()
	agents := fanoutFarm.startReporter(ctx, db, interval)
	if err := sleep(ctx, d); err != nil {
		agents.end()
		return passing{}, err
	}
	written, err := agents.end()
	if err != nil {
		return passing{}, err
	}
	took := time.Since(began).Seconds()
	after, err := db.info(ctx)
	n := float64(written)
	return passing{n / took, (after.cpu() - before.cpu()) / n, (after.number("total_net_output_bytes") - before.number("total_net_output_bytes")) / n}, err
}

// cpu returns the microseconds of processor time that Redis has taken.
func (i info) cpu() float64 { return (i.number("used_cpu_user") + i.number("used_cpu_sys")) * 1e6 }
