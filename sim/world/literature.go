package world

import (
	"math"
	"math/rand/v2"

	"github.com/coredns-farm/farm/steer"
)

// scored is a rule of the literature, on the same reports: it draws candidates and takes the one that scores least, or
// draws by weights. Each has the constants of its source.
type scored struct {
	base
	rnd         *rand.Rand
	answers     int
	generations []generation
	choose      func(p *scored, f *steer.Farm, replica int, taken *answer) int32
	smooth      [][]float64 // smooth weighted round robin: the credits, by replica
}

func ofRule(choose func(p *scored, f *steer.Farm, replica int, taken *answer) int32) maker {
	return func(w *World, rnd *rand.Rand, answers int) policy {
		p := &scored{base: base{w}, rnd: rnd, answers: max(answers, 1), choose: choose}
		p.generations = make([]generation, w.s.Replicas)
		p.smooth = make([][]float64, w.s.Replicas)
		for i := range p.smooth {
			p.smooth[i] = make([]float64, len(w.machines))
		}
		return p
	}
}

func (p *scored) answer(replica int, _ *resolver, t float64) (answer, uint32) {
	f := p.w.db.farm(steer.Service{Policy: steer.Headroom}, &p.generations[replica], t)
	var a answer
	for range min(p.answers, len(f.Servers)) {
		s := p.choose(p, f, replica, &a)
		if s < 0 {
			break
		}
		a.servers[a.n] = s
		a.n++
	}
	return a, f.Settings.TTL
}

// open says whether a server may be given; full ones may, for that is what a rule itself is to see to.
func open(f *steer.Farm, s int) bool {
	g := f.State[s].Gate
	return g == steer.Open || g == steer.Full
}

func (a *answer) has(s int32) bool {
	for _, x := range a.servers[:a.n] {
		if x == s {
			return true
		}
	}
	return false
}

// leastUtilised takes the server that reported the least utilisation.
func leastUtilised(p *scored, f *steer.Farm, _ int, taken *answer) int32 {
	best, least := int32(-1), math.Inf(1)
	for i := range f.State {
		if u := f.State[i].Util; open(f, i) && u < least && !taken.has(int32(i)) {
			best, least = int32(i), u
		}
	}
	return best
}

// twoChoices takes the less utilised of two that it draws at random (Mitzenmacher).
func twoChoices(p *scored, f *steer.Farm, _ int, taken *answer) int32 {
	a, b := p.any(f, taken), p.any(f, taken)
	if a < 0 || b >= 0 && f.State[b].Util < f.State[a].Util {
		return b
	}
	return a
}

func (p *scored) any(f *steer.Farm, taken *answer) int32 {
	return p.drawBy(f, taken, func(*steer.State) float64 { return 1 })
}

// Watermarks of shed_load: NS1's rule sheds, of a server between them, answers in proportion.
const (
	shedLow  = 0.6
	shedHigh = 0.9
)

// shedLoad draws by capacity times what the watermarks let in.
func shedLoad(p *scored, f *steer.Farm, _ int, taken *answer) int32 {
	return p.drawBy(f, taken, func(s *steer.State) float64 {
		return s.Capacity * s.Ramp * min(max((shedHigh-s.Util)/(shedHigh-shedLow), .02), 1)
	})
}

// grpcWRR is gRPC's client-side weighted round robin (A58): weights are requests a second over utilisation, which is
// the measured capacity; the picker is earliest deadline first.
func grpcWRR(p *scored, f *steer.Farm, replica int, taken *answer) int32 {
	return p.smoothest(f, replica, taken, func(s *steer.State) float64 { return s.Capacity })
}

func (p *scored) drawBy(f *steer.Farm, taken *answer, weight func(*steer.State) float64) int32 {
	sum := 0.0
	for i := range f.State {
		if open(f, i) && !taken.has(int32(i)) {
			sum += weight(&f.State[i])
		}
	}
	x := p.rnd.Float64() * sum
	last := int32(-1)
	for i := range f.State {
		if open(f, i) && !taken.has(int32(i)) {
			last = int32(i)
			if x -= weight(&f.State[i]); x < 0 {
				return last
			}
		}
	}
	return last
}

// smoothest is smooth weighted round robin.
func (p *scored) smoothest(f *steer.Farm, replica int, taken *answer, weight func(*steer.State) float64) int32 {
	credit := p.smooth[replica]
	sum, best := 0.0, int32(-1)
	for i := range f.State {
		if !open(f, i) || taken.has(int32(i)) {
			continue
		}
		w := weight(&f.State[i])
		sum += w
		credit[i] += w
		if best < 0 || credit[i] > credit[best] {
			best = int32(i)
		}
	}
	if best >= 0 {
		credit[best] -= sum
	}
	return best
}
