package steer

import "math"

// Tick's part of the table: what only the goroutine that calls it reads and writes.

// How loads are learned. What each is worth is measured by sim/; none of them is delicate.
const (
	exposures = 16    // servers that a resolver's clients may still be on
	visible   = 12.0  // seconds; the time constant by which an answer shows in reports: sessions and their smoothing
	saturated = 0.97  // utilisation from which a server cannot say what it is asked for
	faint     = 0.002 // exposure that is forgotten

	fewest       = 100 // resolvers that there are taken to be at least
	priorFactor  = 3   // times the mean load: what a stranger is taken for, for the loads are very unequal ...
	priorSpread  = 10  // ... and the variance of that, relative to its square
	leastLoad    = .05 // of what a stranger is taken for: the least that a load is believed to be
	wander       = 7e-4
	othersPart   = .02  // of the whole load, that nobody accounts for: the least that is left open
	othersSpread = .1   // relative variance of that at the start
	othersWander = 3e-3 // and its growth a second
	othersMix    = 60.0 // seconds in which that load spreads by capacity

	sessionNoise = .6   // variance of a report over the report: sessions come in bunches of requests
	relNoise     = .05  // and what is wrong with the prediction as such, relative to it
	noiseMemory  = 20.0 // seconds for which errors of successive reports go together

	keepError = .85  // of what a report shows beyond the prediction, the part that is believed to last at once ...
	slowError = 30.0 // ... and the seconds in which all of it is

	timing       = .5  // what the time of one lookup weighs: resolvers are not quite the Poisson processes they seem
	finest       = .02 // seconds: a resolver that asks so much too early does not count fractions of seconds
	countWeights = 15  // evidence from which requests a session are believed to be known
	countMemory  = 60  // seconds
)

// trace is what Tick remembers of the resolver in a slot.
type trace struct {
	key                   uint64
	load                  float64
	variance              float64
	byMetric, byMetricVar float64 // what reports alone say
	rate                  float64 // sessions a second, by timing; 0 if that is not known
	timed                 bool
	seen                  int // lookups that were taken in
	n                     int
	place                 [exposures]int32
	part                  [exposures]float64 // of the load that is on the server at that place by now
	work                  *work
	live                  bool
	facts                 facts
}

// work is Tick's account of one service.
type work struct {
	farm          *Farm
	tick          int64
	load          float64
	even          []float64 // by place: the part of the load that is placed by capacity
	said          []float64 // by place: reported requests a second; negative if not reported
	fore          []float64 // predicted
	sens          []float64 // variance of the prediction, then 1 over that of the residual
	resid         []float64
	pend          []float64
	back, backVar []float64 // by place; the load of others
	slow          []float64 // residuals, smoothed; they outlive the tick
	added         []int64

	others    float64 // the load that none of the tracked resolvers accounts for
	othersVar float64
	tracked   int
	trackedBy int // in this tick so far
	perLookup float64
	counted   bool    // whether perLookup is known
	ratios    float64 // ln of requests a session, of resolvers of which both are known
	weights   float64
	started   bool
}

// Tick learns from what servers report by now (ms) and works out what is pending. It is to be called about once a
// second with the current farms, by one goroutine at a time; queries go on meanwhile. O(slots + servers).
func (l *Learned) Tick(farms []*Farm, now int64) {
	dt := clamp(float64(now-l.ticked)/1000, 0, 10)
	l.ticked = now
	l.ticks++
	for _, f := range farms {
		if f.forecast != nil {
			l.open(f, dt)
		}
	}
	for i := range l.slots {
		l.expose(i, now, dt)
	}
	for hash, w := range l.works {
		if w.tick != l.ticks {
			delete(l.works, hash)
			continue
		}
		w.compare(dt)
	}
	for i := range l.slots {
		l.attribute(i, dt)
	}
	for _, w := range l.works {
		w.close(now)
	}
}

