package world

import (
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/coredns-farm/farm/steer"
)

// answer is what a name server said: servers in order.
type answer struct {
	servers [steer.MaxAnswers]int32
	n       int
}

// resolver caches answers for the clients behind it.
type resolver struct {
	prefix  netip.Prefix // who it is
	home    int          // its replica
	obeys   obedience
	fixed   bool    // it gives all of its clients the records in the order that they came in
	whole   bool    // its clock counts whole seconds ...
	phase   float64 // ... and ticks at this fraction
	now     answer
	expires float64
	before  answer
	changed float64 // when now took the place of before
}

type obedience uint8

const (
	honours obedience = iota
	least30
	least60
	fixed300
)

func (s *Scenario) newResolvers(seed uint64) []resolver {
	rnd, order := stream(seed, streamResolvers), stream(seed, streamOrder)
	all := make([]resolver, s.Resolvers)
	for i := range all {
		r := &all[i]
		r.prefix = prefixOf(i)
		r.home = rnd.IntN(s.Replicas)
		r.obeys = s.TTLMix.draw(rnd)
		if i < s.Obedient {
			r.obeys = honours
		}
		r.whole = rnd.Float64() < s.WholeSecond
		r.phase = rnd.Float64()
		r.fixed = order.Float64() < s.FixedOrder
		r.expires = math.Inf(-1)
	}
	return all
}

func (m *TTLMix) draw(rnd *rand.Rand) obedience {
	x := rnd.Float64() * (m.Honour + m.Least30 + m.Least60 + m.Fixed300)
	switch {
	case x < m.Honour:
		return honours
	case x < m.Honour+m.Least30:
		return least30
	case x < m.Honour+m.Least30+m.Least60:
		return least60
	}
	return fixed300
}

func prefixOf(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// keep caches an answer.
func (r *resolver) keep(a answer, t float64, ttl uint32) {
	r.before, r.now, r.changed = r.now, a, t
	seconds := float64(ttl)
	switch r.obeys {
	case least30:
		seconds = max(seconds, 30)
	case least60:
		seconds = max(seconds, 60)
	case fixed300:
		seconds = 300
	}
	r.expires = t + seconds
	if r.whole {
		r.expires = math.Floor(t+r.phase) - r.phase + seconds
	}
}
