package agent

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/conf"
	"github.com/coredns-farm/farm/suggest"
)

// Config is what an agent is told. Absent fields take the defaults that stand beside them. Pointers are numbers that may be
// 0; of the others 0 is absent, and [Parse] refuses a 0 that is written. docs/agent.md has every key.
type Config struct {
	Redis  []string `yaml:"redis"`  // URLs of the services database; several are a Cluster
	Prefix string   `yaml:"prefix"` // of its keys; default farm

	Server    string    `yaml:"server"`             // the server's id; default the host name's first label
	Services  []Service `yaml:"services"`           // what it serves
	Addresses []string  `yaml:"addresses"`          // where it serves; default what the routing table has
	Target    string    `yaml:"target"`             // a name instead of addresses
	Port      int       `yaml:"port"`               // default none
	Region    string    `yaml:"region"`             // where it stands
	Capacity  float64   `yaml:"capacity"`           // requests a second at full utilisation; default unknown
	Weight    *float64  `yaml:"weight"`             // relative share; default 1; 0 is none while another server is open
	Priority  int       `yaml:"priority" zero:"ok"` // lower is used first
	Soft      *float64  `yaml:"soft"`               // soft limit of utilisation; default the service's
	Hard      float64   `yaml:"hard"`               // hard limit of utilisation; default the service's
	Classes   []string  `yaml:"classes"`            // what it can do, for levels of service that ask for it

	Interval time.Duration  `yaml:"interval"` // from report to report; default 2s
	Lease    time.Duration  `yaml:"lease"`    // how long a report stands; default 5 intervals
	Drain    *time.Duration `yaml:"drain"`    // from SIGTERM to leaving; default 30s; 0 or less leaves at once

	Collect []Collect `yaml:"collect"`
	Probe   []Probe   `yaml:"probe"`
	Levels  *Levels   `yaml:"levels"` // where it tells what each level of service uses; nil is nowhere

	Reporter string   `yaml:"reporter"` // the prober's own id: it reports on Servers, and serves nothing itself
	Servers  []Probed `yaml:"servers"`
}

// Service is a service that the server serves: a name, or a name with what differs there.
type Service struct {
	Name   string   `yaml:"name"`
	Port   int      `yaml:"port"`   // default the server's
	Weight *float64 `yaml:"weight"` // default the server's
}

// UnmarshalYAML takes a bare name as well.
func (s *Service) UnmarshalYAML(decode func(any) error) error {
	if decode(&s.Name) == nil {
		return nil
	}
	type fields Service
	return decode((*fields)(s))
}

// Collect is one collector: exactly one of the kinds.
type Collect struct {
	Host        *Host         `yaml:"host"`
	Connections *Connections  `yaml:"connections"`
	Prometheus  *Prometheus   `yaml:"prometheus"`
	ORCA        *ORCA         `yaml:"orca"`
	HAProxy     *HAProxy      `yaml:"haproxy"`
	Command     *Command      `yaml:"command"`
	Timeout     time.Duration `yaml:"timeout"` // default half the agent's interval

	Hold    *time.Duration `yaml:"hold"`    // for how long its last health stands while it says none; default 1m
	Unknown Health         `yaml:"unknown"` // what its health counts as after that; default what it was, at best degraded
}

// UnmarshalYAML takes a bare "host" and "connections" as well: they need to be told nothing.
func (c *Collect) UnmarshalYAML(decode func(any) error) error {
	var kind string
	if decode(&kind) != nil {
		type fields Collect
		return decode((*fields)(c))
	}
	switch strings.ToLower(kind) {
	case "host":
		c.Host = new(Host)
	case "connections":
		c.Connections = new(Connections)
	default:
		return fmt.Errorf("collect: %.40q, expected host, connections, or a collector with its keys", suggest.Shown(kind))
	}
	return nil
}

// Probe is one probe: exactly one of the kinds.
type Probe struct {
	HTTP     *HTTPProbe    `yaml:"http"`
	TCP      *TCPProbe     `yaml:"tcp"`
	GRPC     *GRPCProbe    `yaml:"grpc"`
	Command  *CommandProbe `yaml:"command"`
	Interval time.Duration `yaml:"interval"` // default the agent's
	Timeout  time.Duration `yaml:"timeout"`  // default half the probe's interval
	Rise     int           `yaml:"rise"`     // passes in a row after which a down server is up; default 2
	Fall     int           `yaml:"fall"`     // failures in a row after which an up server is down; default 3
}

// Probed is a server that a prober reports on.
type Probed struct {
	Server   string   `yaml:"server"`
	Services []string `yaml:"services"`
	Probe    []Probe  `yaml:"probe"`
}

// Load reads a configuration file. It does not validate: what flags say may still come on top.
func Load(path string) (Config, error) { return conf.Load[Config](path, expected) }

// Parse parses a configuration, as conf.Parse does.
func Parse(b []byte) (Config, error) { return conf.Parse[Config](b, expected) }

// expected speaks of what the operator can write.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "expected a duration, such as 2s"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Float64:
		return "expected a number"
	}
	return ""
}

// The defaults.
const (
	defaultPrefix   = "farm"
	defaultInterval = 2 * time.Second
	defaultLeases   = 5 // intervals: four reports may be lost
	defaultDrain    = 30 * time.Second
	defaultRise     = 2
	defaultFall     = 3
	defaultHold     = time.Minute
	defaultSoft     = 0.9 // of the farm
)

// withDefaults fills in what is not said. What the machine has to be asked for comes later.
func (c Config) withDefaults() Config {
	c.lowerNames()
	c.Prefix = cmp.Or(c.Prefix, defaultPrefix)
	c.Interval = cmp.Or(c.Interval, defaultInterval)
	c.Lease = cmp.Or(c.Lease, defaultLeases*c.Interval)
	c.Drain = cmp.Or(c.Drain, new(defaultDrain))
	c.Collect = append([]Collect(nil), c.Collect...)
	for i := range c.Collect {
		c.Collect[i].Unknown = Health(strings.ToLower(string(c.Collect[i].Unknown)))
		c.Collect[i].Timeout = cmp.Or(c.Collect[i].Timeout, c.Interval/2)
		c.Collect[i].Hold = cmp.Or(c.Collect[i].Hold, new(defaultHold))
	}
	c.Probe = probeDefaults(c.Probe, c.Interval)
	for i := range c.Servers {
		c.Servers[i].Probe = probeDefaults(c.Servers[i].Probe, c.Interval)
	}
	return c
}

// lowerNames makes ids and names of classes lower case, as the database has them: DNS knows no other difference.
func (c *Config) lowerNames() {
	c.Server, c.Reporter = strings.ToLower(c.Server), strings.ToLower(c.Reporter)
	c.Classes = slices.Clone(c.Classes)
	for i, class := range c.Classes {
		c.Classes[i] = strings.ToLower(class)
	}
	c.Servers = slices.Clone(c.Servers)
	for i := range c.Servers {
		c.Servers[i].Server = strings.ToLower(c.Servers[i].Server)
	}
}

func probeDefaults(probes []Probe, interval time.Duration) []Probe {
	out := append([]Probe(nil), probes...)
	for i := range out {
		p := &out[i]
		p.Interval = cmp.Or(p.Interval, interval)
		p.Timeout = cmp.Or(p.Timeout, p.Interval/2)
		p.Rise = cmp.Or(p.Rise, defaultRise)
		p.Fall = cmp.Or(p.Fall, defaultFall)
	}
	return out
}
