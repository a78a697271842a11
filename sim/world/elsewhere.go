package world

// newForeignLoads returns the servers' load from elsewhere.
func (w *World) newForeignLoads() []foreignLoad {
	var all []foreignLoad
	for i := range w.s.Elsewhere {
		e := &w.s.Elsewhere[i]
		for _, server := range w.s.selectServers(e.Size, 0, e.Count) {
			all = append(all, foreignLoad{e, server, e.Part * w.machines[server].capacity})
		}
	}
	return all
}

// foreignLoad is a Poisson stream of requests to one server that no client of the name server makes.
type foreignLoad struct {
	*Elsewhere
	server int
	rate   float64 // requests a second
}

// active reports whether requests come at a time.
func (s *foreignLoad) active(t float64) bool { return t >= s.At && (t < s.Until || s.Until == 0) }

// foreignRequest sends one request and schedules the next of its stream. They are measured in the servers' utilization, but
// not among the requests of clients.
func (w *World) foreignRequest(e event) {
	s := &w.foreignLoads[e.who]
	if !s.active(e.at) {
		return
	}
	m := &w.machines[s.server]
	work := w.foreignChance.ExpFloat64()
	w.events.push(event{e.at + w.gap(w.foreignChance, s.rate), onForeign, e.who})
	if m.dead {
		return
	}
	took, refused := m.serve(e.at, work*w.s.ServiceMS/1000, w.s)
	if s.Uncounted && !refused {
		m.accepted--
	}
	if w.policy.scope() == perRequest {
		m.inService++
		w.events.push(event{e.at + took, onDone, int32(s.server)})
	}
}
