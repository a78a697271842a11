package steer

import (
	"math"
	"sync/atomic"
)

// forecast is what the answers already given will add to what a service's servers report. It goes with the farm from
// generation to generation. Slots name servers by their places in it, which stay when servers come and go.
type forecast struct {
	pend  []pending // by place
	place []int32   // by server of the farm
	at    []int32   // by place; -1 is nobody
	ids   []string  // by place; "" is free
	model *atomic.Pointer[model]

	byHash atomic.Pointer[map[uint32]int32] // places by the low half of the hash of who is there; made when it is first asked for
}

// pending is utilisation that is on its way to a server, or on its way from it: what Tick worked out plus what queries
// added since. Both are in units of 2^-32.
type pending struct {
	settled atomic.Int64
	added   atomic.Int64
}

const pendUnit = 1 << 32

// maxPend keeps sums of pending utilisation in range.
const maxPend = 1 << 20

func (p *pending) load() float64 { return float64(p.settled.Load()+p.added.Load()) / pendUnit }

func (p *pending) add(utilisation float64) {
	p.added.Add(int64(clamp(utilisation, -maxPend, maxPend) * pendUnit))
}

// model is what Tick knows of a service as a whole. It is never changed once it is published.
type model struct {
	load      float64 // requests a second, of all servers
	perServer float64 // that over the number of open servers
	prior     belief  // of a resolver that nothing is known of
	at        int64   // ms; when it was worked out
}

// foresee gives the farm its forecast: that of the generation before, fitted to the servers of this one.
func (f *Farm) foresee(members []Member, prev *Farm) {
	if f.Service.Policy != Predict {
		return
	}
	defer f.prepare()
	for i := range members {
		f.State[i].RPS = -1
		if members[i].Reported {
			f.State[i].RPS = members[i].Report.RPS
			f.reports = f.reports || f.State[i].Known
		}
	}
	var old *forecast
	if prev != nil && prev.forecast != nil && prev.hash == f.hash {
		old = prev.forecast
		if len(f.Servers) == len(prev.Servers) && (len(f.Servers) == 0 || &f.Servers[0] == &prev.Servers[0]) {
			f.forecast = old
			return
		}
	}
	f.forecast = newForecast(f.Servers, old)
	f.forecast.index(f.State, old)
}

// placesByHash returns the places of the servers by the low half of the hash of their IDs. It makes the map when it is first
// asked for; who asks at the same time makes the same one.
func (f *Farm) placesByHash() map[uint32]int32 {
	if known := f.forecast.byHash.Load(); known != nil {
		return *known
	}
	places := make(map[uint32]int32, len(f.hashes))
	for i, h := range f.hashes {
		places[uint32(h)] = f.forecast.place[i]
	}
	f.forecast.byHash.Store(&places)
	return places
}

// prepare lays out what scoring needs.
func (f *Farm) prepare() {
	f.ahead = make([]ahead, len(f.State))
	for i := range f.State {
		s := &f.State[i]
		f.ahead[i] = ahead{f.forecast.place[i], 1 / max(s.Ramp, minRamp), 1 / s.able(), s.Kept + f.margin(s)}
	}
}

// margin is the part of a server that is kept free for chance: load comes in bunches, which a small server feels more than a
// large one. It is so many standard deviations of the load that comes within a few seconds (square-root staffing, Halfin and
// Whitt 1981). It needs capacities in requests.
func (f *Farm) margin(s *State) float64 {
	if !f.measured {
		return 0
	}
	return marginDeviations * math.Sqrt(marginBunch*max(f.MeanUtil, marginIdle)/(s.able()*marginSeconds))
}

// newForecast leaves servers that stay, by their IDs, at their places.
func newForecast(servers []*Server, old *forecast) *forecast {
	c := &forecast{place: make([]int32, len(servers)), model: new(atomic.Pointer[model])}
	was := make(map[string]int32)
	if old != nil {
		c.model = old.model
		c.ids = make([]string, len(old.ids))
		for place, id := range old.ids {
			if id != "" {
				was[id] = int32(place)
			}
		}
	}
	for i, s := range servers {
		c.place[i] = -1
		if place, ok := was[s.ID]; ok {
			c.place[i], c.ids[place] = place, s.ID
		}
	}
	// A place that became free is left so for as long as there is room: slots may still speak of who was there.
	free := len(c.ids)
	if free > 2*len(servers)+16 {
		free = 0
	}
	for i, s := range servers {
		if c.place[i] >= 0 {
			continue
		}
		for free < len(c.ids) && c.ids[free] != "" {
			free++
		}
		if free == len(c.ids) {
			c.ids = append(c.ids, "")
		}
		c.place[i], c.ids[free] = int32(free), s.ID
	}
	return c
}

func (c *forecast) index(states []State, old *forecast) {
	c.pend = make([]pending, len(c.ids))
	c.at = make([]int32, len(c.ids))
	for place := range c.at {
		c.at[place] = -1
		if old != nil && place < len(old.ids) && c.ids[place] != "" && c.ids[place] == old.ids[place] {
			c.pend[place].settled.Store(old.pend[place].settled.Load() + old.pend[place].added.Load())
		}
	}
	for i, place := range c.place {
		c.at[place] = int32(i)
		if old == nil || int(place) >= len(old.ids) || c.ids[place] != old.ids[place] {
			c.pend[place].settled.Store(int64(min(states[i].Util, maxPend) * pendUnit))
		}
	}
}

// server returns the farm's index of the server at a place, or -1.
func (c *forecast) server(place int32) int32 {
	if int(place) >= len(c.at) {
		return -1
	}
	return c.at[place]
}

// share is the part of a resolver's clients that go to the i-th of k addresses: some take the first, the others any.
func (l *Learned) share(i, k int) float64 {
	s := (1 - l.first) / float64(k)
	if i == 0 {
		s += l.first
	}
	return s
}

// live says whether the resolver is still giving out the answer at now (ms). If it should have asked again and did not,
// another replica answered it.
func (x *facts) live(now int64) bool {
	keeps := x.keeps()
	return now-x.asked < keeps+keeps/10+3000
}

// keeps is for how long the resolver gives out an answer, in ms: the TTL, or as long as it never asked again before.
func (x *facts) keeps() int64 { return max(x.ttl, int64(x.leastGap())) }

// leastGap is the least of the last intervals between lookups, in ms; 0 if none is known.
func (x *facts) leastGap() uint32 {
	least := uint32(math.MaxUint32)
	for _, g := range x.gaps[:min(max(x.seen-1, 0), intervals)] {
		least = min(least, g)
	}
	if least == math.MaxUint32 {
		return 0
	}
	return least
}
