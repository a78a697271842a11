package world

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Scenario is a farm, those who ask for it, and what happens to it. Times are seconds from the start of the run. The
// YAML form has the same fields; one that is not given is as in [Base].
type Scenario struct {
	Name     string  `yaml:"name"`
	Title    string  `yaml:"title"`
	Duration float64 `yaml:"duration"`
	From     float64 `yaml:"from"` // measured from here on: before, the farm fills and policies learn

	Servers       []ServerGroup `yaml:"servers"`
	UnitCores     int           `yaml:"unit_cores"`     // cores of a server of size 1
	ServiceMS     float64       `yaml:"service_ms"`     // mean time that a request holds a core; exponential
	Undeclared    bool          `yaml:"undeclared"`     // nobody says what servers can bear
	DeclaredError float64       `yaml:"declared_error"` // standard deviation of ln(declared/true capacity)
	Heartbeat     float64       `yaml:"heartbeat"`      // between reports of a server
	Smoothing     float64       `yaml:"smoothing"`      // part of a report that is new: 1 is all
	Joining       bool          `yaml:"joining"`        // servers are new to the services database: they start slowly from their first report on
	Reports       Reports       `yaml:",inline"`        // on their way
	Elsewhere     []Elsewhere   `yaml:"elsewhere"`      // load that does not come through the name server
	ColdSpeed     float64       `yaml:"cold_speed"`     // of a server that just came up, part of its full speed
	WarmUp        float64       `yaml:"warm_up"`        // how long until it has its full speed

	Utilization float64     `yaml:"utilization"` // offered load over capacity
	Load        []LoadPoint `yaml:"load"`        // by which factor that differs over time; none is 1 throughout

	Resolvers   int     `yaml:"resolvers"`     //
	Zipf        float64 `yaml:"zipf"`          // exponent of the loads behind resolvers
	Giant       float64 `yaml:"giant"`         // part of all load behind one resolver; 0 is as Zipf says
	Churn       float64 `yaml:"churn"`         // resolvers a second that hand their clients to one never seen before
	Replicas    int     `yaml:"replicas"`      // name servers
	Affinity    float64 `yaml:"affinity"`      // part of its queries that a resolver sends to its own replica
	TTL         uint32  `yaml:"ttl"`           //
	TTLMix      TTLMix  `yaml:"ttl_mix"`       //
	Obedient    int     `yaml:"obedient"`      // so many of the largest resolvers honour TTLs
	WholeSecond float64 `yaml:"whole_seconds"` // part of the resolvers whose clocks count whole seconds
	FixedOrder  float64 `yaml:"fixed_order"`   // part of the resolvers that do not rotate records: all of their clients take the first address
	Table       int     `yaml:"table"`         // bits of predict's table of resolvers; 0 has room for all
	FirstTaken  float64 `yaml:"first_taken"`   // part of the clients that take the first address; the others take any
	StaleUse    float64 `yaml:"stale_use"`     // part of the sessions that go by the answer before
	StaleFor    float64 `yaml:"stale_for"`     // for so long after it was replaced

	Pages     int     `yaml:"pages"`      // of a session
	Requests  int     `yaml:"requests"`   // of a page
	Think     float64 `yaml:"think"`      // between pages, on average
	ThinkTail float64 `yaml:"think_tail"` // exponent of a Pareto distribution of that; 0 is exponential
	KeepAlive float64 `yaml:"keep_alive"` // a client that waits for longer between pages looks up again; 0 is never

	Events []Event `yaml:"events"`
}

// ServerGroup is a number of servers of a size.
type ServerGroup struct {
	Count int `yaml:"count"`
	Size  int `yaml:"size"`
}

// Reports says what becomes of the servers' reports on their way to the replicas, and which servers send none.
type Reports struct {
	Delay            float64       `yaml:"report_delay"`      // until a report arrives
	Loss             float64       `yaml:"report_loss"`       // part of the reports that never arrive
	Noise            float64       `yaml:"report_noise"`      // standard deviation of each reported number, relative to it
	UtilizationAlone bool          `yaml:"utilization_alone"` // reports have no requests a second
	Unreported       []ServerGroup `yaml:"unreported"`        // servers without an agent; size 0 is any
	HandWritten      []HandWritten `yaml:"hand_written"`      // servers without an agent, whose report somebody wrote
}

// HandWritten are servers on which one report was written before the run, which stands for a day.
type HandWritten struct {
	Count       int     `yaml:"count"`
	Size        int     `yaml:"size"` // 0 is any
	Utilization float64 `yaml:"utilization"`
	RPS         float64 `yaml:"rps"` // 0 is not written
}

