package steer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The shares under Sticky are those that summing over all the sets of servers that have room gives.
func TestStickySharesAreExact(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	for round := range 200 {
		var members []Member
		for i := range 1 + rnd.IntN(6) {
			members = append(members, reporting(server(i, func(s *Server) {
				s.Capacity = math.Exp(rnd.Float64() * 10)
			}), rnd.Float64()*1.05))
		}
		f := build(Sticky, members...)
		tier := &f.views[0].tiers[0]
		sum := 0.0
		for i, got := range f.stickyShares(tier) {
			if want := f.stickyShareBySets(tier, i); math.Abs(got-want) > 1e-4 {
				t.Errorf("round %d, server %d of %d: got %.6f, want %.6f", round, i, len(tier.servers), got, want)
			}
			sum += got
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("round %d: the shares add up to %.6f", round, sum)
		}
	}
}

func (f *Farm) stickyShareBySets(t *tier, of int) (share float64) {
	n := len(t.servers)
	for set := range 1 << n {
		p, sum := 1.0, 0.0
		for i, s := range t.servers {
			h := f.holds(&f.State[s])
			if set>>i&1 == 0 {
				h = 1 - h
			}
			p *= h
			if set == 0 || set>>i&1 == 1 {
				sum += f.State[s].stickyWeight()
			}
		}
		if set == 0 || set>>of&1 == 1 {
			share += p * f.State[t.servers[of]].stickyWeight() / sum
		}
	}
	return share
}
