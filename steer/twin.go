package steer

import (
	"net/netip"
	"slices"
)

// findTwins finds servers that are at the same addresses: they differ in their ports, of which an address record says nothing.
func (f *Farm) findTwins() {
	first := make(map[netip.Addr]int32, len(f.Servers)) // by a server's least address
	twins := make([]int32, len(f.Servers))
	found := false
	for i, s := range f.Servers {
		twins[i] = int32(i)
		if len(s.Addresses) == 0 {
			continue
		}
		key := slices.MinFunc(s.Addresses, netip.Addr.Compare)
		if j, ok := first[key]; !ok {
			first[key] = int32(i)
		} else if SameHost(f.Servers[j], s) {
			twins[i], found = j, true
		}
	}
	if found {
		f.twins = twins
	}
}

// SameHost reports whether two servers are at the same place: at the same addresses in any order, or the same name.
func SameHost(a, b *Server) bool {
	has := func(x netip.Addr) bool { return slices.Contains(b.Addresses, x) }
	return a.Target == b.Target && len(a.Addresses) == len(b.Addresses) &&
		!slices.ContainsFunc(a.Addresses, func(x netip.Addr) bool { return !has(x) })
}

// enoughPorts are as many ports as it takes to know that they differ, a default port among them.
const enoughPorts = 3

func (f *Farm) notePort(port uint16) {
	if len(f.ports) < enoughPorts && !slices.Contains(f.ports, port) {
		f.ports = append(f.ports, port)
	}
}

// Ports returns the distinct ports of the servers, 0 for one that is not said; of many, some.
func (f *Farm) Ports() []uint16 { return f.ports }
