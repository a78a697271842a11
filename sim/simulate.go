package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/coredns-farm/farm/sim/world"
)

// batch is what to simulate: each scenario under each policy, once a seed.
type batch struct {
	scenarios []world.Scenario
	policies  []string
	seeds     int // how many
	first     int // the first of them
}

// row is what came of one scenario under one policy, over all seeds. Parts are of 1, times in milliseconds.
type row struct {
	scenario *world.Scenario
	policy   string
	seeds    int

	p99  figure // of max/mean utilisation; the value is the median over seeds
	mean figure // the value is the mean over seeds, as are all below

	over90, over100 float64
	requestP99      float64
	refused, failed float64
	dnsQPS          float64

	series []world.Sample // of the first seed
}

// figure is a number with its spread over seeds.
type figure struct{ value, least, most float64 }

// job is one run; index is that of its row.
type job struct {
	index int
	seed  int
}

type outcome struct {
	job
	result world.Result
	err    error
}

// simulate runs a batch on all cores. The rows come in the order of the batch, whatever ends first. It returns at once
// when ctx is done: runs that are under way are left to end by themselves.
func simulate(ctx context.Context, b batch, stderr io.Writer) ([]row, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	total := len(b.scenarios) * len(b.policies) * b.seeds
	bar := newBar(stderr, total)
	defer bar.finish()
	jobs, outcomes := make(chan job), make(chan outcome, total)
	go b.hand(ctx, jobs)
	for range runtime.GOMAXPROCS(0) {
		go b.work(jobs, outcomes, bar)
	}
	results := make([][]world.Result, len(b.scenarios)*len(b.policies))
	for i := range results {
		results[i] = make([]world.Result, b.seeds)
	}
	for range total {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case o := <-outcomes:
			if o.err != nil {
				return nil, fmt.Errorf("cannot simulate scenario %s: %w", b.scenarios[o.index/len(b.policies)].Name, o.err)
			}
			results[o.index][o.seed-1] = o.result
		}
	}
	return b.rows(results), nil
}

// hand gives the jobs out, in order.
func (b *batch) hand(ctx context.Context, jobs chan<- job) {
	defer close(jobs)
	for i := range len(b.scenarios) * len(b.policies) {
		for seed := 1; seed <= b.seeds; seed++ {
			select {
			case jobs <- job{i, seed}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// work takes jobs until there are none. outcomes has room for all of them.
func (b *batch) work(jobs <-chan job, outcomes chan<- outcome, bar *bar) {
	for j := range jobs {
		s, policy := b.scenarios[j.index/len(b.policies)], b.policies[j.index%len(b.policies)]
		result, err := world.Run(&s, policy, uint64(b.first-1+j.seed), bar.of())
		if j.seed != 1 {
			result.Series = nil // nobody draws it, and all of them would fill the memory
		}
		outcomes <- outcome{j, result, err}
	}
}

func (b *batch) rows(results [][]world.Result) []row {
	rows := make([]row, len(results))
	for i, some := range results {
		rows[i] = summarise(some)
		rows[i].scenario, rows[i].policy = &b.scenarios[i/len(b.policies)], b.policies[i%len(b.policies)]
	}
	return rows
}

// summarise makes a row of the results of all seeds.
func summarise(results []world.Result) row {
	each := func(get func(*world.Result) float64) []float64 {
		x := make([]float64, len(results))
		for i := range results {
			x[i] = get(&results[i])
		}
		return x
	}
	p99 := each(func(r *world.Result) float64 { return r.P99Ratio })
	ratio := each(func(r *world.Result) float64 { return r.MeanRatio })
	return row{
		seeds:      len(results),
		p99:        figure{median(p99), slices.Min(p99), slices.Max(p99)},
		mean:       figure{mean(ratio), slices.Min(ratio), slices.Max(ratio)},
		over90:     mean(each(func(r *world.Result) float64 { return r.Over90 })),
		over100:    mean(each(func(r *world.Result) float64 { return r.Over100 })),
		requestP99: mean(each(func(r *world.Result) float64 { return r.RequestP99 })),
		refused:    mean(each(func(r *world.Result) float64 { return r.Refused })),
		failed:     mean(each(func(r *world.Result) float64 { return r.Failed })),
		dnsQPS:     mean(each(func(r *world.Result) float64 { return r.DNSQPS })),
		series:     results[0].Series,
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// median of an even number is the mean of the two in the middle.
func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}
