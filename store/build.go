package store

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// Base is what stands in the Corefile: the services of its zones, which Redis adds to and overrides. A View keeps it; do
// not change it afterwards.
type Base struct {
	Zones    []string                  // lower-case FQDNs; services outside are left out; none is every zone
	Services []steer.Service           // with distinct names
	Servers  map[string][]steer.Server // by service; ids distinct in each
	Regions  *steer.Regions            // may be nil
	Indexed  bool                      // whether Farm.ByAddress will be asked
	Default  steer.Service             // for what neither Redis nor the Corefile says of a service
	Defaults map[string]steer.Service  // by zone: what holds in the place of Default there; several blocks have several
	Block    Block                     // for the node record alone
}

// board is a Base made ready to be asked by name.
type board struct {
	Base
	zones   map[string]struct{}
	specs   map[string]*steer.Service
	servers map[string]map[string]*steer.Server
}

func newBoard(b Base) *board {
	g := &board{
		Base: b, zones: make(map[string]struct{}, len(b.Zones)), specs: make(map[string]*steer.Service),
		servers: make(map[string]map[string]*steer.Server),
	}
	for _, zone := range b.Zones {
		g.zones[zone] = struct{}{}
	}
	for i := range b.Services {
		g.specs[b.Services[i].Name] = &b.Services[i]
	}
	for name, list := range b.Servers {
		if g.specs[name] == nil {
			g.specs[name] = &steer.Service{Name: name}
		}
		byID := make(map[string]*steer.Server, len(list))
		for i := range list {
			byID[list[i].ID] = &list[i]
		}
		g.servers[name] = byID
	}
	return g
}

// covers says whether a service lies in the board's zones.
func (g *board) covers(name string) bool {
	_, ok := zoneIn(g.zones, name)
	return ok || len(g.zones) == 0
}

