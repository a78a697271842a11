// Package world is a discrete-event simulation of DNS steering: clients behind caching resolvers look a service up, the
// real decision core answers from what servers report, and servers bear what comes of it. It is deterministic: the same
// scenario, policy and seed give the same result, and the same seed the same traffic under every policy.
package world

import (
	"math"
	"math/rand/v2"
)

// World is one run.
type World struct {
	s         *Scenario
	machines  []machine
	resolvers []resolver
	db        database
	policy    policy
	meter     meter

	events   eventHeap
	sessions []session
	free     []int32
	fresh    int // identities that resolvers had so far

	who           sampler
	flash         [][]int32 // by event, the resolvers behind it
	foreignLoads  []foreignLoad
	arrivals      *rand.Rand
	replicas      *rand.Rand
	churns        *rand.Rand
	foreignChance *rand.Rand
	chance        *chance
	rate          float64 // sessions a second, where the factor of the load is 1
	peak          float64 // greatest factor of the load
}

// session is a client that looked up and goes on with what it got.
type session struct {
	resolver int32
	answer   answer
	at       int    // which address of the answer
	tried    int    // how many of them did not answer
	pages    int    // still to come
	lookups  int    // so far
	idled    bool   // it has been idle for longer than connections are kept: the next page is fetched after another lookup
	seed     uint64 // of its chance
}

type event struct {
	at   float64
	kind eventKind
	who  int32
}

type eventKind uint8

const (
	onBin eventKind = iota
	onTick
	onReport
	onArrived // a report that was on its way
	onForeign // a request from elsewhere
	onBegin
	onEnd
	onChurn
	onFlash
	onArrival
	onPage
	onDone
)

// Run simulates a scenario under a policy. progress, if not nil, is told now and then which part of the run is over.
func Run(s *Scenario, policyName string, seed uint64, progress func(part float64)) (Result, error) {
	w, err := newWorld(s, policyName, seed)
	if err != nil {
		return Result{}, err
	}
	for w.events[0].at <= s.Duration {
		e := w.events.pop()
		w.handle(e)
		if e.kind == onBin && progress != nil {
			progress(e.at / s.Duration)
		}
	}
	return w.meter.result(s), nil
}

func newWorld(s *Scenario, policyName string, seed uint64) (*World, error) {
	w := &World{
		s:             s,
		machines:      s.newMachines(),
		resolvers:     s.newResolvers(seed),
		who:           newSampler(zipf(s.Resolvers, s.Zipf, s.Giant)),
		arrivals:      stream(seed, streamArrivals),
		replicas:      stream(seed, streamReplicas),
		churns:        stream(seed, streamChurn),
		foreignChance: stream(seed, streamElsewhere),
		chance:        newChance(),
		peak:          s.peakFactor(),
		rate:          s.Utilization * s.Capacity() / float64(s.Pages*s.Requests),
		fresh:         s.Resolvers,
	}
	w.foreignLoads = w.newForeignLoads()
	rnd := stream(seed, streamServers)
	w.db.init(w, rnd, stream(seed, streamReports))
	if err := w.choose(policyName, stream(seed, streamPolicy)); err != nil {
		return nil, err
	}
	w.schedule(rnd)
	return w, nil
}

func (s *Scenario) newMachines() []machine {
	sizes := s.sizes()
	all := make([]machine, len(sizes))
	for i, size := range sizes {
		n := size * s.UnitCores
		all[i] = machine{size: size, cores: make(coreHeap, n), capacity: float64(n) / s.ServiceMS * 1000, speed: 1, bornAt: -1, util: -1}
	}
	return all
}

// schedule sets up all that happens by the clock.
func (w *World) schedule(rnd *rand.Rand) {
	w.events.push(event{binSize, onBin, 0})
	w.events.push(event{1, onTick, 0})
	w.events.push(event{w.gap(w.arrivals, w.rate*w.peak), onArrival, 0})
	for i := range w.machines {
		if at := w.s.Heartbeat * rnd.Float64(); w.db.agents[i] {
			w.events.push(event{at, onReport, int32(i)})
		}
	}
	for i := range w.foreignLoads {
		w.events.push(event{w.foreignLoads[i].At + w.gap(w.foreignChance, w.foreignLoads[i].rate), onForeign, int32(i)})
	}
	for i := range w.s.Events {
		e := &w.s.Events[i]
		w.events.push(event{e.At, onBegin, int32(i)})
		if e.Until > 0 {
			w.events.push(event{e.Until, onEnd, int32(i)})
		}
		var behind []int32
		if e.Kind == Flash {
			for _, r := range rnd.Perm(len(w.resolvers))[:e.Count] {
				behind = append(behind, int32(r))
			}
		}
		w.flash = append(w.flash, behind)
	}
	if w.s.Churn > 0 {
		w.events.push(event{w.gap(w.churns, w.s.Churn), onChurn, 0})
	}
}

