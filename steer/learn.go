package steer

// Tick's part of the table: what only the goroutine that calls it reads and writes.

// How loads are learned. What each is worth is measured by sim/; none of them is delicate.
const (
	exposures = 16    // servers that a resolver's clients may still be on
	visible   = 12.0  // seconds; the time constant by which an answer shows in reports: sessions and their smoothing
	saturated = 0.97  // utilisation from which a server cannot say what it is asked for
	faint     = 0.002 // exposure that is forgotten

	fewest       = 100  // resolvers that there are taken to be at least
	priorFactor  = 3    // times the mean load: what a stranger is taken for, for the loads are very unequal ...
	priorSpread  = 10   // ... and the variance of that, relative to its square
	grown        = 1.5  // times the load of the whole service: from there on, or below its inverse, what is believed follows it
	grownDoubt   = .3   // relative variance that growth brings
	outdated     = 60.0 // seconds for which a server may report the same figures
	leastLoad    = .2   // of what a stranger is taken for: the least that a load is believed to be
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

// Tick learns from what servers report by now (ms) and works out what is pending. It is to be called about once a
// second, with the current farms of all services, by one goroutine at a time; queries go on meanwhile.
// O(slots + servers), and no allocation unless services or servers come.
func (l *Learned) Tick(farms []*Farm, now int64) {
	dt := clamp(float64(now-l.ticked)/1000, 0, 10)
	l.ticked = now
	l.ticks++
	l.open = l.open[:0]
	for _, f := range farms {
		if f.forecast != nil {
			w := l.workOf(f)
			w.open(dt)
			l.open = append(l.open, w)
		}
	}
	l.leave()
	tracked := 0
	for i := range l.slots {
		l.expose(i, now, dt)
		if l.traces[i].work != nil {
			tracked++
		}
	}
	l.tracked.Store(int64(tracked))
	for _, w := range l.open {
		w.compare()
	}
	for i := range l.slots {
		l.attribute(i)
	}
	l.meet()
	for _, w := range l.open {
		w.close(now)
	}
}

// leave forgets the services that are gone.
func (l *Learned) leave() {
	if len(l.works) == len(l.open) {
		return
	}
	for hash, w := range l.works {
		if w.tick != l.ticks {
			delete(l.works, hash)
		}
	}
}

func (l *Learned) workOf(f *Farm) *work {
	w := l.works[f.hash]
	if w == nil {
		w = &work{perLookup: 1}
		l.works[f.hash] = w
	}
	w.farm, w.tick = f, l.ticks
	return w
}
