package world

import (
	"math"
	"math/rand/v2"
)

// Each source of chance has a stream of its own, so that the traffic of a seed is the same under every policy.
const (
	streamServers = iota + 1
	streamResolvers
	streamArrivals
	streamReplicas
	streamPolicy
	streamChurn
	streamReports
	streamElsewhere
	streamOrder
)

func stream(seed uint64, which uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, which)) }

// chance is the chance of one session. What is drawn depends on what it is for and not on what was drawn before, so that a
// session whose server fails, or that looks up less often, goes on as the same one under every policy.
type chance struct {
	state uint64
	drawn *rand.Rand
}

func newChance() *chance {
	c := new(chance)
	c.drawn = rand.New(c)
	return c
}

// What a session draws for, each with the number of the lookup or page.
const (
	forLookup = iota << 32
	forThink
	forWork
)

// of returns where to draw from for one purpose of the session with this seed. It is good until the next call.
func (c *chance) of(seed, purpose uint64) *rand.Rand {
	c.state = mix(seed ^ mix(purpose+1))
	return c.drawn
}

// Uint64 is SplitMix64 (Steele, Lea and Flood 2014).
func (c *chance) Uint64() uint64 {
	c.state += 0x9E3779B97F4A7C15
	return mix(c.state)
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// sampler draws from a discrete distribution in constant time (Walker 1977; Vose 1991).
type sampler struct {
	keep  []float64
	other []int32
}

func newSampler(weights []float64) sampler {
	n := len(weights)
	s := sampler{keep: make([]float64, n), other: make([]int32, n)}
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	var small, large []int32
	for i, w := range weights {
		s.keep[i] = w * float64(n) / sum
		s.other[i] = int32(i)
		if s.keep[i] < 1 {
			small = append(small, int32(i))
		} else {
			large = append(large, int32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		l, g := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		s.other[l] = g
		s.keep[g] -= 1 - s.keep[l]
		if s.keep[g] < 1 {
			large = large[:len(large)-1]
			small = append(small, g)
		}
	}
	return s
}

func (s *sampler) draw(r *rand.Rand) int {
	i := r.IntN(len(s.keep))
	if r.Float64() < s.keep[i] || s.other[i] == int32(i) {
		return i
	}
	return int(s.other[i])
}

// zipf returns the weights of n resolvers, largest first, of which the first has a part giant of all if that is not 0.
func zipf(n int, exponent, giant float64) []float64 {
	w := make([]float64, n)
	rest := 0.0
	for i := range w {
		w[i] = math.Pow(float64(i+1), -exponent)
		rest += w[i]
	}
	if giant > 0 && n > 1 {
		rest -= w[0]
		w[0] = giant / (1 - giant) * rest
	}
	return w
}
