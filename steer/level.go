package steer

import (
	"cmp"
	"slices"
)

// Level is a level of service: what a server must keep free for its clients, and what the network must guarantee them.
// Best effort is what everybody gets, and no Level. A zero field is not said.
type Level struct {
	Name string `json:"name"` // a label: lower-case letters, digits and inner hyphens, at most 32
	Rank uint8  `json:"rank"` // 1 or more, distinct in a service; higher is better

	// What a server does for the level.
	Ceiling float64  `json:"ceiling,omitempty"` // utilisation from which a server takes none of its clients; 0 is the hard limit
	Unit    float64  `json:"unit,omitempty"`    // part of a server that one grant reserves, 0 to 1
	Share   float64  `json:"share,omitempty"`   // part of a server that its grants may take together; 0 is all of it
	Keep    float64  `json:"keep,omitempty"`    // part of a server that is kept free of lower levels and best effort
	Classes []string `json:"classes,omitempty"` // classes of servers that may serve it; none is every server

	// What the network does between client and server.
	Up      uint32 `json:"up,omitempty"`      // kbit/s from the client
	Down    uint32 `json:"down,omitempty"`    // kbit/s to the client
	Delay   uint16 `json:"delay,omitempty"`   // ms
	Jitter  uint16 `json:"jitter,omitempty"`  // ms
	Loss    uint8  `json:"loss,omitempty"`    // 10^-Loss at most
	DSCP    uint8  `json:"dscp,omitempty"`    // RFC 2474
	Profile string `json:"profile,omitempty"` // name of a CAMARA QoS profile
	Element string `json:"element,omitempty"` // name of the element that grants it; empty is the broker's only one

	Requires Requires `json:"requires,omitempty"` // what of it a client must have for a grant to stand
	Duration uint32   `json:"duration,omitempty"` // s of a grant; 0 is DefaultDuration
	Handle   bool     `json:"handle,omitempty"`   // whether a subnet alone entitles nobody to it
	Refuse   bool     `json:"refuse,omitempty"`   // whether who is not entitled to it, and asks for it, is refused
}

// Requires says what of a level must be granted.
type Requires string

// What a level can require. The empty one is RequiresNone: what can be granted is, and the address is worth having in
// any case.
const (
	RequiresNone    Requires = "none"
	RequiresServer  Requires = "server"
	RequiresNetwork Requires = "network"
	RequiresBoth    Requires = "both"
)

// Limits and defaults of levels.
const (
	MaxLevels       = 16 // of a service
	MaxClasses      = 8  // of a server, or of a level
	DefaultDuration = 300
)

// OnServer reports whether a grant of the level reserves a part of a server.
func (l *Level) OnServer() bool { return l.Unit > 0 }

// OnNetwork reports whether an element has to grant the level.
func (l *Level) OnNetwork() bool {
	return l.Up > 0 || l.Down > 0 || l.Delay > 0 || l.DSCP > 0 || l.Profile != ""
}

// Needs reports whether part, RequiresServer or RequiresNetwork, must be granted.
func (l *Level) Needs(part Requires) bool { return l.Requires == part || l.Requires == RequiresBoth }

// Seconds is how long a grant of the level stands.
func (l *Level) Seconds() uint32 { return cmp.Or(l.Duration, DefaultDuration) }

