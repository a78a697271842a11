package steer

import "math"

// Tick's part of the table: what only the goroutine that calls it reads and writes.

// How loads are learned.
const (
	exposures = 16    // servers that a resolver's clients may still be on
	visible   = 12.0  // seconds; the time constant by which an answer shows in reports
	faint     = 0.002 // exposure that is forgotten
)

// Tunables under study.
var (
	Tun = struct{ CV2, Q, QB, Rel, Kappa, Timing, Floor, Doubt, Unknown, Jump, Visible, Stay, Spread, Slow, Keep float64 }{
		CV2: 10, Q: 0.0007, QB: 0.0007, Rel: 0.05, Kappa: 20, Timing: 1, Floor: .05, Doubt: .5, Unknown: .8, Visible: 12, Stay: .05, Spread: 4, Slow: 30, Keep: .3}
)

// trace is what Tick remembers of the resolver in a slot.
type trace struct {
	key      uint64
	load     float64
	variance float64
	seen     int     // lookups that were taken in
	n        int
	place    [exposures]int32
	part     [exposures]float64 // of the load that is on the server at that place by now
	work     *work
	live     bool
	facts    facts
}

// work is Tick's account of one service.
type work struct {
	farm  *Farm
	tick  int64
	load  float64
	even  []float64 // by place: the part of the load that is placed by capacity
	said  []float64 // by place: reported requests a second; negative if not reported
	fore  []float64 // predicted
	sens  []float64 // variance of the prediction, then 1 over that of the residual
	resid []float64
	pend  []float64
	slow  []float64 // residuals, smoothed; they outlive the tick
	added []int64

	others    float64 // the load that none of the tracked resolvers accounts for
	othersVar float64
	tracked   int
	trackedBy int // in this tick so far
	perLookup float64
	rates     float64 // sessions a second behind resolvers whose lookups show them
	rated     float64 // their load
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
	}
	w.tracked, w.trackedBy = w.trackedBy, 0
	w.rates, w.rated = 0, 0
	w.weigh()
	for place := range w.added {
		w.added[place] = f.forecast.pend[place].added.Load()
	}
	if !w.started && w.load > 0 {
		w.started, w.others, w.othersVar = true, w.load, w.load*w.load
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
	mean := max(w.load, 1e-6) / max(float64(w.tracked), 50)
	return belief{mean, mean * math.Sqrt(Tun.CV2)}
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
		p := w.prior()
		*t = trace{key: key, load: p.mean, variance: p.sigma * p.sigma, facts: t.facts}
		if b, ok := s.believed(); ok {
			t.load, t.variance = b.mean, b.sigma*b.sigma
		}
	}
	t.work = w
	w.trackedBy++
	t.live = t.facts.live(now)
	t.move(l, dt)
	t.time(w)
	for j, place := range t.place[:t.n] {
		w.fore[place] += t.part[j] * t.load
		w.sens[place] += t.part[j] * t.part[j] * t.variance
	}
}

// move lets clients drift from the servers of earlier answers to those of the last one.
func (t *trace) move(l *Learned, dt float64) {
	keep := math.Exp(-dt / Tun.Visible)
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

func (t *trace) time(w *work) {}

// compare sets what was reported against what was predicted.
func (w *work) compare(dt float64) {
	w.othersVar = min(w.othersVar+Tun.QB*w.others*w.others*dt, w.load*w.load)
	for place, said := range w.said {
		if said < 0 {
			w.sens[place], w.resid[place], w.slow[place] = -1, 0, 0
			continue
		}
		e := w.even[place]
		w.fore[place] += w.others * e
		y := max(w.fore[place], said*.2)
		noise := Tun.Kappa / max(dt, .1) * (.6*y + Tun.Rel*Tun.Rel*y*y)
		w.sens[place] += e*e*w.othersVar + noise + 1e-9
		w.resid[place] = said - w.fore[place]
		w.slow[place] += (1 - math.Exp(-dt/Tun.Slow)) * (w.resid[place] - w.slow[place])
	}
	var b blame
	for place := range w.said {
		b.add(w, int32(place), w.even[place], w.othersVar)
	}
	w.others, w.othersVar = b.settle(w.others, w.othersVar)
	w.others = max(w.others, w.load*1e-3)
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
	t.load, t.variance = b.settle(t.load, t.variance)
	p := w.prior()
	t.load = clamp(t.load, Tun.Floor*p.mean, max(w.load, 1e-9))
	t.variance = min(t.variance+Tun.Q*dt*t.load*t.load, Tun.CV2*max(t.load*t.load, p.mean*p.mean))
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
		passing := (1 - Tun.Keep) * (w.resid[place] - w.slow[place])
		x := max(s.Util+(w.pend[place]-passing)/s.Capacity, 0)
		p.settled.Store(int64(min(x, maxPend) * pendUnit))
		p.added.Add(-w.added[place])
		if f.State[i].Gate == Open {
			open++
		}
	}
	f.forecast.model.Store(&model{
		load: w.load, perServer: w.load / float64(max(open, 1)), prior: w.prior(),
		others: w.others, othersVar: w.othersVar, perLookup: w.perLookup, tracked: w.trackedBy, at: now,
	})
}