// open starts the account of a service for this tick.
func (l *Learned) open(f *Farm, dt float64) {
	w := l.works[f.hash]
	if w == nil {
		w = &work{perLookup: 1}
		l.works[f.hash] = w
	}
	w.farm, w.tick = f, l.ticks
	n := len(f.forecast.ids)
	for _, s := range []*[]float64{&w.even, &w.said, &w.fore, &w.sens, &w.resid, &w.pend} {
		*s = append((*s)[:0], make([]float64, n)...)
	}
	w.added = append(w.added[:0], make([]int64, n)...)
	if d := n - len(w.slow); d > 0 {
		w.slow = append(w.slow, make([]float64, d)...)
		w.back = append(w.back, make([]float64, d)...)
		w.backVar = append(w.backVar, make([]float64, d)...)
	}
	w.tracked, w.trackedBy = w.trackedBy, 0
	w.ratios, w.weights = 0, 0
	w.weigh()
	for place := range w.added {
		w.added[place] = f.forecast.pend[place].added.Load()
	}
	if !w.started && w.load > 0 {
		w.started, w.others = true, w.load/2
		for place, part := range w.even {
			w.back[place] = w.others * part
			w.backVar[place] = othersSpread * w.back[place] * w.back[place]
		}
	}
}

// weigh takes in the reports. Without requests a second, utilisation times capacity stands in.
func (w *work) weigh() {
	load, sum := 0.0, 0.0
	for place, i := range w.farm.forecast.at {
		w.said[place] = -1
		if i < 0 {
			continue
		}
		s := &w.farm.State[i]
		if s.Known && (s.Gate == Open || s.Gate == Full) {
			w.said[place] = s.RPS
			if s.RPS < 0 {
				w.said[place] = s.Util * s.Capacity
			}
			load += w.said[place]
		}
		if s.Gate == Open {
			w.even[place] = s.able() * s.Admit
			sum += w.even[place]
		}
	}
	for place := range w.even {
		w.even[place] /= max(sum, 1e-9)
	}
	w.load = load
}

// prior is what is believed of a resolver that nothing is known of.
func (w *work) prior() belief {
	mean := priorFactor * max(w.load, 1e-6) / max(float64(w.tracked), fewest)
	return belief{mean, mean * math.Sqrt(priorSpread)}
}

// expose works out on which servers the clients of the resolver in slot i are by now, and adds them up.
func (l *Learned) expose(i int, now int64, dt float64) {
	s, t := &l.slots[i], &l.traces[i]
	key := s.key.Load()
	t.work = nil
	if key == 0 || !s.read(key, &t.facts) {
		return
	}
	w := l.works[t.facts.service]
	if w == nil || w.tick != l.ticks {
		return
	}
	if t.key != key {
		// It is new, or somebody else has the slot now.
		p := w.prior()
		*t = trace{key: key, load: p.mean, variance: p.sigma * p.sigma, byMetric: p.mean, byMetricVar: p.sigma * p.sigma, facts: t.facts}
		if b, ok := s.believed(); ok {
			t.load, t.variance = b.mean, b.sigma*b.sigma
		}
	}
	t.work = w
	if t.live = t.facts.live(now); t.live {
		w.trackedBy++
	}
	t.move(l, dt)
	t.time(w)
	for j, place := range t.place[:t.n] {
		w.fore[place] += t.part[j] * t.load
		w.sens[place] += t.part[j] * t.part[j] * t.variance
	}
}

// move lets clients drift from the servers of earlier answers to those of the last one.
func (t *trace) move(l *Learned, dt float64) {
	keep := math.Exp(-dt / visible)
	n := 0
	for j := range t.n {
		if t.part[j] *= keep; t.part[j] > faint && t.work.has(t.place[j]) {
			t.place[n], t.part[n] = t.place[j], t.part[j]
			n++
		}
	}
	t.n = n
	if !t.live {
		return
	}
	for i, place := range t.facts.places[:t.facts.n] {
		if t.work.has(place) {
			t.on(place, (1-keep)*l.share(i, t.facts.n))
		}
	}
}

func (w *work) has(place int32) bool { return w.farm.forecast.server(place) >= 0 }

