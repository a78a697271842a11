package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coredns-farm/farm/store"
)

// scale is what a farm of a size takes.
type scale struct {
	Services int `json:"services"`
	Servers  int `json:"servers"`

	Heap     float64 `json:"replica_octets_per_server"` // of the replica's heap, in use, its share of the snapshot included
	Resident float64 `json:"replica_resident_octets"`   // of the whole process
	Start    float64 `json:"start_seconds"`             // from the process's start to the first answer
	Resync   float64 `json:"resync_seconds"`            // of a complete read while the old records are served

	Reports      float64 `json:"reports_per_second"`          // that were written, as fast as this machine does all of it
	ReplicaCost  float64 `json:"replica_us_per_report"`       // processor time
	RedisCost    float64 `json:"redis_us_per_report"`         // processor time, with one replica following
	RedisOctets  float64 `json:"redis_octets_per_server"`     // the change streams left out
	Commands     float64 `json:"redis_commands_per_report"`   // that the script calls
	StreamOctets float64 `json:"redis_octets_of_the_streams"` // in all, once they are full or all reports are written

	QueryCost float64 `json:"cpu_us_per_query"` // while nothing is reported
}

// sizes are the farms that are measured.
var sizes = []farm{{1, 10}, {1, 1000}, {1, 100_000}, {1000, 1000}, {1000, 100_000}, {10_000, 100_000}}

// measureScale measures every size.
func measureScale(ctx context.Context, l *lab, seconds float64) ([]scale, error) {
	empty, err := emptyHeap(ctx, l)
	if err != nil {
		return nil, err
	}
	var all []scale
	for _, f := range sizes {
		l.note("scale: %d services, %d servers", f.services, f.servers)
		s, err := measureSize(ctx, l, f, empty, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return nil, fmt.Errorf("%d services, %d servers: %w", f.services, f.servers, err)
		}
		all = append(all, *s)
	}
	return all, nil
}

// emptyHeap is what CoreDNS takes without a server.
func emptyHeap(ctx context.Context, l *lab) (float64, error) {
	db, err := l.startRedis(ctx)
	if err != nil {
		return 0, err
	}
	defer db.end(l)
	w, err := l.startWatched(ctx, db, farm{})
	if err != nil {
		return 0, err
	}
	defer l.stop(w.process)
	return w.heap(ctx)
}

