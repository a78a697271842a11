// Package steer decides which servers of a service a client is given. It is the pure core of farm: no I/O, no clock, no
// goroutine, no lock, no global state. Records come in, an immutable [Snapshot] is built from them, and [Decide] answers
// a [Query] from it. Time is a number (milliseconds on a clock of the caller's choice, the same for every argument),
// and so is chance; whoever repeats both gets the same [Pick].
package steer

import (
	"net/netip"
)

// Policy names the rule by which a service's servers are chosen.
type Policy string

// The policies.
const (
	// Predict gives the servers whose utilisation will be least, by what they report and what was answered since.
	Predict Policy = "predict"
	// Headroom gives each server a share in proportion to capacity times free utilisation.
	Headroom Policy = "headroom"
	// Weighted gives each server a share in proportion to its declared weight.
	Weighted Policy = "weighted"
	// RoundRobin gives each server the same share, one after the other.
	RoundRobin Policy = "roundrobin"
	// Sticky gives a client the same server while that server has room: rendezvous hashing with bounded load.
	Sticky Policy = "sticky"
	// First gives every client the first server, and the next one only as the first fills or fails.
	First Policy = "first"
)

// Policies lists every policy, the default first.
var Policies = []Policy{Predict, Headroom, Weighted, RoundRobin, Sticky, First}

// Service is what an operator says of a service. A field that is nil or empty is absent, and [Defaults] stand in for it;
// 0 is 0. Answers and Hard are absent when they are 0, which no service can mean.
// The JSON form is a field of the services hash in the services database (docs/redis.md).
type Service struct {
	Name      string   `json:"-"`                    // lower-case FQDN: www.example.org., *.example.org., _http._tcp.example.org.
	Policy    Policy   `json:"policy,omitempty"`     // how servers are chosen
	Answers   int      `json:"answers,omitempty"`    // addresses in an answer, 1 to MaxAnswers
	TTL       *uint32  `json:"ttl,omitempty"`        // seconds; what an answer carries while servers change
	MaxTTL    *uint32  `json:"max_ttl,omitempty"`    // seconds; what it carries while nothing changes; at least TTL
	Soft      *float64 `json:"soft,omitempty"`       // utilisation above which a server is given to fewer clients
	Hard      float64  `json:"hard,omitempty"`       // utilisation from which a server is given to nobody
	SlowStart *float64 `json:"slow_start,omitempty"` // seconds in which a joining server comes up to its full share; 0 is at once
	Drain     *float64 `json:"drain,omitempty"`      // seconds in which a draining server goes down to nothing; 0 is at once
	Failback  *float64 `json:"failback,omitempty"`   // seconds for which one that comes back leaves its clients to others; or ByHand
	Fallback  []string `json:"fallback,omitempty"`   // names to answer with when there is no server left
	ALPN      []string `json:"alpn,omitempty"`       // protocols for HTTPS and SVCB records
	Flatten   *bool    `json:"flatten,omitempty"`    // whether names are answered as the addresses they have, not as a CNAME
	Levels    []Level  `json:"levels,omitempty"`     // levels of service, by rank
}

// Limits of what a record may say. They bound what the replica keeps and what an answer carries.
const (
	MaxAnswers   = 8      // addresses in one answer
	MaxAddresses = 8      // addresses of one server
	MaxTTL       = 86_400 // seconds
	MaxWeight    = 65_535 // declared weight
	MaxLease     = 86_400 // seconds
	MaxRate      = 1e12   // requests a second
	MaxRamp      = 86_400 // seconds of slow start, drain or failback
)

// Settings are the numbers of a service as decisions use them: every one filled in.
type Settings struct {
	Answers          int // 0 is as the policy says
	TTL, MaxTTL      uint32
	Soft, Hard       float64
	SlowStart, Drain float64
	Failback         float64
}

// ByHand is a failback that waits for an operator.
const ByHand = -1

// Defaults are the settings of a service of which nothing is said. Its policy is the first of Policies.
var Defaults = Settings{
	TTL:    20, // steering pays from 10 s up; resolvers that clamp do so at 30
	MaxTTL: 20,
	Soft:   0.9,
	Hard:   1.0,
	// A cold server runs at about a third of its speed for its first minute.
	SlowStart: 60,
	Drain:     30,
}

// Server is what is known of a server that its reports do not change. The JSON form is a field of a service's servers
// hash in the services database.
type Server struct {
	ID        string       `json:"-"`                   // one label of letters, digits and hyphens, lower case
	Addresses []netip.Addr `json:"addresses,omitempty"` // where it serves
	Target    string       `json:"target,omitempty"`    // a name instead of addresses, lower-case FQDN: answered as a CNAME
	Port      uint16       `json:"port,omitempty"`      // for SRV, HTTPS and SVCB; 0 is absent
	Weight    *float64     `json:"weight,omitempty"`    // relative share, 1 if absent; 0: none while another server is open
	Capacity  float64      `json:"capacity,omitempty"`  // requests a second at full utilisation; 0 is absent
	Region    string       `json:"region,omitempty"`    // where it stands
	Priority  uint16       `json:"priority,omitempty"`  // lower is used first
	Soft      *float64     `json:"soft,omitempty"`      // overrides the service's
	Hard      float64      `json:"hard,omitempty"`      // overrides the service's; 0 is absent
	Classes   []string     `json:"classes,omitempty"`   // what levels ask for: the names of what it can do
}

// AdminState is what an operator wants of a server, apart from how the server fares.
type AdminState string

// The administrative states.
const (
	Ready AdminState = "ready" // serves
	Drain AdminState = "drain" // gets fewer clients, then none
	Maint AdminState = "maint" // gets nobody, whatever else has failed
)

// Admin is an operator's word on a server.
type Admin struct {
	State AdminState `json:"state"`
	Since int64      `json:"-"` // ms; when the state was set
}

// Health is what a server, or those that probe it, say of its life.
type Health string

// The health states. The empty string is Up: a report that does not speak of health comes from a living server.
const (
	Up       Health = "up"
	Degraded Health = "degraded" // serves, worse than it should: half the share
	Down     Health = "down"     // does not serve
)

// Report is what a server's agent says of the server now. Absent numbers are negative.
type Report struct {
	Utilization float64 // of its scarcest resource; 1 is full, more is possible
	RPS         float64 // requests a second
	EPS         float64 // errors a second
	InFlight    float64 // requests, or connections, being served
	Latency     float64 // seconds a request
	Health      Health
	Reason      string  // why it is not up; for people
	Lease       float64 // seconds for which the report stands for the server's life
}

// NoReport is a report that says nothing.
var NoReport = Report{Utilization: -1, RPS: -1, EPS: -1, InFlight: -1, Latency: -1}
