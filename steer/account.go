package steer

import "math"

// work is Tick's account of one service. Slices are by place of the forecast.
type work struct {
	farm *Farm
	tick int64
	dt   float64 // seconds since the last one

	load  float64   // requests a second, of all servers
	mean  float64   // utilization of the servers that report
	even  []float64 // the part of the load that a server has if all is by capacity
	said  []float64 // reported requests a second; negative if not reported
	fore  []float64 // predicted
	loose []float64 // variance of what was reported about what was predicted; negative if not reported
	resid []float64 // reported less predicted
	pend  []float64 // load that is on its way
	added []int64   // what queries had added to the forecast when the tick began
	scale float64   // by which loads of the tick before have to be multiplied in this one; 1 in most

	// These go on from tick to tick.
	capacity  []float64 // of the tick before; 0 where there was no server
	measured  bool      // whether any capacity was measured then
	back      []float64 // the load of those that the table does not know
	backVar   []float64
	slow      []float64 // resid, smoothed
	util      []float64 // as last reported
	rps       []float64 // as last reported
	unchanged []float64 // seconds since either changed
	started   bool
	tracked   int     // resolvers whose clients go by an answer of ours, at the last tick
	counting  int     // and at this one so far
	perLookup float64 // requests that a session leads to
	counted   bool    // whether that is known
	ratios    float64 // of this tick: ln of load over sessions, of resolvers of which both are known ...
	weights   float64 // ... and how much they weigh
}

// open starts the account of a tick.
func (w *work) open(dt float64) {
	w.dt = dt
	n := len(w.farm.forecast.ids)
	for _, s := range []*[]float64{&w.even, &w.said, &w.fore, &w.loose, &w.resid, &w.pend} {
		*s = fit(*s, n)
		clear(*s)
	}
	for _, s := range []*[]float64{&w.back, &w.backVar, &w.slow, &w.capacity, &w.util, &w.rps, &w.unchanged} {
		*s = fit(*s, n)
	}
	w.added = fit(w.added, n)
	for place := range w.added {
		w.added[place] = w.farm.forecast.pend[place].added.Load()
	}
	w.tracked, w.counting = w.counting, 0
	w.ratios, w.weights = 0, 0
	w.rescale()
	w.weigh()
	if !w.started && w.load > 0 {
		w.start()
	}
}

// rescale follows the unit of loads. It changes when the first capacity is measured, or the last measured one is gone: then
// the capacities of all servers change at once, and what was learned in the old unit is worth the same in the new one.
func (w *work) rescale() {
	var now, before float64
	for place, i := range w.farm.forecast.at {
		c := 0.0
		if i >= 0 {
			c = w.farm.State[i].Capacity
		}
		if c > 0 && w.capacity[place] > 0 {
			now += c
			before += w.capacity[place]
		}
		w.capacity[place] = c
	}
	w.scale = 1
	if w.measured != w.farm.measured {
		w.scale = ratioOr(now, before, 1)
	}
	w.measured = w.farm.measured
	if w.scale != 1 {
		scaleAll(w.back, w.scale)
		scaleAll(w.backVar, w.scale*w.scale)
		scaleAll(w.slow, w.scale)
		w.perLookup *= w.scale
	}
}

func scaleAll(s []float64, by float64) {
	for i := range s {
		s[i] *= by
	}
}

// fit returns s with n elements, those that it had the same.
func fit[T any](s []T, n int) []T {
	if d := n - len(s); d > 0 {
		s = append(s, make([]T, d)...)
	}
	return s[:n]
}

// start puts half of the load down to nobody in particular.
func (w *work) start() {
	w.started = true
	for place, part := range w.even {
		w.back[place] = w.load / 2 * part
		w.backVar[place] = othersSpread * w.back[place] * w.back[place]
	}
}

// weigh takes in the reports. Requests a second count where the capacity was measured from them. Elsewhere utilisation times
// capacity does: a declared capacity need not be on the scale of what the server reports, and a relative one never is.
func (w *work) weigh() {
	load, sum, capacity := 0.0, 0.0, 0.0
	for place, i := range w.farm.forecast.at {
		w.said[place] = -1
		if i < 0 {
			continue
		}
		s := &w.farm.State[i]
		if s.Known && (s.Gate == Open || s.Gate == Full) && !w.isOutdated(place, s) {
			w.said[place] = s.Util * s.Capacity
			if s.Measured && s.RPS >= 0 {
				w.said[place] = s.RPS
			}
			load += w.said[place]
			capacity += s.Capacity
		}
		if s.Gate == Open {
			w.even[place] = s.able() * s.Admit
			sum += w.even[place]
		}
	}
	for place := range w.even {
		w.even[place] /= max(sum, 1e-9)
	}
	w.load, w.mean = load, ratioOr(load, capacity, 0)
}

