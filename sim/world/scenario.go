package world

import (
	"bytes"
	"embed"
	"errors"
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
	ColdSpeed     float64       `yaml:"cold_speed"`     // of a server that just came up, part of its full speed
	WarmUp        float64       `yaml:"warm_up"`        // how long until it has its full speed

	Utilization float64 `yaml:"utilization"`   // offered load over capacity
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
	FirstTaken  float64 `yaml:"first_taken"`   // part of the clients that take the first address; the others take any
	StaleUse    float64 `yaml:"stale_use"`     // part of the sessions that go by the answer before
	StaleFor    float64 `yaml:"stale_for"`     // for so long after it was replaced

	Pages    int     `yaml:"pages"`    // of a session
	Requests int     `yaml:"requests"` // of a page
	Think    float64 `yaml:"think"`    // between pages

	Events []Event `yaml:"events"`
}

// ServerGroup is a number of servers of a size.
type ServerGroup struct {
	Count int `yaml:"count"`
	Size  int `yaml:"size"`
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

// Bounds of a scenario: beyond, a run would not end in reasonable time or memory.
const (
	maxServers   = 10_000
	maxResolvers = 1_000_000
	maxReplicas  = 64
	maxDuration  = 100_000
	maxCores     = 1024
)

func (s *Scenario) check() error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{s.Duration > 0 && s.Duration <= maxDuration, "duration: expected more than 0 s, up to 100,000"},
		{s.From >= 0 && s.From < s.Duration, "from: expected a time before the end"},
		{s.UnitCores >= 1 && s.UnitCores <= maxCores, "unit_cores: expected 1 to 1024"},
		{s.ServiceMS >= 0.1 && s.ServiceMS <= 60_000, "service_ms: expected 0.1 to 60,000"},
		{s.DeclaredError >= 0 && s.DeclaredError <= 3, "declared_error: expected 0 to 3"},
		{s.Heartbeat >= 0.1 && s.Heartbeat <= 600, "heartbeat: expected 0.1 to 600 s"},
		{s.Smoothing > 0 && s.Smoothing <= 1, "smoothing: expected more than 0, up to 1"},
		{s.ColdSpeed > 0 && s.ColdSpeed <= 1, "cold_speed: expected more than 0, up to 1"},
		{s.WarmUp >= 0 && s.WarmUp <= maxDuration, "warm_up: expected 0 to 100,000 s"},
		{s.Utilization > 0 && s.Utilization <= 10, "utilization: expected more than 0, up to 10"},
		{s.Resolvers >= 1 && s.Resolvers <= maxResolvers, "resolvers: expected 1 to 1,000,000"},
		{s.Zipf >= 0 && s.Zipf <= 5, "zipf: expected 0 to 5"},
		{s.Churn >= 0 && s.Churn <= 1000, "churn: expected 0 to 1000 resolvers a second"},
		{s.Replicas >= 1 && s.Replicas <= maxReplicas, "replicas: expected 1 to 64"},
		{s.TTL >= 1 && s.TTL <= 86_400, "ttl: expected 1 to 86,400 s"},
		{s.StaleFor >= 0 && s.StaleFor <= maxDuration, "stale_for: expected 0 to 100,000 s"},
		{s.Pages >= 1 && s.Pages <= 100_000, "pages: expected 1 to 100,000"},
		{s.Requests >= 1 && s.Requests <= 1000, "requests: expected 1 to 1000"},
		{s.Think > 0 && s.Think <= maxDuration || s.Pages == 1, "think: expected more than 0 s between pages, up to 100,000"},
	} {
		if !c.ok {
			return errors.New(c.what)
		}
	}
	return errors.Join(s.checkParts(), s.checkServers(), s.checkEvents())
}

func (s *Scenario) checkParts() error {
	m := &s.TTLMix
	if !(m.Honour+m.Least30+m.Least60+m.Fixed300 > 0) {
		return errors.New("ttl_mix: expected some part above 0")
	}
	for name, part := range map[string]float64{"giant": s.Giant, "affinity": s.Affinity, "whole_seconds": s.WholeSecond,
		"first_taken": s.FirstTaken, "stale_use": s.StaleUse, "ttl_mix.honour": m.Honour, "ttl_mix.least_30": m.Least30,
		"ttl_mix.least_60": m.Least60, "ttl_mix.fixed_300": m.Fixed300} {
		if !(part >= 0 && part <= 1) {
			return fmt.Errorf("%s: expected 0 to 1", name)
		}
	}
	return nil
}

func (s *Scenario) checkServers() error {
	n := 0
	for _, g := range s.Servers {
		if g.Count < 1 || g.Count > maxServers || g.Size < 1 || g.Size*s.UnitCores > maxCores {
			return errors.New("servers: expected count 1 to 10,000 and size of at most 1024 cores")
		}
		n += g.Count
	}
	if n == 0 || n > maxServers {
		return errors.New("servers: expected 1 to 10,000")
	}
	return nil
}

func (s *Scenario) checkEvents() error {
	for i := range s.Events {
		e := &s.Events[i]
		switch {
		case !slices.Contains([]EventKind{Slow, Crash, Drain, Flash, Restart}, e.Kind):
			return fmt.Errorf("event %d: unknown kind %q: expected slow, crash, drain, flash or restart", i+1, e.Kind)
		case !(e.At >= 0) || !(e.Until >= e.At || e.Until == 0):
			return fmt.Errorf("event %d: expected 0 <= at <= until", i+1)
		case e.Kind == Flash && e.Factor < 1:
			return fmt.Errorf("event %d: flash needs a factor of 1 or more", i+1)
		case (e.Kind == Slow || e.Kind == Flash) && !(e.Factor > 0 && e.Factor <= 1000):
			return fmt.Errorf("event %d: %s needs a factor above 0, up to 1000", i+1, e.Kind)
		case e.Kind == Restart && (e.Skip < 0 || e.Skip >= s.Replicas):
			return fmt.Errorf("event %d: there is no replica %d", i+1, e.Skip)
		case e.Kind == Flash && (e.Count < 1 || e.Count > s.Resolvers):
			return fmt.Errorf("event %d: flash needs a count of resolvers", i+1)
		case e.Kind != Restart && e.Kind != Flash && len(s.affected(e)) == 0:
			return fmt.Errorf("event %d: there is no such server", i+1)
		}
	}
	return nil
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
func (s *Scenario) affected(e *Event) []int {
	var which []int
	skip := e.Skip
	for i, size := range s.sizes() {
		switch {
		case e.Size != 0 && e.Size != size:
		case skip > 0:
			skip--
		case len(which) < max(e.Count, 1):
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
