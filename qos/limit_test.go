package qos_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// TestLimiterIsABucket: alone, a client gets what a bucket of tokens gives.
func TestLimiterIsABucket(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		burst int
	}{{1, 1}, {10, 5}, {0.5, 3}, {1000, 100}} {
		rnd := rand.New(rand.NewPCG(4, uint64(c.burst)))
		l := qos.NewLimiter(1024, c.rate, c.burst, 1)
		now, tokens, at := int64(noon), float64(c.burst), int64(noon)
		for range 5000 {
			now += rnd.Int64N(int64(3000/c.rate) + 1)
			tokens = min(float64(c.burst), tokens+float64(now-at)*c.rate/1000)
			at = now
			want := tokens >= 1-1e-6
			if got := l.Allow(42, now); got != want {
				t.Fatalf("%v a second, burst %d: got %v with %v tokens", c.rate, c.burst, got, tokens)
			}
			if want {
				tokens--
			}
		}
	}
}

// TestLimiterKeepsClientsApart: a flood of clients at their limits costs the others nothing.
func TestLimiterKeepsClientsApart(t *testing.T) {
	l := qos.NewLimiter(1<<14, 1, 5, 12345)
	for stranger := range uint64(1000) {
		for range 20 {
			l.Allow(stranger, noon)
		}
	}
	for known := range uint64(500) { // for each, the chance to be refused is below (1500 / 16384)^4, one in 14,000
		for i := range 5 {
			if !l.Allow(1<<32+known, noon) {
				t.Errorf("client %d was refused its token %d for others' sake", known, i)
			}
		}
		if l.Allow(1<<32+known, noon) {
			t.Errorf("client %d got more than its burst", known)
		}
	}
}

// TestLimiterAtOnce: however many ask for one client at once, it gets its burst.
func TestLimiterAtOnce(t *testing.T) {
	const burst = 500
	l := qos.NewLimiter(2, 1, burst, 1)
	var got atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 4 * burst {
				if l.Allow(42, noon) {
					got.Add(1)
				}
			}
		})
	}
	all.Wait()
	if got.Load() != burst {
		t.Errorf("got %d, want %d", got.Load(), burst)
	}
}

func TestLimiterOfOddSizes(t *testing.T) {
	for _, columns := range []int{-1, 0, 1, 3, 1 << 16, 1<<16 + 1} {
		l := qos.NewLimiter(columns, 10, 0, 1)
		if !l.Allow(1, noon) || l.Allow(1, noon) {
			t.Errorf("%d columns: want a burst of 1", columns)
		}
	}
}
