package main

import (
	"context"
	"io"
	"runtime"
	"sync"

	"github.com/coredns-farm/farm/sim/world"
)

// compareFarms compares the policies in each farm, on all cores. It returns at once when ctx is done.
func compareFarms(ctx context.Context, farms []world.Scenario, first uint64, stderr io.Writer) ([]world.Comparison, error) {
	bar := newBar(stderr, len(farms))
	defer bar.finish()
	all, errs := make([]world.Comparison, len(farms)), make([]error, len(farms))
	next := make(chan int, len(farms))
	for i := range farms {
		next <- i
	}
	close(next)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					return
				}
				progress := bar.of()
				all[i], errs[i] = world.Compare(&farms[i], first)
				if progress != nil {
					progress(1)
				}
			}
		})
	}
	return all, await(ctx, &group, errs)
}

// await waits until all of a group is done, or ctx is, and returns the first error.
func await(ctx context.Context, group *sync.WaitGroup, errs []error) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