// on adds to the exposure of a place. The least exposed gives way when there are too many.
func (t *trace) on(place int32, part float64) {
	least := 0
	for j := range t.n {
		if t.place[j] == place {
			t.part[j] += part
			return
		}
		if t.part[j] < t.part[least] {
			least = j
		}
	}
	if t.n < exposures {
		least = t.n
		t.n++
	}
	t.place[least], t.part[least] = place, part
}

// time learns from the intervals between lookups: what passes between the end of an answer and the next lookup is the
// time until somebody behind the resolver comes, if the resolver's clock is finer than that.
func (t *trace) time(w *work) {
	seen := t.facts.seen
	if seen == t.seen {
		return
	}
	first := t.seen == 0
	t.seen = seen
	n := min(seen-1, intervals)
	if first && n > 1 || n == 0 {
		return // what was learned from those before is in the belief already
	}
	keeps := t.keeps()
	gaps, sum, coarse := t.gaps(n, keeps)
	t.rate = 0
	if coarse || gaps < 3 {
		return
	}
	t.rate = (float64(gaps) - .5) / sum
	fresh := float64(int64(t.facts.gaps[(seen-2)%intervals])-keeps) / 1000
	if fresh > .9*float64(keeps)/1000 {
		return
	}
	if gaps == 3 && !t.timed {
		t.timed = true
		t.observe(w, 3, sum)
		return
	}
	t.observe(w, 1, max(fresh, .005))
}

// keeps is how long the resolver keeps an answer, in ms.
func (t *trace) keeps() int64 {
	if least := int64(t.facts.leastGap()); least > t.facts.ttl+3000 {
		return least
	}
	return t.facts.ttl
}

// gaps adds up, in seconds, what passed between the end of an answer and the next lookup. A resolver that asks before
// the end counts whole seconds, or fetches ahead.
func (t *trace) gaps(n int, keeps int64) (gaps int, sum float64, coarse bool) {
	for _, g := range t.facts.gaps[:n] {
		gap := float64(int64(g)-keeps) / 1000
		switch {
		case gap < -finest:
			coarse = true
		case gap < .9*float64(keeps)/1000:
			gaps++
			sum += max(gap, .005)
		}
	}
	return gaps, sum, coarse
}

// observe takes in that n sessions came in so many seconds: the conjugate update of a gamma distribution.
func (t *trace) observe(w *work, n, seconds float64) {
	c := w.perLookup
	if !w.counted {
		c = 1
	}
	shape, rate := t.load*t.load/t.variance, t.load/t.variance
	shape, rate = shape+timing*n, rate+timing*seconds/c
	if mean := shape / rate; w.counted || mean > t.load {
		t.load, t.variance = mean, mean/rate
	}
}

// compare sets what was reported against what was predicted.
func (w *work) compare(dt float64) {
	w.drift(dt)
	for place, said := range w.said {
		if said < 0 {
			w.sens[place], w.resid[place], w.slow[place] = -1, 0, 0
			continue
		}
		w.fore[place] += w.back[place]
		y := max(w.fore[place], said*.2)
		noise := noiseMemory / max(dt, .1) * (sessionNoise*y + relNoise*relNoise*y*y)
		w.sens[place] += w.backVar[place] + noise + 1e-9
		w.resid[place] = said - w.fore[place]
		if i := w.farm.forecast.at[place]; w.farm.State[i].Util > saturated {
			// It serves less than it is asked for, and nobody knows how much.
			w.resid[place] = max(w.resid[place], 0)
		}
		w.slow[place] += (1 - math.Exp(-dt/slowError)) * (w.resid[place] - w.slow[place])
		gain := w.backVar[place] / w.sens[place]
		w.back[place] = max(w.back[place]+gain*w.resid[place], 0)
		w.backVar[place] *= 1 - gain
	}
}