// Elsewhere is load of some servers that does not come through the name server.
type Elsewhere struct {
	Count     int     `yaml:"count"`
	Size      int     `yaml:"size"` // 0 is any
	Part      float64 `yaml:"part"` // of the server's capacity
	At        float64 `yaml:"at"`
	Until     float64 `yaml:"until"`     // 0 is the end of the run
	Uncounted bool    `yaml:"uncounted"` // it shows in the reported utilization, and not in the requests a second
}

// LoadPoint is the factor of the load at a time. Between two points it changes in a straight line.
type LoadPoint struct {
	At     float64 `yaml:"at"`
	Factor float64 `yaml:"factor"`
}

// TTLMix is how many of the resolvers, in parts of 1, do what to the TTL.
type TTLMix struct {
	Honour   float64 `yaml:"honour"`
	Least30  float64 `yaml:"least_30"`
	Least60  float64 `yaml:"least_60"`
	Fixed300 float64 `yaml:"fixed_300"`
}

// Event is something that happens to some servers, resolvers or replicas from At until Until.
type Event struct {
	Kind  EventKind `yaml:"kind"`
	At    float64   `yaml:"at"`
	Until float64   `yaml:"until"`
	Size  int       `yaml:"size"`  // servers of this size; 0 is of any
	Skip  int       `yaml:"skip"`  // but not the first so many of them
	Count int       `yaml:"count"` // so many servers or resolvers
	// Factor of speed (slow), or of the whole load (flash).
	Factor float64 `yaml:"factor"`
}

// EventKind says what happens.
type EventKind string

// The kinds of events.
const (
	Slow    EventKind = "slow"    // servers run at a part of their speed
	Crash   EventKind = "crash"   // servers die, and come back cold
	Drain   EventKind = "drain"   // an operator drains servers, and takes them back
	Flash   EventKind = "flash"   // the load grows, behind a few resolvers
	Restart EventKind = "restart" // a replica forgets what it learned; Skip says which
)

// Base is what the built-in scenarios, and files that say nothing else, have in common.
var Base = Scenario{
	Duration: 840, From: 240,
	Servers:   []ServerGroup{{3, 1}, {3, 2}, {3, 4}, {3, 8}},
	UnitCores: 4, ServiceMS: 40, Heartbeat: 2, Smoothing: .5, ColdSpeed: .3, WarmUp: 60,
	Utilization: .7, Resolvers: 500, Zipf: .9, Replicas: 2, Affinity: .9,
	TTL: 30, TTLMix: TTLMix{.9, .05, .03, .02}, Obedient: 8, WholeSecond: .5,
	FirstTaken: .3, StaleUse: .1, StaleFor: 60,
	Pages: 3, Requests: 2, Think: 5,
}

//go:embed scenarios/*.yaml
var builtIn embed.FS

// BuiltIn returns the scenarios that come with the simulator, by name.
func BuiltIn() ([]Scenario, error) {
	files, err := fs.Glob(builtIn, "scenarios/*.yaml")
	if err != nil {
		return nil, err
	}
	var all []Scenario
	for _, file := range files {
		text, err := builtIn.ReadFile(file)
		if err != nil {
			return nil, err
		}
		s, err := Parse(strings.TrimSuffix(path.Base(file), ".yaml"), text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Parse reads a scenario in YAML. The name is used unless the text has one.
func Parse(name string, text []byte) (Scenario, error) {
	s := Base
	s.Name = name
	// A list in the text replaces that of Base.
	s.Servers = nil
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}")
	}
	if err := decode(text, &s); err != nil {
		return s, fmt.Errorf("scenario %s: %w", name, err)
	}
	if s.Servers == nil {
		s.Servers = slices.Clone(Base.Servers)
	}
	if err := s.check(); err != nil {
		return s, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return s, nil
}

// decode survives what the library does not: it panics on some malformed documents.
func decode(text []byte, s *Scenario) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed YAML: %v", p)
		}
	}()
	return yaml.UnmarshalWithOptions(text, s, yaml.Strict())
}

// sizes returns the size of every server.
func (s *Scenario) sizes() []int {
	var sizes []int
	for _, g := range s.Servers {
		for range g.Count {
			sizes = append(sizes, g.Size)
		}
	}
	return sizes
}

// affected returns the servers that an event happens to.
func (s *Scenario) affected(e *Event) []int { return s.selectServers(e.Size, e.Skip, max(e.Count, 1)) }

// selectServers returns the first count servers of a size, 0 being any, without the first skip of them.
func (s *Scenario) selectServers(size, skip, count int) []int {
	var which []int
	for i, has := range s.sizes() {
		switch {
		case size != 0 && size != has:
		case skip > 0:
			skip--
		case len(which) < count:
			which = append(which, i)
		}
	}
	return which
}

// Capacity is what all servers can bear, requests a second.
func (s *Scenario) Capacity() float64 {
	sum := 0
	for _, size := range s.sizes() {
		sum += size
	}
	return float64(sum*s.UnitCores) / s.ServiceMS * 1000
}
