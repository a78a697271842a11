package qos

import (
	"math/bits"
	"sync/atomic"
)

// Limiter bounds how often each of many clients may do something, in memory of a fixed size and without locks. Each
// client has a bucket of tokens; it is kept in one place in each of four rows, and others may share a place. What a client
// has taken is at most what stands in any of its places, so nobody gets more than the rate, and a client is refused for
// others' sake only if all four of its places are taken by clients at their limits: with n of those at a time, with a
// chance of at most (n / columns)^4. The places depend on a secret seed, so that nobody can choose to share one.
type Limiter struct {
	rows  [limitRows][]atomic.Int64 // µs; when the place's bucket is full again
	shift uint                      // of a hash, to get a column
	seed  uint64
	each  int64 // µs for one token
	burst int64 // µs for a full bucket
}

const (
	limitRows  = 4
	limitTries = 16 // more clients than this at once at one place are refused rather than held up
)

// NewLimiter returns a Limiter of perSecond tokens a second for each client, and at most burst at once. columns is
// rounded up to a power of two, to at most 2^16; the memory is 32 octets a column. seed is a random number.
func NewLimiter(columns int, perSecond float64, burst int, seed uint64) *Limiter {
	log := min(16, bits.Len(uint(max(columns, 2)-1)))
	l := &Limiter{shift: uint(16 - log), seed: seed, each: max(1, int64(1e6/perSecond))}
	l.burst = int64(max(burst, 1)) * l.each
	for i := range l.rows {
		l.rows[i] = make([]atomic.Int64, 1<<log)
	}
	return l
}

// Allow takes a token of the client key, and reports whether there was one. now is in ms, on a clock that does not go
// back. It blocks nobody and allocates nothing; any goroutine may call it.
func (l *Limiter) Allow(key uint64, now int64) bool {
	var places [limitRows]*atomic.Int64
	h := mix(key ^ l.seed)
	for i := range places {
		places[i] = &l.rows[i][uint16(h>>(16*i))>>l.shift]
	}
	for range limitTries {
		least, was := emptiest(&places)
		next := max(was, now*1000) + l.each
		if next-now*1000 > l.burst {
			return false
		}
		for i, p := range places {
			if i != least {
				raise(p, next)
			}
		}
		if places[least].CompareAndSwap(was, next) { // last, so that who counts next finds every place raised
			return true
		}
	}
	return false
}

// emptiest returns the place that least was taken from, and what stands in it.
func emptiest(places *[limitRows]*atomic.Int64) (least int, low int64) {
	low = places[0].Load()
	for i := 1; i < limitRows; i++ {
		if at := places[i].Load(); at < low {
			least, low = i, at
		}
	}
	return least, low
}

// raise lifts a place to at least to.
func raise(p *atomic.Int64, to int64) {
	for was := p.Load(); was < to; was = p.Load() {
		if p.CompareAndSwap(was, to) {
			return
		}
	}
}

// mix spreads every bit of x over all bits (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