// Level returns the service's level of that name, or nil.
func (s *Service) Level(name string) *Level {
	i := slices.IndexFunc(s.Levels, func(l Level) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Levels[i]
}

// LevelAt returns the best level whose rank is at most rank, or nil.
func (s *Service) LevelAt(rank uint8) *Level {
	var best *Level
	for i := range s.Levels {
		if l := &s.Levels[i]; l.Rank <= rank && (best == nil || l.Rank > best.Rank) {
			best = l
		}
	}
	return best
}

// takes reports whether a server is of a class that may serve the level.
func (l *Level) takes(s *Server) bool {
	if len(l.Classes) == 0 {
		return true
	}
	return slices.ContainsFunc(l.Classes, func(c string) bool { return slices.Contains(s.Classes, c) })
}

// gate is the truth table of what a level asks of a server beyond what everybody does. What stands against a server for
// everybody is named first.
func (l *Level) gate(m *Member, g Gate) Gate {
	switch {
	case g != Open:
		return g
	case !l.takes(m.Server):
		return Unfit
	case l.OnServer() && l.Needs(RequiresServer) && !l.fits(m):
		return Taken
	}
	return Open
}

// rounding is less than what is reckoned in (millionths), and more than what adding floats is wrong by.
const rounding = 1e-7

// fits reports whether one more grant of the level has room on a server. It goes by what this replica has heard; who
// reserves decides.
func (l *Level) fits(m *Member) bool {
	share := l.Share
	if share == 0 {
		share = 1
	}
	return m.used("")+l.Unit <= 1+rounding && m.used(l.Name)+l.Unit <= share+rounding
}

// used is what grants of a level have reserved of a server; of the level without a name, all grants.
func (m *Member) used(level string) (part float64) {
	for i := range m.Used {
		if level == "" || m.Used[i].Level == level {
			part += m.Used[i].Part
		}
	}
	return part
}

// kept is the part of a server that must stay free of the farm's clients: what the levels above them keep, as far as their
// grants have not reserved it. What is reserved shows in the utilisation once it is used.
func (f *Farm) kept(m *Member) (part float64) {
	for i := range f.Service.Levels {
		l := &f.Service.Levels[i]
		if l.Keep > 0 && l.Rank > f.rank() && l.takes(m.Server) {
			part += max(l.Keep-m.used(l.Name), 0)
		}
	}
	return part
}

// rank is that of the farm's clients, 0 for best effort.
func (f *Farm) rank() uint8 {
	if f.level == nil {
		return 0
	}
	return f.level.Rank
}

// buildLevels builds the farm as the clients of each level see it. Servers, what is learned of them and the turns are the
// same for all.
func (f *Farm) buildLevels(members []Member, in Input) {
	for i := range f.Service.Levels {
		g := *f
		g.level, g.levels = &f.Service.Levels[i], nil
		g.State = slices.Clone(f.State)
		g.gate(members, in.Now)
		g.weigh()
		g.buildViews(in.Regions)
		if g.forecast != nil {
			g.prepare()
		}
		f.Next = g.Next // the same, or earlier: a level may see other tiers
		f.levels = append(f.levels, &g)
	}
	slices.SortFunc(f.levels, func(a, b *Farm) int { return cmp.Compare(a.rank(), b.rank()) })
}

// seenBy returns the farm as a query's client sees it: at the best level that it may have and that servers are open for;
// else as best effort does.
func (f *Farm) seenBy(q *Query) *Farm {
	for i := len(f.levels) - 1; i >= 0; i-- {
		if g := f.levels[i]; g.rank() <= q.Level && g.view(q.Region).rung == Normal {
			return g
		}
	}
	return f
}

// At returns the farm as the clients of its level of that name see it, whether they are given servers of it or of a lower
// level; nil if it has no such level. It is for whoever explains.
func (f *Farm) At(level string) *Farm {
	i := slices.IndexFunc(f.levels, func(g *Farm) bool { return g.level.Name == level })
	if i < 0 {
		return nil
	}
	return f.levels[i]
}

// honours reports whether a client that was granted a server is to be kept there: until the server is taken out, drained or
// dead. One that is full has reserved what was granted.
func (f *Farm) honours(q *Query) bool {
	if q.Granted <= 0 || int(q.Granted) > len(f.State) {
		return false
	}
	g := f.State[q.Granted-1].Gate
	return g == Open || g == Full || g == Standby
}

// keepGranted gives the client the server that it was granted.
func (f *Farm) keepGranted(q *Query, p *Pick) {
	p.By, p.Personal, p.Level = ByGrant, true, q.Level
	if f.State[q.Granted-1].Family&q.Family != 0 {
		p.add(q.Granted - 1)
	}
}
