package agent

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/suggest"
)

// Bounds of a configuration. What the services database bounds is bounded alike.
const (
	minInterval  = 20 * time.Millisecond // 5 of them are the shortest lease
	maxInterval  = time.Hour
	minLease     = 100 * time.Millisecond
	maxLease     = 24 * time.Hour
	maxServices  = 64
	maxAddresses = 8
	maxSources   = 32    // collectors, and probes of one server
	maxServers   = 1_000 // of one prober
	maxThreshold = 1_000 // rise and fall
	maxWeight    = 65_535
	maxPort      = 65_535
	maxPriority  = 65_535
	maxCapacity  = 1e12
	maxLimit     = 10 // soft and hard utilisation
)

// Validate says what is wrong with a configuration: an error for each key, that names its path and what is expected.
func (c Config) Validate() error {
	c = c.withDefaults()
	v := &validation{}
	v.expect(len(c.Redis) > 0, "redis", "at least one URL")
	v.span("interval", c.Interval, minInterval, maxInterval)
	v.span("lease", c.Lease, max(c.Interval, minLease), maxLease)
	v.expect(*c.Drain <= maxLease, "drain", "at most "+maxLease.String())
	if c.Reporter != "" {
		v.prober(&c)
	} else {
		v.server(&c)
	}
	if err := errors.Join(v.errs...); err != nil {
		return errors.New(suggest.ShownQuotes(err.Error()))
	}
	return nil
}

// validation gathers errors.
type validation struct{ errs []error }

func (v *validation) expect(ok bool, path, expected string) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("%s: expected %s", path, expected))
	}
}

// check takes the error of a part, which begins with one of its keys, or with "expected" if it is about the whole.
func (v *validation) check(path string, err error) {
	if err == nil {
		return
	}
	join := "."
	if strings.HasPrefix(err.Error(), "expected") {
		join = ": "
	}
	v.errs = append(v.errs, fmt.Errorf("%s%s%w", path, join, err))
}

func (v *validation) span(path string, d, low, high time.Duration) {
	v.expect(low <= d && d <= high, path, fmt.Sprintf("%v to %v", low, high))
}

func (v *validation) number(path string, n, high float64) {
	v.expect(!math.IsNaN(n) && n >= 0 && n <= high, path, fmt.Sprintf("0 to %g", high))
}

// optional checks a number that may be absent.
func (v *validation) optional(path string, n *float64, high float64) {
	if n != nil {
		v.number(path, *n, high)
	}
}

func (v *validation) server(c *Config) {
	v.expect(c.Server == "" || store.CheckID(c.Server) == nil, "server", idExpected)
	v.expect(len(c.Servers) == 0, "servers", "reporter to be set as well")
	v.expect(len(c.Services) > 0 && len(c.Services) <= maxServices, "services", fmt.Sprintf("1 to %d names", maxServices))
	for i, s := range c.Services {
		path := fmt.Sprintf("services[%d]", i)
		v.expect(store.CheckServiceName(fqdn(s.Name)) == nil, path+".name", nameExpected)
		v.number(path+".port", float64(s.Port), maxPort)
		v.optional(path+".weight", s.Weight, maxWeight)
	}
	v.whereabouts(c)
	v.collectors(c)
	v.probes("probe", c.Probe)
	if c.Levels != nil {
		v.check("levels", c.Levels.validate())
	}
}

func (v *validation) whereabouts(c *Config) {
	v.expect(c.Target == "" || len(c.Addresses) == 0, "target", "no addresses beside it")
	v.expect(c.Target == "" || store.CheckServiceName(fqdn(c.Target)) == nil, "target", nameExpected)
	v.expect(len(c.Addresses) <= maxAddresses, "addresses", fmt.Sprintf("at most %d", maxAddresses))
	for i, a := range c.Addresses {
		ip, err := netip.ParseAddr(a)
		v.expect(err == nil && store.CheckAddress(ip) == nil,
			fmt.Sprintf("addresses[%d]", i), "an IPv4 or IPv6 address that is not link-local")
	}
	v.number("port", float64(c.Port), maxPort)
	v.number("capacity", c.Capacity, maxCapacity)
	v.optional("weight", c.Weight, maxWeight)
	v.number("priority", float64(c.Priority), maxPriority)
	v.optional("soft", c.Soft, maxLimit)
	v.number("hard", c.Hard, maxLimit)
	v.expect(c.Soft == nil || c.Hard == 0 || *c.Soft <= c.Hard, "soft", "at most hard")
	v.expect(len(c.Classes) <= steer.MaxClasses, "classes", fmt.Sprintf("at most %d", steer.MaxClasses))
	for i, class := range c.Classes {
		v.expect(store.CheckID(class) == nil && !slices.Contains(c.Classes[:i], class), fmt.Sprintf("classes[%d]", i), classExpected)
	}
	v.expect(c.Region == "" || store.CheckID(c.Region) == nil, "region", "lower-case letters, digits and hyphens")
}

