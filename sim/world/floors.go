package world

import (
	"math"
	"math/rand/v2"

	"github.com/coredns-farm/farm/steer"
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

// ideal deals sessions out to the servers by true capacity, earliest deadline first, as if no resolver kept anything: what
// a name server could reach at best with a TTL of 0 and no cache.
type ideal struct {
	base
	credit []float64
}

func (*ideal) scope() scope { return perSession }

func newIdeal(w *World, _ *rand.Rand, _ int) policy {
	return &ideal{base{w}, make([]float64, len(w.machines))}
}

func (d *ideal) answer(_ int, _ *resolver, t float64) (answer, uint32) {
	due, sum := d.w.dueNow(t)
	if sum == 0 {
		return answer{}, 0
	}
	best := -1
	for i, c := range due {
		d.credit[i] += c / sum
		if c > 0 && (best < 0 || d.credit[i] > d.credit[best]) {
			best = i
		}
	}
	d.credit[best]--
	return onlyServer(best), 0
}

func onlyServer(i int) answer { return answer{n: 1, servers: [steer.MaxAnswers]int32{int32(i)}} }

// fluid gives each session a random server in proportion to true capacity, as if no resolver kept anything. Sessions behind
// caches reach servers at random, whatever a name server knows: this is what one could reach at best that knew every load
// and capacity at every moment. With headroom, small servers, whose load fluctuates more, get less (see keepRoot).
type fluid struct {
	base
	rnd      *rand.Rand
	headroom float64
}

func newFluid(headroom float64) maker {
	return func(w *World, rnd *rand.Rand, _ int) policy { return &fluid{base{w}, rnd, headroom} }
}

func (*fluid) scope() scope { return perSession }

func (d *fluid) answer(_ int, _ *resolver, t float64) (answer, uint32) {
	due, sum := d.w.dueNow(t)
	if sum == 0 {
		return answer{}, 0
	}
	if d.headroom > 0 {
		sum = d.w.keepRoot(due, d.headroom, t)
	}
	x, last := d.rnd.Float64()*sum, -1
	for i, c := range due {
		if c > 0 {
			last = i
			if x -= c; x < 0 {
				break
			}
		}
	}
	return onlyServer(last), 0
}

// Square-root headroom: what a server is offered in a window of so many seconds has a standard deviation of
// sqrt(burst * load * window), since requests come in sessions. Each server is given less than it is due by so many of
// these, relative to the others: then all are about equally likely to be the most utilized.
const (
	rootHeadroom = 1.5
	rootBurst    = 4.5 // variance over mean of the work that a window is offered, as measured of sessions of 3 pages of 2 requests
)

// keepRoot takes square-root headroom off what each server is due, hands what is left over out in proportion to capacity,
// and returns the sum of what each is then due.
func (w *World) keepRoot(due []float64, headroom, t float64) float64 {
	var kept, able float64
	roots := make([]float64, len(due))
	for i, c := range due {
		if c > 0 {
			roots[i] = headroom * math.Sqrt(rootBurst*c/window)
			kept += roots[i]
			able += w.machines[i].ableAtOnce(t, w.s)
		}
	}
	sum := 0.0
	for i, c := range due {
		if c > 0 {
			due[i] = max(c-roots[i]+kept*w.machines[i].ableAtOnce(t, w.s)/able, 0)
			sum += due[i]
		}
	}
	return sum
}

// due is what each server should be given of a load of the name server's clients, requests a second, for all that are there
// to be equally utilized.
func (w *World) due(t, load float64) []float64 {
	due, able, sum := make([]float64, len(w.machines)), 0.0, load
	for i := range w.machines {
		able += w.machines[i].ableAtOnce(t, w.s)
	}
	for i := range w.foreignLoads {
		if s := &w.foreignLoads[i]; s.active(t) && w.machines[s.server].ableAtOnce(t, w.s) > 0 {
			due[s.server] -= s.rate
			sum += s.rate
		}
	}
	for i := range due {
		due[i] = max(due[i]+sum*w.machines[i].ableAtOnce(t, w.s)/max(able, 1e-9), 0)
	}
	return due
}

// dueNow is due of the load at t, and the sum of it.
func (w *World) dueNow(t float64) (due []float64, sum float64) {
	due = w.due(t, max(w.clientLoad(t), 1e-9))
	for _, c := range due {
		sum += c
	}
	return due, sum
}
