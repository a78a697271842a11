package steer

import "net/netip"

// meet adds, where servers of several services are the same machine, what the others' answers will bring it to what
// each expects. Servers are the same if their ID and an address are.
func (l *Learned) meet() {
	l.machines.find(l.open)
	for _, parts := range l.machines.shared {
		sum := 0.0
		for _, p := range parts {
			sum += *p.pending() / p.capacity()
		}
		for _, p := range parts {
			*p.pending() = sum * p.capacity()
		}
	}
}

// machines are the servers that stand in several services. Most farms have none, and servers seldom come or go: only then
// are they looked for.
type machines struct {
	in     []lookedAt // in the order of the services
	shared [][]machinePart
}

// lookedAt is a service, and the servers that it had.
type lookedAt struct {
	work    *work
	servers []*Server
}

// machinePart is a service's server on a machine.
type machinePart struct {
	work   *work
	server int
}

func (p machinePart) pending() *float64 { return &p.work.pend[p.work.farm.forecast.place[p.server]] }
func (p machinePart) capacity() float64 { return p.work.farm.State[p.server].Capacity }

// find looks for machines, unless the services have the servers that they had.
func (m *machines) find(open []*work) {
	if m.stand(open) {
		return
	}
	m.in, m.shared = m.in[:0], nil
	for _, w := range open {
		m.in = append(m.in, lookedAt{w, w.farm.Servers})
	}
	if len(open) < 2 {
		return
	}
	all := make(map[identity]*[]machinePart)
	var found []*[]machinePart
	for _, w := range open {
		for i, s := range w.farm.Servers {
			parts := machineOf(all, s)
			if len(*parts) == 0 {
				found = append(found, parts)
			}
			*parts = append(*parts, machinePart{w, i})
		}
	}
	for _, parts := range found {
		if len(*parts) > 1 {
			m.shared = append(m.shared, *parts)
		}
	}
}

// stand says whether nothing has changed since machines were looked for. Generations with the same servers share their list.
func (m *machines) stand(open []*work) bool {
	if len(m.in) != len(open) {
		return false
	}
	for i, w := range open {
		was, is := m.in[i].servers, w.farm.Servers
		if m.in[i].work != w || len(was) != len(is) || len(is) > 0 && &was[0] != &is[0] {
			return false
		}
	}
	return true
}

// identity is what makes a server a machine.
type identity struct {
	id   string
	addr netip.Addr
}

// machineOf returns the machine that a server is.
func machineOf(all map[identity]*[]machinePart, s *Server) *[]machinePart {
	var parts *[]machinePart
	for _, a := range s.Addresses {
		if parts = all[identity{s.ID, a}]; parts != nil {
			break
		}
	}
	if parts == nil {
		parts = new([]machinePart)
	}
	for _, a := range s.Addresses {
		all[identity{s.ID, a}] = parts
	}
	return parts
}
