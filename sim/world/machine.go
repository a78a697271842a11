package world

import "math"

// machine is a server: cores that take requests first come, first served, and an agent that reports.
type machine struct {
	size     int
	cores    coreHeap // when each is free
	capacity float64  // requests a second at full speed
	speed    float64  // 1, or less while it is slowed
	dead     bool
	drained  bool
	bornAt   float64 // when it came up cold; less than 0 is long ago

	offered  float64 // requests since the last bin
	able     float64 // requests that it could have served since then
	ableAt   float64 // up to when able is counted
	deadSeen bool    // whether it was dead, or drained, since the last bin

	inService int // requests in the machine; counted for the policies that know everything

	work       float64 // core seconds handed out
	accepted   int
	reportedAt float64
	lastWork   float64
	lastTaken  int
	util, rps  float64 // smoothed; util < 0 is none yet
}

// refuseAfter is the longest that a request waits for a core; a server refuses those that would wait longer.
const refuseAfter = 3.0

// coreHeap is a binary heap, the least first.
type coreHeap []float64

// sink moves the root down to its place.
func (h coreHeap) sink() {
	i, n, x := 0, len(h), h[0]
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && h[c+1] < h[c] {
			c++
		}
		if h[c] >= x {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = x
}

// speedAt is the part of its full speed that a machine runs at.
func (m *machine) speedAt(t float64, s *Scenario) float64 {
	if m.bornAt < 0 || t >= m.bornAt+s.WarmUp {
		return m.speed
	}
	return m.speed * (s.ColdSpeed + (1-s.ColdSpeed)*(t-m.bornAt)/s.WarmUp)
}

// ableAtOnce is what a machine can serve at a time, requests a second; 0 if it is not there.
func (m *machine) ableAtOnce(t float64, s *Scenario) float64 {
	if m.dead || m.drained {
		return 0
	}
	return m.capacity * m.speedAt(t, s)
}

// serve takes a request that needs so many core seconds at full speed, and returns how long it takes in all; refused
// if it would wait too long.
func (m *machine) serve(t, seconds float64, s *Scenario) (took float64, refused bool) {
	m.offered += seconds * 1000 / s.ServiceMS
	start := max(t, m.cores[0])
	if start-t > refuseAfter {
		return 0, true
	}
	seconds /= m.speedAt(start, s)
	m.cores[0] = start + seconds
	m.cores.sink()
	m.work += seconds
	m.accepted++
	return start + seconds - t, false
}

// report updates what the machine's agent says, and returns it.
func (m *machine) report(t, smoothing float64) (util, rps float64) {
	dt := t - m.reportedAt
	left := 0.0
	for _, free := range m.cores {
		left += max(0, free-t)
	}
	done := m.work - left
	u, r := (done-m.lastWork)/dt/float64(len(m.cores)), float64(m.accepted-m.lastTaken)/dt
	if m.util < 0 {
		m.util, m.rps = u, r
	} else {
		m.util += smoothing * (u - m.util)
		m.rps += smoothing * (r - m.rps)
	}
	m.reportedAt, m.lastWork, m.lastTaken = t, done, m.accepted
	return m.util, m.rps
}

// crash loses all that is in the machine.
func (m *machine) crash() {
	m.dead, m.deadSeen = true, true
}

// boot starts the machine anew, cold.
func (m *machine) boot(t float64) {
	m.dead, m.bornAt = false, t
	for i := range m.cores {
		m.cores[i] = t
	}
	m.util, m.reportedAt, m.lastWork, m.lastTaken = -1, t, m.work, m.accepted
}

// count adds up, until t, what the machine could have served.
func (m *machine) count(t float64, s *Scenario) {
	const step = 0.5
	for m.ableAt < t {
		dt := math.Min(step, t-m.ableAt)
		if !m.dead {
			m.able += dt * m.capacity * m.speedAt(m.ableAt+dt/2, s)
		}
		m.ableAt += dt
	}
	if m.dead || m.drained {
		m.deadSeen = true
	}
}
