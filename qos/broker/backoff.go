package broker

import "time"

// The first wait before an element is asked again, and the longest. The shortest request lives 60 s: it is tried about
// fifteen times.
const (
	firstWait = 250 * time.Millisecond
	longest   = 8 * time.Second
)

// backoff returns how long to wait before trying again, after so many failures. chance, 0 to 1, spreads those that failed
// together: the wait is between half and all of what doubling makes.
func backoff(failures int, chance float64) time.Duration {
	wait := longest
	if failures < 6 {
		wait = min(longest, firstWait<<max(failures-1, 0))
	}
	return wait/2 + time.Duration(chance*float64(wait/2))
}
