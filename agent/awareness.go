package agent

import "sync/atomic"

// maxDoubt bounds self-doubt: an agent that starves is at most this many failures slower to call a server down.
const maxDoubt = 8

// awareness is the agent's doubt in itself, 0 is none. An agent that misses its own deadlines runs on a machine, or in
// a network, that is in trouble itself, and should distrust its own verdicts on others (memberlist calls it local
// health). It grows by one with every deadline missed and shrinks by one with every deadline kept.
type awareness struct{ doubt atomic.Int32 }

func (a *awareness) missed() {
	if d := a.doubt.Load(); d < maxDoubt {
		a.doubt.Store(d + 1)
	}
}

func (a *awareness) kept() {
	if d := a.doubt.Load(); d > 0 {
		a.doubt.Store(d - 1)
	}
}

// level returns the doubt, 0 to maxDoubt. Any goroutine may call it; only the loop calls missed and kept.
func (a *awareness) level() int { return int(a.doubt.Load()) }
