package steer

import (
	"cmp"
	"slices"
	"strings"
)

// HostName returns the name of one server of a service, to which SRV records point.
func HostName(service, id string) string {
	if base := HostBase(service); base != "." {
		return id + "." + base
	}
	return id + "."
}

// sortHosts puts the services whose servers' names stand under one name in the order in which they have these names. Those with a
// type come first, for only SRV needs the names (_grpc._tcp.api before api), wildcards last.
func (d *directory) sortHosts(farms []*Farm) {
	rank := func(name string) int {
		switch {
		case strings.HasPrefix(name, "_"):
			return 0
		case strings.HasPrefix(name, "*."):
			return 2
		}
		return 1
	}
	for _, list := range d.hosts {
		slices.SortFunc(list, func(a, b int32) int {
			x, y := farms[a].Service.Name, farms[b].Service.Name
			return cmp.Or(cmp.Compare(rank(x), rank(y)), strings.Compare(x, y))
		})
	}
}

// HostRival returns another service that has the name of a service's server for other addresses, empty if none has: one that has
// a server of that id under the same name, or is called so itself. The service need not be in the snapshot.
func (s *Snapshot) HostRival(service string, server *Server) string {
	if server.Target != "" {
		return "" // nothing points to its name
	}
	name := HostName(service, server.ID)
	if f := s.Farm(name); f != nil && !f.isHost(server) {
		return name
	}
	for _, i := range s.dir.hosts[HostBase(service)] {
		f := s.farms[i]
		j := f.ByID(server.ID)
		if j >= 0 && f.Service.Name != service && f.Servers[j].Target == "" && !SameHost(f.Servers[j], server) {
			return f.Service.Name
		}
	}
	return ""
}

// HostKeeper returns the service whose addresses the name of a service's server is answered with; empty if they are the server's.
func (s *Snapshot) HostKeeper(service string, server *Server) string {
	return s.keeperOf(HostName(service, server.ID), service, server)
}

// isHost reports whether a service has the same addresses as one server.
func (f *Farm) isHost(server *Server) bool {
	return len(f.Servers) == 1 && SameHost(f.Servers[0], server)
}

// keeperOf returns the service whose addresses the name of a service's server is answered with; empty if they are the server's.
func (s *Snapshot) keeperOf(name, service string, server *Server) string {
	if server.Target != "" {
		return ""
	}
	if f := s.Farm(name); f != nil {
		if f.isHost(server) {
			return ""
		}
		return name
	}
	f, i := s.findServer(name)
	if f == nil || f.Service.Name == service || SameHost(f.Servers[i], server) {
		return ""
	}
	return f.Service.Name
}

// IsHost reports whether a name is answered with the addresses of a service's server.
func (s *Snapshot) IsHost(name, service string, server *Server) bool {
	return s.keeperOf(name, service, server) == ""
}

// HostConflict is a server whose name is answered with the addresses of another one.
type HostConflict struct {
	Service, Server string
	Keeper          string // the service that has the name
}

// HostConflicts lists the servers whose names are answered with the addresses of others, at most so many.
func (s *Snapshot) HostConflicts(most int) (list []HostConflict) {
	for _, f := range s.farms {
		if !s.sharesHosts(f) {
			continue
		}
		for _, server := range f.Servers {
			keeper := s.HostKeeper(f.Service.Name, server)
			if keeper != "" && len(list) < most {
				list = append(list, HostConflict{f.Service.Name, server.ID, keeper})
			}
		}
	}
	return list
}

// sharesHosts reports whether a service's servers can be in conflict: whether another service has the name that theirs stand
// under, or any stands one label below it.
func (s *Snapshot) sharesHosts(f *Farm) bool {
	base := HostBase(f.Service.Name)
	_, above := s.dir.above[base]
	return above || len(s.dir.hosts[base]) > 1
}
