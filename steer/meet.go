package steer

import "net/netip"

// meet adds, where servers of several services are the same machine, what the others' answers will bring it to what
// each expects. Servers are the same if their ID and an address are.
func (l *Learned) meet() {
	if len(l.open) < 2 {
		return
	}
	m := machines{sums: make(map[identity]*float64)}
	for _, w := range l.open {
		for i, s := range w.farm.Servers {
			m.add(w, i, s)
		}
	}
	for _, p := range m.parts {
		p.work.pend[p.place] = *p.sum * p.capacity
	}
}

// identity is what makes a server a machine.
type identity struct {
	id   string
	addr netip.Addr
}

type machines struct {
	sums  map[identity]*float64 // utilisation pending for a machine
	parts []machinePart
}

// machinePart is a service's server on a machine.
type machinePart struct {
	work     *work
	place    int32
	capacity float64
	sum      *float64
}

func (m *machines) add(w *work, i int, s *Server) {
	p := machinePart{work: w, place: w.farm.forecast.place[i], capacity: w.farm.State[i].Capacity}
	for _, a := range s.Addresses {
		if p.sum = m.sums[identity{s.ID, a}]; p.sum != nil {
			break
		}
	}
	if p.sum == nil {
		p.sum = new(float64)
	}
	for _, a := range s.Addresses {
		m.sums[identity{s.ID, a}] = p.sum
	}
	*p.sum += w.pend[p.place] / p.capacity
	m.parts = append(m.parts, p)
}
