package steer

import "math/bits"

// alias is one column of an alias table (Walker 1977; Vose 1991): a draw that falls on the column takes its own server
// below keep, else the other one.
type alias struct {
	keep  uint32
	other int32
}

// aliasTier prepares drawing by what servers can bear now, and sets how many servers can be given in one answer and
// still be in proportion to it.
func (f *Farm) aliasTier(t *tier) {
	n := len(t.servers)
	t.alias = make([]alias, n)
	parts := make([]float64, n)
	var sum, most float64
	for i, s := range t.servers {
		st := &f.State[s]
		parts[i] = st.able() * st.Admit
		sum += parts[i]
		most = max(most, parts[i])
	}
	t.keepProportion(sum, most)
	order := make([]int32, n) // small ones from the front, large ones from the back
	small, large := 0, n
	for i := range parts {
		parts[i] *= float64(n) / sum
		t.alias[i] = alias{1<<32 - 1, int32(i)}
		if parts[i] < 1 {
			order[small] = int32(i)
			small++
		} else {
			large--
			order[large] = int32(i)
		}
	}
	for small > 0 && large < n {
		small--
		s, g := order[small], order[large]
		t.alias[s] = alias{uint32(parts[s] * (1<<32 - 1)), g}
		if parts[g] -= 1 - parts[s]; parts[g] < 1 {
			order[small] = g
			small++
			large++
		}
	}
}

// draw returns a position in t.servers for a random number.
func (t *tier) draw(x uint64) int {
	hi, lo := bits.Mul64(x, uint64(len(t.alias)))
	if a := &t.alias[hi]; uint32(lo>>32) >= a.keep {
		return int(a.other)
	}
	return int(hi)
}

// next returns the first server from a random position on that may be added to the pick, or -1.
func (f *Farm) next(t *tier, x uint64, q *Query, p *Pick) int32 {
	at := t.draw(x)
	for range t.servers {
		if s := t.servers[at]; !f.picked(q, p, s) {
			return s
		}
		at = (at + 1) % len(t.servers)
	}
	return -1
}

// noteTiers keeps the tier of every server.
func (f *Farm) noteTiers(v *view) {
	if f.Service.Policy != Predict || v.rung != Normal {
		return
	}
	v.tierOf = make([]int16, len(f.Servers))
	for i := range v.tierOf {
		v.tierOf[i] = -1
	}
	for i := range v.tiers {
		for _, s := range v.tiers[i].servers {
			v.tierOf[s] = int16(i)
		}
	}
}
