package camara

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		attempt   int
		said      time.Duration
		low, high time.Duration
	}{
		{1, 0, firstBackoff / 2, firstBackoff},
		{2, 0, firstBackoff, 2 * firstBackoff},
		{5, 0, 8 * firstBackoff, 16 * firstBackoff},
		{20, 0, lastBackoff / 2, lastBackoff},
		{1, 3 * time.Second, 3 * time.Second, 3*time.Second + firstBackoff/2},
		{6, time.Minute, time.Minute, time.Minute + lastBackoff/2},
	} {
		if low, high := backoff(c.attempt, c.said, 0), backoff(c.attempt, c.said, 1); low != c.low || high != c.high {
			t.Errorf("attempt %d, said %v: expected %v to %v, got %v to %v", c.attempt, c.said, c.low, c.high, low, high)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for said, want := range map[string]time.Duration{
		"": 0, "0": 0, "3": 3 * time.Second, "86400": maxRetryAfter, "-1": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:25 GMT": 20 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Sat, 02 Jan 2027 03:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {said}}, now); got != want {
			t.Errorf("%q: expected %v, got %v", said, want, got)
		}
	}
}

func TestAhead(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 500_000_000, time.UTC)
	for said, want := range map[string]time.Duration{
		"": 0, "nonsense": 0,
		"Fri, 02 Jan 2026 03:04:05 GMT": 0, "Fri, 02 Jan 2026 03:04:04 GMT": 0, "Fri, 02 Jan 2026 03:04:07 GMT": 0,
		"Fri, 02 Jan 2026 04:04:05 GMT": time.Hour, "Fri, 02 Jan 2026 02:04:05 GMT": -time.Hour,
	} {
		if got := ahead(http.Header{"Date": {said}}, now); got != want {
			t.Errorf("%q: expected %v, got %v", said, want, got)
		}
	}
}

func TestPace(t *testing.T) {
	const poll = 5 * time.Second
	for _, c := range []struct {
		given, notified bool
		left            time.Duration
		want            time.Duration
	}{
		{false, false, time.Hour, poll},
		{false, true, time.Hour, 6 * poll},
		{true, false, time.Hour, 6 * poll},
		{true, true, time.Hour, 36 * poll},
		{true, true, 10 * time.Second, 11 * time.Second}, // its end is looked at
		{true, false, -time.Hour, 6 * poll},              // what does not end is not looked at all the time
		{false, false, -time.Since(time.Time{}), poll},   // no end is known
	} {
		if got := pace(poll, c.given, c.notified, c.left); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// TestPause: a wait that the context has no time for is over at once; one that it ends, is.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := pause(ctx, 2*time.Second); err != errBusy || time.Since(start) != 0 {
			t.Errorf("no time: %v after %v", err, time.Since(start))
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil || time.Since(start) != 500*time.Millisecond {
			t.Errorf("time enough: %v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := pause(ctx, time.Hour); err != context.Canceled {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestSecondsUntil(t *testing.T) {
	for _, c := range []struct {
		later, end int64
		want       int32
	}{
		{1_000_000, 1_000_000, 0}, {1_000_000, 2_000_000, 0}, {1_001_999, 1_000_000, 0}, {1_002_000, 1_000_000, 2},
		{1_002_001, 1_000_000, 3}, {1 << 60, 0, 1<<31 - 1},
	} {
		if got := secondsUntil(c.later, c.end); got != c.want {
			t.Errorf("from %d to %d: expected %d, got %d", c.end, c.later, c.want, got)
		}
	}
}
