package store

// lifeClock measures the time in which a shard could be heard, in ms. Leases run on it: while the reader is cut off,
// or the database hangs, nobody's lease runs out. Now is always the store's running clock.
type lifeClock struct {
	life      int64 // at heard
	heard     int64 // when the database last answered; 0 is never, or that the clock stands
	lastHeard int64 // the same, but never 0 again
}

// lifeGrace is for how long the clock runs on without an answer: longer than one blocking read takes, so that it does
// not stand still in between.
const lifeGrace = 1500

// lifeStart keeps all times of a life positive, also those of what happened before it began.
const lifeStart = 1 << 40

func newLifeClock() lifeClock { return lifeClock{life: lifeStart} }

// at returns the life time.
func (c *lifeClock) at(now int64) int64 {
	if c.heard == 0 {
		return c.life
	}
	return c.life + min(max(now-c.heard, 0), lifeGrace)
}

// hear notes that the database answered.
func (c *lifeClock) hear(now int64) {
	c.life = c.at(now)
	c.heard, c.lastHeard = now, now
}

// silence stops the clock: what was heard last was an error.
func (c *lifeClock) silence(now int64) {
	c.life = c.at(now)
	c.heard = 0
}
