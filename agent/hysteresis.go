package agent

// hysteresis is the state of one probe: what it holds of the server, and how long the results have said otherwise. The
// zero value has no result yet.
//
//	state    result   run        then
//	none     any      -          the result is the state: a server is not announced on a guess
//	up       pass     -          up, run 0
//	up       fail     < fall-1   up, run+1
//	up       fail     = fall-1   down, run 0
//	down     fail     -          down, run 0
//	down     pass     < rise-1   down, run+1
//	down     pass     = rise-1   up, run 0
type hysteresis struct {
	known bool // whether there was a result
	up    bool
	run   int // results in a row that contradict up
}

// next returns the state after one more result. Rise and fall are at least 1.
func (h hysteresis) next(pass bool, rise, fall int) hysteresis {
	if !h.known {
		return hysteresis{known: true, up: pass}
	}
	if pass == h.up {
		return hysteresis{known: true, up: h.up}
	}
	need := rise
	if h.up {
		need = fall
	}
	if h.run+1 >= need {
		return hysteresis{known: true, up: pass}
	}
	h.run++
	return h
}
