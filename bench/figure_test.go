package main

import (
	"math"
	"testing"
	"time"
)

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   figure
		text   string
	}{
		{[]float64{3}, figure{3, 3, 3}, "3.0"},
		{[]float64{9, 1, 2}, figure{2, 1, 9}, "2.0 (1.0-9.0)"},
		{[]float64{4, 1, 2, 3}, figure{2.5, 1, 4}, "2.5 (1.0-4.0)"},
	} {
		got := figureOf(c.values)
		if got != c.want || got.text(1) != c.text {
			t.Errorf("%v: expected %v as %q, got %v as %q", c.values, c.want, c.text, got, got.text(1))
		}
	}
}

func TestQuantile(t *testing.T) {
	sorted := make([]float64, 200)
	for i := range sorted {
		sorted[i] = float64(i + 1)
	}
	for q, want := range map[float64]float64{0: 1, .5: 100, .99: 198, 1: 200} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("Expected quantile %v to be %v, got %v", q, want, got)
		}
	}
	if got := quantile([]float64{7}, .99); got != 7 {
		t.Errorf("Expected the only value, got %v", got)
	}
}

func TestThousands(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(x); got != want {
			t.Errorf("Expected %s, got %s", want, got)
		}
	}
}

// TestExtrapolate: reports, servers and replicas each have their part in what is taken.
func TestExtrapolate(t *testing.T) {
	m := unitCosts{write: 50, pass: 2, octets: 400, apply: 20, heap: 1000, stored: 500, start: 1e-5}
	got := m.extrapolate(deployment{servers: 100_000, replicas: 10, interval: 10 * time.Second})
	want := demand{
		Reports: 10_000, WriteCores: .5, PassCores: .2, ApplyCores: .2, Masters: 1, Followers: 1,
		In: 4e6, Out: 4e7, Heap: 1e8, Stored: 5e7, Start: 1,
	}
	got.Start = math.Round(got.Start*1e6) / 1e6
	if got != want {
		t.Errorf("Expected %+v, got %+v", want, got)
	}
	part := m.extrapolate(deployment{servers: 50_000, replicas: 5, interval: 10 * time.Second})
	if part.PassCores*4 != want.PassCores {
		t.Errorf("Expected half the servers and half the replicas to take a quarter of passing on, got %v of %v", part.PassCores, want.PassCores)
	}
}
