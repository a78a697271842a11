package main

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/coredns-farm/farm/sim/world"
)

func TestSummarise(t *testing.T) {
	r := summarise([]world.Result{
		{P99Ratio: 1.5, MeanRatio: 1.1, Over90: .1, RequestP99: 100},
		{P99Ratio: 1.2, MeanRatio: 1.2, Over90: .3, RequestP99: 300},
		{P99Ratio: 1.3, MeanRatio: 1.3, Over90: .2, RequestP99: 200},
	})
	if want := (figure{1.3, 1.2, 1.5}); r.p99 != want {
		t.Errorf("Expected the median, the least and the most %v, got %v", want, r.p99)
	}
	within(t, "mean", r.mean.value, 1.2, 1e-9)
	within(t, "over90", r.over90, .2, 1e-9)
	within(t, "request p99", r.requestP99, 200, 1e-9)
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		x    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(tc.x); got != tc.want {
			t.Errorf("Expected %g of %v, got %g", tc.want, tc.x, got)
		}
	}
}

func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s, err := example("farm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := simulate(ctx, batch{[]world.Scenario{s}, []string{"uniform"}, 1, 1}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Expected it to stop, got %v", err)
	}
}