func (v *validation) prober(c *Config) {
	v.expect(store.CheckID(c.Reporter) == nil, "reporter", idExpected)
	v.expect(len(c.Services) == 0, "services", "none beside reporter: servers say theirs")
	v.expect(len(c.Collect) == 0, "collect", "none beside reporter: only the server itself knows its load")
	v.expect(len(c.Probe) == 0, "probe", "none beside reporter: servers say theirs")
	v.expect(c.Levels == nil, "levels", "none beside reporter: they are told of the agent's own server")
	v.expect(len(c.Servers) > 0 && len(c.Servers) <= maxServers, "servers", fmt.Sprintf("1 to %d", maxServers))
	for i, s := range c.Servers {
		path := fmt.Sprintf("servers[%d]", i)
		v.expect(store.CheckID(s.Server) == nil, path+".server", idExpected)
		v.expect(len(s.Services) > 0 && len(s.Services) <= maxServices, path+".services", fmt.Sprintf("1 to %d names", maxServices))
		for j, name := range s.Services {
			v.expect(store.CheckServiceName(fqdn(name)) == nil, fmt.Sprintf("%s.services[%d]", path, j), nameExpected)
		}
		v.expect(len(s.Probe) > 0, path+".probe", "at least one probe")
		v.probes(path+".probe", s.Probe)
		for j := range s.Probe {
			v.expect(!s.Probe[j].drains(), fmt.Sprintf("%s.probe[%d]", path, j), "no drain: only the server's own agent drains it")
		}
	}
}

// drains says whether the probe can ask for the server to be drained.
func (p *Probe) drains() bool {
	return p.HTTP != nil && len(p.HTTP.DrainStatus) > 0 || p.Command != nil && p.Command.DrainExit != 0
}

func (v *validation) collectors(c *Config) {
	v.expect(len(c.Collect) <= maxSources, "collect", fmt.Sprintf("at most %d", maxSources))
	for i := range c.Collect {
		col := &c.Collect[i]
		path := fmt.Sprintf("collect[%d]", i)
		kind, checked, n := col.kind()
		v.expect(n == 1, path, "one of host, connections, prometheus, orca, haproxy, command")
		if n == 1 {
			v.check(path+"."+kind, checked.validate())
		}
		if col.Prometheus != nil {
			v.check(path+"."+kind, col.Prometheus.checkWindows(c.Interval))
		}
		v.span(path+".timeout", col.Timeout, time.Millisecond, c.Interval)
		v.span(path+".hold", *col.Hold, 0, maxLease)
		_, known := severity[col.Unknown]
		v.expect(known, path+".unknown", "up, degraded or down")
	}
}

func (v *validation) probes(path string, probes []Probe) {
	v.expect(len(probes) <= maxSources, path, fmt.Sprintf("at most %d", maxSources))
	for i := range probes {
		p := &probes[i]
		path := fmt.Sprintf("%s[%d]", path, i)
		kind, checked, n := p.kind()
		v.expect(n == 1, path, "one of http, tcp, grpc, command")
		if n == 1 {
			v.check(path+"."+kind, checked.validate())
		}
		v.span(path+".interval", p.Interval, minInterval, maxInterval)
		v.span(path+".timeout", p.Timeout, time.Millisecond, p.Interval)
		v.expect(p.Rise >= 1 && p.Rise <= maxThreshold, path+".rise", fmt.Sprintf("1 to %d", maxThreshold))
		v.expect(p.Fall >= 1 && p.Fall <= maxThreshold, path+".fall", fmt.Sprintf("1 to %d", maxThreshold))
	}
}

// validator is the part of a configuration that is one kind's.
type validator interface{ validate() error }

// kind returns the name and keys of the collector, and how many kinds are said.
func (c *Collect) kind() (name string, keys validator, n int) {
	pick := func(set bool, kind string, v validator) {
		if set {
			name, keys, n = kind, v, n+1
		}
	}
	pick(c.Host != nil, "host", c.Host)
	pick(c.Connections != nil, "connections", c.Connections)
	pick(c.Prometheus != nil, "prometheus", c.Prometheus)
	pick(c.ORCA != nil, "orca", c.ORCA)
	pick(c.HAProxy != nil, "haproxy", c.HAProxy)
	pick(c.Command != nil, "command", c.Command)
	return name, keys, n
}

// kind returns the name and keys of the probe, and how many kinds are said.
func (p *Probe) kind() (name string, keys validator, n int) {
	pick := func(set bool, kind string, v validator) {
		if set {
			name, keys, n = kind, v, n+1
		}
	}
	pick(p.HTTP != nil, "http", p.HTTP)
	pick(p.TCP != nil, "tcp", p.TCP)
	pick(p.GRPC != nil, "grpc", p.GRPC)
	pick(p.Command != nil, "command", p.Command)
	return name, keys, n
}

const (
	idExpected   = "letters, digits and inner hyphens, at most 63"
	nameExpected = "a domain name"

	classExpected = "letters, digits and inner hyphens, each once"
)

// fqdn returns the name as the services database knows it: lower case, with its final dot.
func fqdn(name string) string {
	name = strings.ToLower(name)
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	return name
}