// drift lets the load that no tracked resolver accounts for spread by capacity, as whoever steers it will have it.
func (w *work) drift(dt float64) {
	others := 0.0
	for _, b := range w.back {
		others += b
	}
	w.others = max(others, w.load*othersPart)
	stay := math.Exp(-dt / othersMix)
	for place, part := range w.even {
		target := w.others * part
		w.back[place] = target + (w.back[place]-target)*stay
		w.backVar[place] = w.backVar[place]*stay*stay + othersWander*target*target*dt
	}
}

// blame gathers what the residuals of several servers say of one load.
type blame struct{ precision, pull float64 }

func (b *blame) add(w *work, place int32, part, variance float64) {
	if w.sens[place] <= 0 {
		return
	}
	rest := max(w.sens[place]-part*part*variance, 1e-3*w.sens[place])
	b.precision += part * part / rest
	b.pull += part * w.resid[place] / rest
}

func (b *blame) settle(load, variance float64) (float64, float64) {
	variance = 1 / (1/max(variance, 1e-12) + b.precision)
	return load + variance*b.pull, variance
}

// attribute shares out the difference between reports and predictions among the resolvers whose clients make it up, as
// a Kalman filter of diagonal covariance does, and works out what they have pending.
func (l *Learned) attribute(i int, dt float64) {
	t := &l.traces[i]
	w := t.work
	if w == nil {
		return
	}
	var b blame
	for j, place := range t.place[:t.n] {
		b.add(w, place, t.part[j], t.variance)
	}
	p := w.prior()
	t.byMetricVar = 1 / (1/max(t.byMetricVar, 1e-12) + b.precision)
	t.byMetric += t.byMetricVar * (b.pull + b.precision*(t.load-t.byMetric))
	t.byMetric = clamp(t.byMetric, leastLoad*p.mean, max(w.load, 1e-9))
	t.byMetricVar = min(t.byMetricVar+wander*dt*t.byMetric*t.byMetric, priorSpread*max(t.byMetric*t.byMetric, p.mean*p.mean))
	if doubt := t.byMetricVar / (t.byMetric * t.byMetric); t.rate > 0 && doubt < .15 {
		weight := 1 / (doubt + .2)
		w.weights += weight
		w.ratios += weight * math.Log(t.byMetric/t.rate)
	}
	t.load, t.variance = b.settle(t.load, t.variance)
	t.load = clamp(t.load, leastLoad*p.mean, max(w.load, 1e-9))
	t.variance = min(t.variance+wander*dt*t.load*t.load, priorSpread*max(t.load*t.load, p.mean*p.mean))
	l.slots[i].believe(belief{t.load, math.Sqrt(t.variance)})
	for j, place := range t.place[:t.n] {
		w.pend[place] -= t.part[j] * t.load
	}
	if !t.live {
		return
	}
	for j, place := range t.facts.places[:t.facts.n] {
		if w.has(place) {
			w.pend[place] += l.share(j, t.facts.n) * t.load
		}
	}
}

// close publishes what was learned of the service.
func (w *work) close(now int64) {
	f := w.farm
	open := 0
	for place, i := range f.forecast.at {
		if i < 0 {
			continue
		}
		p := &f.forecast.pend[place]
		s := &f.State[i]
		passing := (1 - keepError) * (w.resid[place] - w.slow[place])
		x := max(s.Util+(w.pend[place]-passing)/s.Capacity, 0)
		p.settled.Store(int64(min(x, maxPend) * pendUnit))
		p.added.Add(-w.added[place])
		if f.State[i].Gate == Open {
			open++
		}
	}
	if w.weights > countWeights {
		seen := max(w.ratios/w.weights, -1)
		if !w.counted {
			w.counted, w.perLookup = true, math.Exp(seen)
		}
		w.perLookup *= math.Exp(clamp(seen-math.Log(w.perLookup), -1, 1) / countMemory)
	}
	f.forecast.model.Store(&model{
		load: w.load, perServer: w.load / float64(max(open, 1)), prior: w.prior(),
		others: w.others, othersVar: w.othersVar, perLookup: w.perLookup, tracked: w.trackedBy, at: now,
	})
}
