package world

import "math"

// How long a client waits for a server that does not answer before it tries the next address.
const connectTimeout = 1.0

// arrive starts a session behind a resolver.
func (w *World) arrive(resolver int32, t float64) {
	i := w.newSession()
	s := &w.sessions[i]
	*s = session{resolver: resolver, pages: w.s.Pages, seed: w.arrivals.Uint64()}
	w.connect(s, t)
	w.page(i, t)
}

func (w *World) newSession() int32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		return i
	}
	w.sessions = append(w.sessions, session{})
	return int32(len(w.sessions) - 1)
}

// connect has a client look up and choose an address.
func (w *World) connect(s *session, t float64) {
	rnd := w.chance.of(s.seed, forLookup+uint64(s.lookups))
	stale, first := rnd.Float64(), rnd.Float64()
	s.lookups++
	s.tried = 0
	s.answer = w.lookup(s.resolver, stale < w.s.StaleUse, t)
	s.at = w.first(&w.resolvers[s.resolver], first, s.answer.n)
}

// lookup returns the answer that a client behind a resolver gets, or the one before if it has that still.
func (w *World) lookup(resolver int32, stale bool, t float64) answer {
	r := &w.resolvers[resolver]
	if w.policy.scope() != perAnswer {
		a, _ := w.policy.answer(0, r, t)
		return a
	}
	if stale && r.before.n > 0 && t < r.changed+w.s.StaleFor && t < r.expires {
		return r.before
	}
	if t >= r.expires {
		w.ask(r, t)
	}
	return r.now
}

// ask has a resolver query its replica, or another one.
func (w *World) ask(r *resolver, t float64) {
	replica := r.home
	if w.s.Replicas > 1 && w.replicas.Float64() >= w.s.Affinity {
		replica = (r.home + 1 + w.replicas.IntN(w.s.Replicas-1)) % w.s.Replicas
	}
	if t >= w.s.From {
		w.meter.queries++
	}
	a, ttl := w.policy.answer(replica, r, t)
	r.keep(a, t, ttl)
}

// first returns which of n addresses a client takes, x being its chance.
func (w *World) first(r *resolver, x float64, n int) int {
	if r.fixed || x < w.s.FirstTaken || n < 2 {
		return 0
	}
	return min(int((x-w.s.FirstTaken)/(1-w.s.FirstTaken)*float64(n)), n-1)
}

// page is a client that fetches its next page.
func (w *World) page(i int32, t float64) {
	s := &w.sessions[i]
	if s.idled {
		s.idled = false
		w.connect(s, t)
	}
	if w.policy.scope() == perRequest {
		w.fetchEach(s, t)
		w.next(i, t)
		return
	}
	if s.answer.n == 0 || w.machines[s.answer.servers[s.at]].dead {
		w.fallOver(i, t)
		return
	}
	work := w.chance.of(s.seed, forWork+uint64(s.pages))
	for range w.s.Requests {
		w.request(int(s.answer.servers[s.at]), work.ExpFloat64(), t)
	}
	w.next(i, t)
}

// next schedules the next page of a session, if there is one.
func (w *World) next(i int32, t float64) {
	s := &w.sessions[i]
	if s.pages--; s.pages == 0 {
		w.free = append(w.free, i)
		return
	}
	pause := w.think(s)
	s.idled = w.s.KeepAlive > 0 && pause > w.s.KeepAlive
	w.events.push(event{t + pause, onPage, i})
}

// think is how long a client reads the page that it has before it fetches the next.
func (w *World) think(s *session) float64 {
	rnd := w.chance.of(s.seed, forThink+uint64(s.pages))
	tail := w.s.ThinkTail
	if tail == 0 {
		return rnd.ExpFloat64() * w.s.Think
	}
	least := w.s.Think * (tail - 1) / tail
	return least * math.Exp(rnd.ExpFloat64()/tail) // Pareto: its logarithm is exponential
}

// fallOver has a client try the next address of its answer a little later. When none is left, the page fails, and for
// the next one the client looks up again.
func (w *World) fallOver(i int32, t float64) {
	s := &w.sessions[i]
	s.tried++
	if s.tried < s.answer.n {
		s.at = (s.at + 1) % s.answer.n
		w.events.push(event{t + connectTimeout, onPage, i})
		return
	}
	if t >= w.s.From {
		w.meter.asked += w.s.Requests
		w.meter.failed += w.s.Requests
	}
	w.connect(s, t)
	w.next(i, t)
}

// fetchEach sends each request of a page where a policy that knows everything sends it.
func (w *World) fetchEach(s *session, t float64) {
	work := w.chance.of(s.seed, forWork+uint64(s.pages))
	for range w.s.Requests {
		server := w.policy.route(t)
		w.machines[server].inService++
		took := w.request(server, work.ExpFloat64(), t)
		w.events.push(event{t + took, onDone, int32(server)})
	}
}

// request sends one request to a server; work is relative to the mean.
func (w *World) request(server int, work, t float64) (took float64) {
	took, refused := w.machines[server].serve(t, work*w.s.ServiceMS/1000, w.s)
	if t < w.s.From {
		return took
	}
	w.meter.asked++
	if refused {
		w.meter.refused++
	} else {
		w.meter.served(took)
	}
	return took
}
