package steer

import (
	"slices"
	"strings"
)

// Snapshot is one immutable generation of all that a decision needs. Snapshots of the same names share their directory;
// With makes the next generation in O(services) pointers, however many servers there are.
type Snapshot struct {
	Serial uint32 // for the SOA: grows when services or servers come, go or are edited
	Stale  bool   // whether the services database is out of reach, or does not hold what this was built from
	Since  int64  // ms; when it became stale
	Unread bool   // whether part of the services database was never read: what is not here may be there

	Regions *Regions
	dir     *directory
	farms   []*Farm
}

// directory finds services by name. Keys are lower-case FQDNs.
type directory struct {
	exact    map[string]int32   // service, or "*." service by its full name
	hosts    map[string][]int32 // the name that server names of a service hang under -> services
	inner    map[string]struct{}
	above    map[string]struct{} // the names one label above services
	wildcard bool                // whether any service is a wildcard
}

// NewSnapshot makes a snapshot of farms with distinct service names.
func NewSnapshot(farms []*Farm, regions *Regions) *Snapshot {
	d := &directory{
		exact: make(map[string]int32, len(farms)),
		hosts: make(map[string][]int32, len(farms)),
		inner: make(map[string]struct{}),
		above: make(map[string]struct{}),
	}
	for i, f := range farms {
		d.add(f.Service.Name, int32(i))
	}
	d.sortHosts(farms)
	return &Snapshot{Regions: regions, dir: d, farms: slices.Clone(farms)}
}

func (d *directory) add(name string, i int32) {
	d.exact[name] = i
	d.above[parent(name)] = struct{}{}
	base := HostBase(name)
	d.hosts[base] = append(d.hosts[base], i)
	d.wildcard = d.wildcard || strings.HasPrefix(name, "*.")
	for up := parent(name); up != ""; up = parent(up) {
		d.inner[up] = struct{}{}
	}
	if base != name {
		d.inner[base] = struct{}{}
	}
}

// With returns the next generation, in which each given farm replaces the one of its service. Every given service must
// be in s.
func (s *Snapshot) With(changed ...*Farm) *Snapshot {
	next := *s
	next.farms = slices.Clone(s.farms)
	for _, f := range changed {
		next.farms[s.dir.exact[f.Service.Name]] = f
	}
	return &next
}

// Farms returns the farms, for reading only.
func (s *Snapshot) Farms() []*Farm { return s.farms }

// Farm returns the farm of exactly this service, or nil.
func (s *Snapshot) Farm(service string) *Farm {
	if i, ok := s.dir.exact[service]; ok {
		return s.farms[i]
	}
	return nil
}

// Match says what a name is in a snapshot.
type Match uint8

// What a name can be.
const (
	NoMatch         Match = iota // nothing stands at it or below it
	ServiceMatch                 // a service, or a name that a wildcard service covers
	ServerMatch                  // the name of one server of a service
	InnerMatch                   // nothing at it, but something below it: an empty non-terminal
	NameServerMatch              // the name of a name server of the zone; of FindIn alone
)

// Find says what a lower-case FQDN is. For ServiceMatch it returns the farm, for ServerMatch the farm and the server's
// index in it. It allocates nothing.
func (s *Snapshot) Find(name string) (Match, *Farm, int) {
	d := s.dir
	if i, ok := d.exact[name]; ok {
		return ServiceMatch, s.farms[i], -1
	}
	if f, server := s.findServer(name); f != nil {
		return ServerMatch, f, server
	}
	if _, ok := d.inner[name]; ok {
		return InnerMatch, nil, -1
	}
	if f := s.findWildcard(name); f != nil {
		return ServiceMatch, f, -1
	}
	return NoMatch, nil, -1
}

// findServer finds the server with a name. Where several services have one of that id, one with addresses comes first: records
// point to the names of these alone.
func (s *Snapshot) findServer(name string) (found *Farm, server int) {
	id, base := CutLabel(name)
	server = -1
	for _, i := range s.dir.hosts[base] {
		f := s.farms[i]
		j := f.ByID(id)
		if j >= 0 && f.Servers[j].Target == "" {
			return f, j
		}
		if j >= 0 && found == nil {
			found, server = f, j
		}
	}
	return found, server
}

// findWildcard follows RFC 4592 section 3.3: the wildcard of the closest encloser, and no other, speaks for a name.
func (s *Snapshot) findWildcard(name string) *Farm {
	if !s.dir.wildcard {
		return nil
	}
	for up := parent(name); up != ""; up = parent(up) {
		if s.exists(up) {
			return s.wildcardOf(up)
		}
	}
	return nil
}

// exists reports whether anything stands at a name or below it, apart from what a wildcard covers.
func (s *Snapshot) exists(name string) bool {
	if _, ok := s.dir.inner[name]; ok {
		return true
	}
	if _, ok := s.dir.exact[name]; ok {
		return true
	}
	f, _ := s.findServer(name)
	return f != nil
}

// wildcardOf returns the farm of "*."+name, or nil.
func (s *Snapshot) wildcardOf(name string) *Farm {
	var buf [260]byte
	key := append(append(buf[:0], '*', '.'), name...)
	if i, ok := s.dir.exact[string(key)]; ok {
		return s.farms[i]
	}
	return nil
}

// Services returns the names of the services, sorted.
func (s *Snapshot) Services() []string {
	names := make([]string, len(s.farms))
	for i, f := range s.farms {
		names[i] = f.Service.Name
	}
	slices.Sort(names)
	return names
}

// HostBase returns the name under which the names of a service's servers stand: the service's own without its leading
// underscore labels and without its "*" label, so that server names are host names.
func HostBase(service string) string {
	for strings.HasPrefix(service, "_") || strings.HasPrefix(service, "*.") {
		service = parent(service)
	}
	return service
}
