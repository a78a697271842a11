package steer

// AliasLoop returns the names that a lookup of a service may go round in, the first one again at the end; nil if there is no
// loop. Services that are each other's fallbacks, and nothing else, are none: while one has a server, both are answered.
func (s *Snapshot) AliasLoop(service string) []string {
	f := s.Farm(service)
	if f == nil {
		return nil
	}
	l := &loopSearch{snapshot: s, home: service, seen: make(map[loopStep]bool)}
	if l.from(f, false) {
		return append([]string{service}, l.path...)
	}
	return nil
}

// loopSearch is a search for a way from a service back to it.
type loopSearch struct {
	snapshot *Snapshot
	home     string
	seen     map[loopStep]bool
	path     []string
}

// loopStep is a place that the search has been at, and whether a server's name led there, and not fallbacks alone.
type loopStep struct {
	name     string
	byServer bool
}

// from follows all the names that a service may be answered with.
func (l *loopSearch) from(f *Farm, byServer bool) bool {
	for _, s := range f.Servers {
		if s.Target != "" && l.to(s.Target, true) {
			return true
		}
	}
	for _, name := range f.Service.Fallback {
		if l.to(name, byServer) {
			return true
		}
	}
	return false
}

// to goes on at a name. At the way's end the path holds it.
func (l *loopSearch) to(name string, byServer bool) bool {
	step := loopStep{name, byServer}
	if l.seen[step] {
		return false
	}
	l.seen[step] = true
	l.path = append(l.path, name)
	match, f, server := l.snapshot.Find(name)
	switch {
	case match == ServiceMatch && f.Service.Name == l.home && byServer:
		return true
	case match == ServiceMatch && f.Service.Name != l.home && l.from(f, byServer):
		return true
	case match == ServerMatch && f.Servers[server].Target != "" && l.to(f.Servers[server].Target, true):
		return true
	}
	l.path = l.path[:len(l.path)-1]
	return false
}
