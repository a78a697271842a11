package world

// How long a client waits for a server that does not answer before it tries the next address.
const connectTimeout = 1.0

// arrive starts a session behind a resolver.
func (w *World) arrive(resolver int32, t float64) {
	i := w.newSession()
	s := &w.sessions[i]
	*s = session{resolver: resolver, pages: w.s.Pages}
	s.answer = w.lookup(resolver, t)
	s.at = w.first(s.answer.n)
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

// lookup returns the answer that a client behind a resolver goes by.
func (w *World) lookup(resolver int32, t float64) answer {
	r := &w.resolvers[resolver]
	if w.policy.scope() != perAnswer {
		a, _ := w.policy.answer(0, r, t)
		return a
	}
	if w.clients.Float64() < w.s.StaleUse && r.before.n > 0 && t < r.changed+w.s.StaleFor && t < r.expires {
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

// first says which of n addresses a client takes.
func (w *World) first(n int) int {
	x := w.clients.Float64()
	if x < w.s.FirstTaken || n < 2 {
		return 0
	}
	return min(int((x-w.s.FirstTaken)/(1-w.s.FirstTaken)*float64(n)), n-1)
}

// page is a client that fetches its next page.
func (w *World) page(i int32, t float64) {
	s := &w.sessions[i]
	if w.policy.scope() == perRequest {
		w.fetchEach(t)
		w.next(i, t)
		return
	}
	if s.answer.n == 0 || w.machines[s.answer.servers[s.at]].dead {
		w.fallOver(i, t)
		return
	}
	for range w.s.Requests {
		w.request(int(s.answer.servers[s.at]), t)
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
	w.events.push(event{t + w.clients.ExpFloat64()*w.s.Think, onPage, i})
}

// fallOver has a client try the next address of its answer a little later. When none is left, the page fails, and for
// the next one the client looks up anew.
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
	s.tried = 0
	s.answer = w.lookup(s.resolver, t)
	s.at = w.first(s.answer.n)
	w.next(i, t)
}

// fetchEach sends the requests of a page each where the policy that knows everything says.
func (w *World) fetchEach(t float64) {
	for range w.s.Requests {
		server := w.policy.route(t)
		w.machines[server].inService++
		took := w.request(server, t)
		w.events.push(event{t + took, onDone, int32(server)})
	}
}

func (w *World) request(server int, t float64) (took float64) {
	m := &w.machines[server]
	took, refused := m.serve(t, w.service.ExpFloat64()*w.s.ServiceMS/1000, w.s)
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