// isOutdated follows for how long a server has reported the same figures. What does not change for so long is not measured: it
// was written once, by hand. It goes on counting for limits and gates.
func (w *work) isOutdated(place int, s *State) bool {
	if s.Util != w.util[place] || s.RPS != w.rps[place] {
		w.util[place], w.rps[place], w.unchanged[place] = s.Util, s.RPS, 0
	}
	w.unchanged[place] += w.dt
	return w.unchanged[place] >= outdated
}

// prior is what is believed of a resolver that nothing is known of.
func (w *work) prior() belief {
	mean := priorFactor * max(w.load, 1e-6) / max(float64(w.tracked), fewest)
	return belief{mean, mean * math.Sqrt(priorSpread)}
}

// compare sets what was reported against what was predicted.
func (w *work) compare() {
	w.drift()
	for place, said := range w.said {
		w.fore[place] += w.back[place]
		if said < 0 {
			w.loose[place], w.resid[place], w.slow[place] = -1, 0, 0
			continue
		}
		y := max(w.fore[place], said*.2)
		noise := noiseMemory / max(w.dt, .1) * (sessionNoise*y + relNoise*relNoise*y*y)
		w.loose[place] += w.backVar[place] + noise + 1e-9
		w.resid[place] = said - w.fore[place]
		if i := w.farm.forecast.at[place]; w.farm.State[i].Util > saturated {
			// It serves less than it is asked for, and nobody knows how much.
			w.resid[place] = max(w.resid[place], 0)
		}
		w.slow[place] += (1 - math.Exp(-w.dt/slowError)) * (w.resid[place] - w.slow[place])
		gain := w.backVar[place] / w.loose[place]
		w.back[place] = max(w.back[place]+gain*w.resid[place], 0)
		w.backVar[place] *= 1 - gain
	}
}

// drift lets the load that no tracked resolver accounts for spread by capacity, as whoever steers it will have it.
func (w *work) drift() {
	others := 0.0
	for _, b := range w.back {
		others += b
	}
	others = max(others, w.load*othersPart)
	stay := math.Exp(-w.dt / othersMix)
	for place, part := range w.even {
		target := others * part
		w.back[place] = target + (w.back[place]-target)*stay
		w.backVar[place] = w.backVar[place]*stay*stay + othersWander*target*target*w.dt
	}
}

// close publishes what was worked out.
func (w *work) close(now int64) {
	f := w.farm
	open := 0
	for place, i := range f.forecast.at {
		if i < 0 {
			continue
		}
		s, p := &f.State[i], &f.forecast.pend[place]
		passing := (1 - keepError) * (w.resid[place] - w.slow[place])
		util := s.Util
		if w.said[place] < 0 {
			util = w.guess(place, s)
		}
		util = clamp(util+(w.pend[place]-passing)/s.Capacity, 0, maxPend)
		p.settled.Store(int64(util * pendUnit))
		p.added.Add(-w.added[place])
		if s.Gate == Open {
			open++
		}
	}
	w.count()
	f.forecast.model.Store(&model{load: w.load, perServer: w.load / float64(max(open, 1)), prior: w.prior(), at: now})
}

// guess returns the utilization of a server that does not report now: between that of those that do and what follows from
// the answers that sent clients to it. Nothing ever corrects the latter.
func (w *work) guess(place int, s *State) float64 {
	const trust = 0.5
	others := s.Util // the mean of what is reported, and of what is taken for granted before anybody reports
	if s.Known {
		others = w.mean
	}
	return others + trust*(w.fore[place]/s.Capacity-others)
}

// count follows how many requests a session leads to.
func (w *work) count() {
	if w.weights < countWeights {
		return
	}
	seen := max(w.ratios/w.weights, -1)
	if !w.counted {
		w.counted, w.perLookup = true, math.Exp(seen)
	}
	w.perLookup *= math.Exp(clamp(seen-math.Log(w.perLookup), -1, 1) / countMemory)
}
