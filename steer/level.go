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
