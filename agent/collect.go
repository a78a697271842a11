package agent

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// collector is one source of samples.
type collector interface {
	// collect returns what the source says at now. It may block until ctx ends. One collector is asked by one goroutine
	// at a time. Collectors of rates compare with what they saw the time before, so their first sample may say little.
	collect(ctx context.Context, now time.Time) (Sample, error)
}

// source is a collector with its name, how long it may take, and what its silence means.
type source struct {
	name    string
	timeout time.Duration
	collector
	policy   holdPolicy
	promised []string
	held     heldSample
}

// outcome is what asking one source gave.
type outcome struct {
	name   string
	sample Sample
	err    error
}

// collectAll asks every source at once and returns the outcomes in their order. It takes no longer than the longest
// timeout: a source that does not heed its context would be a bug, not a fact of life.
func collectAll(ctx context.Context, sources []source, now time.Time) []outcome {
	out := make([]outcome, len(sources))
	var wg sync.WaitGroup
	for i := range sources {
		wg.Go(func() { out[i] = sources[i].ask(ctx, now) })
	}
	wg.Wait()
	return out
}

// ask returns a sample that is fit to be reported, or an error; never both. The sample's reason names what is absent.
func (s *source) ask(ctx context.Context, now time.Time) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	sample, err := s.collect(ctx, now)
	if err != nil {
		return outcome{name: s.name, err: fmt.Errorf("%s: %w", s.name, err)}
	}
	sample.dropUnusable()
	sample.explainAbsent(s.name)
	return outcome{name: s.name, sample: sample}
}

// complete returns the sample to report of an outcome: what the source said, and of what it did not what stands from before.
func (s *source) complete(o *outcome, now time.Time) Sample {
	sample := o.sample
	if o.err != nil {
		sample = Sample{Reason: o.err.Error()}
	}
	s.held.hold(&sample, o.err != nil, s.promised, s.policy, now)
	return sample
}
