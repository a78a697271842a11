package steer

import "math"

// Measured is a server's capacity as its own reports show it: requests a second over utilisation, smoothed.
type Measured struct {
	Capacity float64 // requests a second at full utilisation; 0 until known
	At       int64   // ms; the last report it was updated with
	Since    int64   // ms; the first report after joining
}

// What a report must show for its capacity to be believed, and how fast belief moves.
const (
	measureBlackout = 10_000 // ms after joining: a cold server measures its warming up
	measureMinUtil  = 0.05   // below, the quotient is noise
	measureMemory   = 10_000 // ms; the time constant of the smoothing
)

// Observe returns m after one more report, seen at now (ms). A report after a pause longer than pause (ms) is one of a
// server that joins anew. Formula: Chat += (1-exp(-dt/10 s))(rps/util - Chat), once 10 s have passed since joining.
func (m Measured) Observe(r Report, now, pause int64) Measured {
	if m.Since == 0 || now-m.At > pause || now < m.At {
		m.Since = now
	}
	dt := now - m.At
	m.At = now
	if now-m.Since < measureBlackout || r.Utilization <= measureMinUtil || r.RPS <= 0 {
		return m
	}
	sample := r.RPS / r.Utilization
	if m.Capacity == 0 {
		m.Capacity = sample
		return m
	}
	m.Capacity += (1 - math.Exp(-float64(dt)/measureMemory)) * (sample - m.Capacity)
	return m
}

// ServedOn reports whether a server whose agent was silent served all the while: its first report after the silence shows at
// least half of the load of the last one before it. Such a server is not cold.
func ServedOn(before, after Report) bool {
	const part, least = 0.5, 0.05
	return after.Health != Down && before.Health != Down &&
		(before.Utilization >= least && after.Utilization >= part*before.Utilization ||
			before.RPS > 0 && after.RPS >= part*before.RPS)
}