func (w *World) gap(rnd *rand.Rand, rate float64) float64 { return rnd.ExpFloat64() / rate }

func (w *World) handle(e event) {
	switch e.kind {
	case onBin:
		w.meter.endBin(e.at, w.machines, w.s)
		w.events.push(event{e.at + binSize, onBin, 0})
	case onTick:
		w.policy.tick(e.at)
		w.events.push(event{e.at + 1, onTick, 0})
	case onReport:
		w.db.send(int(e.who), e.at)
		w.events.push(event{e.at + w.s.Heartbeat, onReport, e.who})
	case onArrived:
		w.db.receive(int(e.who), e.at)
	case onForeign:
		w.foreignRequest(e)
	case onBegin:
		w.begin(&w.s.Events[e.who], e.who, e.at)
	case onEnd:
		w.end(&w.s.Events[e.who], e.at)
	case onChurn:
		w.churn()
		w.events.push(event{e.at + w.gap(w.churns, w.s.Churn), onChurn, 0})
	case onFlash:
		w.surge(e)
	case onArrival:
		if w.arrives(e.at) {
			w.arrive(int32(w.who.draw(w.arrivals)), e.at)
		}
		w.events.push(event{e.at + w.gap(w.arrivals, w.rate*w.peak), onArrival, 0})
	case onPage:
		w.page(e.who, e.at)
	case onDone:
		w.machines[e.who].inService--
	}
}

// begin starts an event of the scenario.
func (w *World) begin(e *Event, number int32, t float64) {
	switch e.Kind {
	case Flash:
		w.events.push(event{t, onFlash, number})
		return
	case Restart:
		w.policy.forget(e.Skip)
		return
	}
	for _, i := range w.s.affected(e) {
		m := &w.machines[i]
		m.count(t, w.s)
		switch e.Kind {
		case Slow:
			m.speed = e.Factor
		case Crash:
			m.crash()
		case Drain:
			m.drained = true
			w.db.drain(i, t)
		}
	}
}

func (w *World) end(e *Event, t float64) {
	if e.Kind == Flash || e.Kind == Restart {
		return
	}
	for _, i := range w.s.affected(e) {
		m := &w.machines[i]
		m.count(t, w.s)
		switch e.Kind {
		case Slow:
			m.speed = 1
		case Crash:
			m.boot(t)
		case Drain:
			m.drained = false
			w.db.ready(i, t)
		}
	}
}

// surge is one session of a flash crowd.
func (w *World) surge(e event) {
	f := &w.s.Events[e.who]
	if f.Until > 0 && e.at >= f.Until {
		return
	}
	behind := w.flash[e.who]
	if w.arrives(e.at) {
		w.arrive(behind[w.arrivals.IntN(len(behind))], e.at)
	}
	w.events.push(event{e.at + w.gap(w.arrivals, w.rate*w.peak*(f.Factor-1)), onFlash, e.who})
}

// churn hands the clients of a resolver to one that nobody has seen.
func (w *World) churn() {
	r := &w.resolvers[w.churns.IntN(len(w.resolvers))]
	r.prefix = prefixOf(w.fresh)
	w.fresh++
	r.expires = math.Inf(-1)
	r.now, r.before = answer{}, answer{}
}

// eventHeap is a binary heap of events by time, without an interface value an event as container/heap has it.
type eventHeap []event

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	a := *h
	i := len(a) - 1
	for i > 0 {
		p := (i - 1) / 2
		if a[p].at <= e.at {
			break
		}
		a[i] = a[p]
		i = p
	}
	a[i] = e
}

func (h *eventHeap) pop() event {
	a := *h
	top, last := a[0], a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	if len(a) == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= len(a) {
			break
		}
		if c+1 < len(a) && a[c+1].at < a[c].at {
			c++
		}
		if a[c].at >= last.at {
			break
		}
		a[i] = a[c]
		i = c
	}
	a[i] = last
	return top
}
