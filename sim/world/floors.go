package world

import (
	"math"
	"math/rand/v2"
)

// oracle sends each request to the server with the least in it for its speed, knowing all at every moment: no DNS can.
type oracle struct{ base }

func newOracle(w *World, _ *rand.Rand, _ int) policy { return oracle{base{w}} }

func (oracle) scope() scope { return perRequest }

func (oracle) answer(int, *resolver, float64) (answer, uint32) { return answer{n: 1}, 1 << 30 }

func (o oracle) route(t float64) int {
	best, least := 0, math.Inf(1)
	for i := range o.w.machines {
		m := &o.w.machines[i]
		if m.dead || m.drained {
			continue
		}
		if x := (float64(m.inService) + 1) / (m.capacity * m.speedAt(t, o.w.s)); x < least {
			best, least = i, x
		}
	}
	return best
}

// ideal gives each session its server by true capacity, earliest deadline first, as if no resolver kept anything: what
// a name server could reach at best with a TTL of 0.
type ideal struct {
	base
	credit []float64
}

func (*ideal) scope() scope { return perSession }

func newIdeal(w *World, _ *rand.Rand, _ int) policy {
	return &ideal{base{w}, make([]float64, len(w.machines))}
}

func (d *ideal) answer(_ int, r *resolver, t float64) (answer, uint32) {
	sum, best := 0.0, -1
	for i := range d.w.machines {
		m := &d.w.machines[i]
		if m.dead || m.drained {
			continue
		}
		c := m.capacity * m.speedAt(t, d.w.s)
		sum += c
		d.credit[i] += c
		if best < 0 || d.credit[i] > d.credit[best] {
			best = i
		}
	}
	a := answer{}
	if best >= 0 {
		d.credit[best] -= sum
		a.n, a.servers[0] = 1, int32(best)
	}
	return a, 0
}