// zoneIn returns what stands for the zone of a service, the most specific one. It costs a look a label.
func zoneIn[T any](zones map[string]T, service string) (of T, ok bool) {
	for name := strings.TrimPrefix(service, "*."); name != ""; {
		if of, ok = zones[name]; ok {
			return of, true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	of, ok = zones["."]
	return of, ok
}

// has says whether the service is to be published: the Corefile or Redis says something of it, or it has servers.
func (g *board) has(name string, s *service) bool {
	if g.specs[name] != nil {
		return true
	}
	return s != nil && g.covers(name) && (s.spec != nil || len(s.registered()) > 0 || g.Indexed && s.anyGone())
}

// anyGone reports whether the service had servers that left and took their records along.
func (s *service) anyGone() bool {
	for _, v := range s.servers {
		if v.isGone() {
			return true
		}
	}
	return false
}

// isGone reports whether the server left and took its record along.
func (v *server) isGone() bool { return v.rec == nil && v.hasLeft() && v.admin.left.server != nil }

// gone adds, where somebody else answers, the servers that left and took their records along: their addresses may still be in
// the answers. An address that another server has by now is that one's.
func (g *board) gone(s *service, static map[string]*steer.Server, members []steer.Member) []steer.Member {
	if !g.Indexed {
		return members
	}
	taken := make(map[netip.Addr]bool)
	for _, m := range members {
		for _, a := range m.Server.Addresses {
			taken[a.Unmap()] = true
		}
	}
	for id, v := range s.servers {
		if v.isGone() && static[id] == nil && !slices.ContainsFunc(v.admin.left.server.Addresses, func(a netip.Addr) bool { return taken[a] }) {
			members = append(members, steer.Member{Server: v.admin.left.server, Report: steer.NoReport, Left: true})
		}
	}
	return members
}

// names lists every service to be published.
func (g *board) names(r *replica) []string {
	names := slices.Collect(maps.Keys(g.specs))
	for _, sh := range r.shards {
		for name, s := range sh.services {
			if g.specs[name] == nil && g.has(name, s) {
				names = append(names, name)
			}
		}
	}
	return names
}

// input collects what a farm is built from, on the running clock. It returns false if there is no such service.
// next is when what probers say will change by time alone, 0 for never. The members are appended to the given ones.
func (g *board) input(r *replica, name string, now int64, members []steer.Member) (in steer.Input, next int64, ok bool) {
	sh := r.shards[Shard(name)]
	s := sh.services[name]
	if !g.has(name, s) {
		return steer.Input{Members: members}, 0, false
	}
	in = steer.Input{Members: members, Service: g.service(name, s), Regions: g.Regions, Now: now, Indexed: g.Indexed}
	life := sh.clock.at(now)
	static := g.servers[name]
	for id, rec := range static {
		var v *server
		if s != nil {
			v = s.servers[id]
		}
		m := member(rec, v, true, now, life, &next)
		m.Used = s.used(id)
		in.Members = append(in.Members, m)
	}
	if s == nil {
		return in, next, true
	}
	in.Members = slices.Grow(in.Members, len(s.registered()))
	for _, v := range s.registered() {
		if static[v.rec.ID] == nil {
			m := member(nil, v, false, now, life, &next)
			m.Used = s.used(v.rec.ID)
			in.Members = append(in.Members, m)
		}
	}
	in.Members = g.gone(s, static, in.Members)
	return in, next, true
}

// member makes one server's member. static is its record in the Corefile, if any; v what Redis says of it, if anything.
func member(static *steer.Server, v *server, known bool, now, life int64, next *int64) steer.Member {
	m := steer.Member{Server: static, Report: steer.NoReport}
	if v == nil {
		return m
	}
	if v.rec != nil {
		m.Server = v.rec
	}
	shift := now - life
	m.Admin = steer.Admin{State: v.admin.wanted(), Since: v.admin.since + shift}
	m.Left = v.hasLeft()
	if back := v.backSince(life); back > 0 {
		m.Back = back + shift
	}
	m.Measured = v.measured
	if v.joined > 0 && !(known && v.isNew) { // one that the Corefile knew served before its agent came
		m.Joined = v.joined + shift
	}
	if v.own != nil {
		m.Report, m.Reported, m.LeaseEnd = v.own.Report, true, v.own.end+shift
	}
	if len(v.probes) > 0 {
		v.quorum(&m, life, shift, next)
	}
	return m
}

// quorum adds what probers say: the server is down when more than half of those that are alive say so. When all of them
// have fallen silent, nobody has said anything.
func (v *server) quorum(m *steer.Member, life, shift int64, next *int64) {
	var voters, down int
	var end int64
	var reason string
	for _, w := range v.probes {
		if life >= w.end {
			continue
		}
		voters++
		end = max(end, w.end)
		if at := w.end + shift; *next == 0 || at < *next {
			*next = at
		}
		if w.Health == steer.Down {
			down++
			reason = w.Reason
		}
	}
	if voters == 0 {
		return
	}
	if !m.Reported {
		m.Reported, m.LeaseEnd = true, end+shift
	}
	if 2*down > voters {
		m.Report.Health, m.Report.Reason = steer.Down, reason
	}
}

// backSince is since when the server is well again, on the life clock; 0 is always. An operator who had it ready since then
// wants it to be used.
func (v *server) backSince(life int64) int64 {
	back := v.probedSince(life)
	if v.own != nil {
		back = max(back, v.own.well)
	}
	if v.admin.state == steer.Ready && v.admin.byOperator() && v.admin.since >= back {
		return 0
	}
	return back
}

// probedSince is since when no majority of the probers says that the server is down; 0 is always. Those that are alive count,
// and those that said so with their last breath.
func (v *server) probedSince(life int64) int64 {
	var room [maxProbers]int64
	flips := room[:0]
	for _, w := range v.probes {
		switch {
		case w.Health == steer.Down:
			flips = append(flips, min(w.end, life))
		case life < w.end:
			flips = append(flips, w.well)
		}
	}
	if len(flips) == 0 {
		return 0
	}
	slices.SortFunc(flips, func(a, b int64) int { return cmp.Compare(b, a) })
	return flips[len(flips)/2]
}

// service merges what is said of a service: Redis over the Corefile over the defaults, field by field.
func (g *board) service(name string, s *service) steer.Service {
	out := steer.Service{Name: name}
	if s != nil && s.spec != nil {
		out = *s.spec
	}
	if spec := g.specs[name]; spec != nil {
		fill(&out, spec)
	}
	def, ok := zoneIn(g.Defaults, name)
	if !ok {
		def = g.Default
	}
	fill(&out, &def)
	return out
}

// fill fills what is absent in s in from d.
func fill(s, d *steer.Service) {
	s.Policy = cmp.Or(s.Policy, d.Policy)
	s.Answers = cmp.Or(s.Answers, d.Answers)
	fillTTL(s, d)
	s.Soft = cmp.Or(s.Soft, d.Soft)
	s.Hard = cmp.Or(s.Hard, d.Hard)
	s.SlowStart = cmp.Or(s.SlowStart, d.SlowStart)
	s.Drain = cmp.Or(s.Drain, d.Drain)
	s.Failback = cmp.Or(s.Failback, d.Failback)
	if len(s.Fallback) == 0 {
		s.Fallback = d.Fallback
	}
	if len(s.ALPN) == 0 {
		s.ALPN = d.ALPN
	}
	if s.Flatten == nil {
		s.Flatten = d.Flatten
	}
	if len(s.Levels) == 0 {
		s.Levels = d.Levels
	}
}

// fillTTL takes both from d or, where s has a shortest alone, no longest: then the two are one.
func fillTTL(s, d *steer.Service) {
	if s.TTL != nil {
		return
	}
	s.TTL = d.TTL
	s.MaxTTL = cmp.Or(s.MaxTTL, d.MaxTTL, d.TTL)
}
