package agent

import (
	"time"
)

// Bounds of a call to the database. Below, a loaded network would look like a lost database; above, a lease could run
// out while one call waits.
const (
	minCall = time.Second
	maxCall = 5 * time.Second
)

func callTimeout(interval time.Duration) time.Duration { return min(max(interval, minCall), maxCall) }

// maxBackoff bounds the pauses between attempts to reach the database, for agents with long intervals: the farm should
// not have to wait for them when it is back.
const maxBackoff = 5 * time.Second

// pause returns how long after the start of a round the next one starts, after so many failed rounds in a row. Chance is
// 0 to 1. Failed rounds are repeated sooner than the next is due, since leases are running out, and then further and
// further apart. Chance spreads agents: all of them lose the same database at the same moment.
func pause(interval time.Duration, failures int, chance float64) time.Duration {
	if failures == 0 {
		return jitter(interval, chance)
	}
	limit := min(interval, maxBackoff)
	wait := limit
	if failures <= 3 {
		wait = limit >> (4 - failures)
	}
	return time.Duration(float64(wait) * (0.5 + 0.5*chance))
}

// late says whether a round that was due began so late that the agent must have starved.
func late(due, started time.Time, interval time.Duration) bool {
	return started.Sub(due) > interval/2
}