// measureSize measures one size with a database of its own.
func measureSize(ctx context.Context, l *lab, f farm, empty float64, d time.Duration) (*scale, error) {
	db, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer db.end(l)
	s := &scale{Services: f.services, Servers: f.servers}
	if err := s.fill(ctx, db, f); err != nil {
		return nil, err
	}
	began := time.Now()
	w, err := l.startWatched(ctx, db, f)
	if err != nil {
		return nil, err
	}
	defer l.stop(w.process)
	s.Start = time.Since(began).Seconds()
	for _, measure := range []func() error{
		func() error { return w.holds(ctx, f) },
		func() error { return s.memory(ctx, w, empty) },
		func() error { return s.reading(ctx, db, w, f) },
		func() error { return s.reporting(ctx, db, w, f, d) },
		func() error { return s.asking(ctx, l, w, f, d) },
	} {
		if err := measure(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// fill registers the servers and reports on each once, and looks at what that took of Redis.
func (s *scale) fill(ctx context.Context, db *database, f farm) error {
	// With a first server, so that what Redis takes for scripts and clients does not count.
	first := farm{f.services, 1}
	if err := errors.Join(first.register(ctx, db), first.reportAll(ctx, db)); err != nil {
		return err
	}
	before, err := db.info(ctx)
	if err != nil {
		return err
	}
	if err := f.register(ctx, db); err != nil {
		return err
	}
	registered, err := db.info(ctx)
	if err != nil {
		return err
	}
	if err := f.reportAll(ctx, db); err != nil {
		return err
	}
	after, err := db.info(ctx)
	if err != nil {
		return err
	}
	if s.StreamOctets, err = db.streams(ctx); err != nil {
		return err
	}
	s.RedisOctets = (after.number("used_memory") - before.number("used_memory") - s.StreamOctets) / float64(f.servers)
	s.Commands = commands(registered, after) / float64(f.servers)
	return nil
}

// commands returns how many commands scripts called meanwhile.
func commands(before, after info) float64 {
	had, sum := before.calls(), 0.0
	for command, n := range after.calls() {
		switch command {
		case "evalsha", "eval", "info", "hello", "client|setinfo", "client|maint_notifications", "command":
		default:
			sum += n - had[command]
		}
	}
	return sum
}

// streams returns the octets that the change streams take.
func (db *database) streams(ctx context.Context) (float64, error) {
	var b strings.Builder
	for shard := range store.Shards {
		fmt.Fprintf(&b, "MEMORY USAGE %s:{%02d}:chg SAMPLES 0\n", store.DefaultPrefix, shard)
	}
	out, err := db.do(ctx, b.String())
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(out) {
		if octets := number(strings.Fields(line)); octets > 0 { // a shard without services has no stream
			sum += octets
		}
	}
	return sum, nil
}

// memory looks at what the replica takes.
func (s *scale) memory(ctx context.Context, w *watched, empty float64) error {
	heap, err := w.heap(ctx)
	if err != nil {
		return err
	}
	s.Heap = (heap - empty) / float64(s.Servers)
	used, err := w.used()
	s.Resident = float64(used.resident)
	return err
}

// readPace is how exactly a complete read is timed: looking is work for the replica, too.
const readPace = 50 * time.Millisecond

// reading has the replica read everything anew: a revision is skipped in every shard that has services, which it finds at its next look.
func (s *scale) reading(ctx context.Context, db *database, w *watched, f farm) error {
	before, err := w.scrape(ctx)
	if err != nil {
		return err
	}
	var skip strings.Builder
	shards := f.shards()
	for shard := range shards {
		fmt.Fprintf(&skip, "HINCRBY %s:{%02d}:rev rev 1\n", store.DefaultPrefix, shard)
	}
	if _, err := db.do(ctx, skip.String()); err != nil {
		return err
	}
	began := time.Now() // and again, until it begins
	err = awaitEvery(ctx, readPace, w.process, "every shard to be read anew", func() bool {
		now, err := w.scrape(ctx)
		if err != nil {
			return false
		}
		if now["coredns_farm_gaps_total"] == before["coredns_farm_gaps_total"] {
			began = time.Now()
		}
		return now["coredns_farm_resyncs_total"] >= before["coredns_farm_resyncs_total"]+float64(len(shards)) && now["coredns_farm_store_connected"] == 1
	})
	s.Resync = time.Since(began).Seconds()
	return err
}

// reporting has agents report as fast as they can.
func (s *scale) reporting(ctx context.Context, db *database, w *watched, f farm, d time.Duration) error {
	before, err := w.scrape(ctx)
	if err != nil {
		return err
	}
	var redis time.Duration
	written := 0
	began := time.Now()
	replica, err := w.cost(func() (err error) {
		redis, err = db.cost(func() (err error) {
			agents := f.startReporter(ctx, db, 0)
			err = sleep(ctx, d)
			n, e := agents.end()
			written = n
			if err != nil {
				return err
			}
			return e
		})
		return err
	})
	if err != nil {
		return err
	}
	s.Reports = float64(written) / time.Since(began).Seconds()
	s.RedisCost = float64(redis.Microseconds()) / float64(written)
	after, err := w.scrape(ctx)
	if err != nil {
		return err
	}
	applied := after["coredns_farm_records_applied_total"] - before["coredns_farm_records_applied_total"]
	s.ReplicaCost = float64(replica.Microseconds()) / applied
	return nil
}

// asking measures what a query costs, over all of the services.
func (s *scale) asking(ctx context.Context, l *lab, w *watched, f farm, d time.Duration) error {
	questions, err := f.questions(l, "questions-scale", "")
	if err != nil {
		return err
	}
	ask := load{addr: w.addr, questions: questions, duration: warmUp}
	if _, err := dnsperf(ctx, ask); err != nil {
		return err
	}
	ask.duration = d
	var o outcome
	cpu, err := w.cost(func() (err error) { o, err = dnsperf(ctx, ask); return })
	if err != nil {
		return err
	}
	if o.failed > 0 {
		return fmt.Errorf("expected every lookup to be answered, %d of %d were not", o.failed, o.completed)
	}
	s.QueryCost = float64(cpu.Microseconds()) / float64(o.completed)
	return nil
}
