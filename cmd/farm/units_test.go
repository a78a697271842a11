package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestQuantity(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 0.04: "0", 0.25: "0.3", 1.5: "1.5", 9.94: "9.9", 9.97: "10", 42.4: "42", 999: "999", 999.7: "1k",
		1200: "1.2k", 12_300: "12k", 1e6: "1M", 2.5e9: "2.5G", 1e12: "1T", 5e15: "5000T",
	} {
		if got := quantity(in); got != want {
			t.Errorf("quantity(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestPercent(t *testing.T) {
	for in, want := range map[float64]string{0: "0%", 0.004: "0%", 0.42: "42%", 1: "100%", 1.755: "176%"} {
		if got := percent(in); got != want {
			t.Errorf("percent(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[float64]string{0: "0%", 0.3333: "33.3%", 1: "100%", 0.0004: "0%"} {
		if got := share(in); got != want {
			t.Errorf("share(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0:                       "0s",
		1500 * time.Microsecond: "2ms",
		4230 * time.Millisecond: "4.2s",
		34 * time.Second:        "34s",
		90 * time.Second:        "1m30s",
		2 * time.Minute:         "2m",
		2*time.Hour + 5*time.Minute + 7*time.Second: "2h5m",
		50 * time.Hour:   "2d2h",
		-3 * time.Second: "-3s",
	} {
		if got := span(in); got != want {
			t.Errorf("span(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestNoMinusZero(t *testing.T) {
	for _, show := range []func(float64) string{percent, share, quantity, exact, exactPercent, spanOf} {
		for _, x := range []float64{-0.0001, -1e-9, math.Copysign(0, -1), 0} {
			if got := strings.TrimRight(show(x), "%s"); got == "-0" {
				t.Errorf("%v: got %s", x, got)
			}
		}
	}
}
