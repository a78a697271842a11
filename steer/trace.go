package steer

import "math"

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
	whole                 float64            // load of the service when what is believed last followed it
	work                  *work
	live                  bool
	facts                 facts
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
		t.begin(key, s, w.prior())
	}
	t.work = w
	if w.scale != 1 {
		t.rescale(w.scale)
	}
	if t.live = t.facts.live(now); t.live {
		w.counting++
	}
	t.move(l, dt)
	t.time(w)
	for j, place := range t.place[:t.n] {
		w.fore[place] += t.part[j] * t.load
		w.loose[place] += t.part[j] * t.part[j] * t.variance
	}
}

// begin forgets the resolver that had the slot before.
func (t *trace) begin(key uint64, s *slot, p belief) {
	facts := t.facts
	*t = trace{key: key, load: p.mean, variance: p.sigma * p.sigma, byMetric: p.mean, byMetricVar: p.sigma * p.sigma, facts: facts}
	if b, ok := s.believed(); ok {
		// From another replica.
		t.load, t.variance = b.mean, b.sigma*b.sigma
	}
}

// rescale follows a change of the unit of loads.
func (t *trace) rescale(by float64) {
	t.load, t.variance = t.load*by, t.variance*by*by
	t.byMetric, t.byMetricVar = t.byMetric*by, t.byMetricVar*by*by
	t.whole *= by
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

// blame gathers what the residuals of several servers say of one load.
type blame struct{ precision, pull float64 }

func (b *blame) add(w *work, place int32, part, variance float64) {
	if w.loose[place] <= 0 {
		return
	}
	rest := max(w.loose[place]-part*part*variance, 1e-3*w.loose[place])
	b.precision += part * part / rest
	b.pull += part * w.resid[place] / rest
}

func (b *blame) settle(load, variance float64) (float64, float64) {
	variance = 1 / (1/max(variance, 1e-12) + b.precision)
	return load + variance*b.pull, variance
}

// attribute shares out the difference between reports and predictions among the resolvers whose clients make it up, as
// a Kalman filter of diagonal covariance does, and works out what they have pending.
func (l *Learned) attribute(i int) {
	t := &l.traces[i]
	w := t.work
	if w == nil {
		return
	}
	var b blame
	for j, place := range t.place[:t.n] {
		b.add(w, place, t.part[j], t.variance)
	}
	t.learn(&b, w)
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

// learn takes in what the residuals say. A second account, of what reports alone say, is kept beside it: where sessions
// are counted by their times as well, the two together tell how many requests a session leads to.
func (t *trace) learn(b *blame, w *work) {
	p := w.prior()
	t.followLoad(w.load)
	before := t.load
	t.load, t.variance = b.settle(t.load, t.variance)
	t.load, t.variance = w.within(p, t.load, t.variance)
	t.byMetricVar = 1 / (1/max(t.byMetricVar, 1e-12) + b.precision)
	t.byMetric += t.byMetricVar * (b.pull + b.precision*(before-t.byMetric))
	t.byMetric, t.byMetricVar = w.within(p, t.byMetric, t.byMetricVar)
	if doubt := t.byMetricVar / (t.byMetric * t.byMetric); t.rate > 0 && doubt < .15 {
		weight := 1 / (doubt + .2)
		w.weights += weight
		w.ratios += weight * math.Log(t.byMetric/t.rate)
	}
}

// followLoad scales what is believed with the load of the whole service, once that has grown or shrunk by much: most resolvers
// have more clients when all of them together have. Who has more of them now is to be seen, so growth brings doubt. Without
// it, what was learned while a service was nearly idle would be believed for minutes after its launch.
func (t *trace) followLoad(load float64) {
	if load <= 0 {
		return
	}
	if t.whole == 0 {
		t.whole = load
	}
	g := load / t.whole
	if g < grown && g > 1/grown {
		return
	}
	doubt := 0.0
	if g > 1 {
		doubt = grownDoubt
	}
	t.whole = load
	t.load, t.variance = t.load*g, (t.variance+doubt*t.load*t.load)*g*g
	t.byMetric, t.byMetricVar = t.byMetric*g, (t.byMetricVar+doubt*t.byMetric*t.byMetric)*g*g
}

// within keeps a load in its bounds and lets its uncertainty grow with time, for loads change.
func (w *work) within(p belief, load, variance float64) (float64, float64) {
	load = clamp(load, leastLoad*p.mean, max(w.load, p.mean))
	ref := max(load, p.mean)
	return load, min(variance+wander*w.dt*ref*ref, priorSpread*ref*ref)
}
