package qos

// nexts says which states may follow one another: a request is answered, a grant is renewed, and everything ends. What is
// refused or has ended stays so, and is forgotten Kept after its end.
var nexts = [...][]State{
	NoGrant:      {Requested, Granted, GrantedLower},
	Requested:    {Requested, Granted, GrantedLower, Refused, Ended},
	Granted:      {Granted, GrantedLower, Ended},
	GrantedLower: {Granted, GrantedLower, Ended},
	Refused:      {},
	Ended:        {},
}

// Kept is how long a grant that was refused or has ended is kept, for those who look, in ms.
const Kept = 420_000

// May reports whether a grant in state s may come into state to. NoGrant is before it is
// made. Whoever writes grants keeps to it.
func (s State) May(to State) bool {
	for _, next := range nexts[min(s, Ended)] {
		if next == to {
			return true
		}
	}
	return false
}

// Holds is the part of its server that the grant holds now, in millionths. It is taken when the grant is made, and given
// back in the act that makes it final.
func (g *Grant) Holds() int64 {
	if g.State.Live() {
		return g.Unit
	}
	return 0
}
