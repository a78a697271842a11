package broker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/coredns-farm/farm/conf"
	"github.com/coredns-farm/farm/qos/element/camara"
	"github.com/coredns-farm/farm/qos/element/linux"
	"github.com/coredns-farm/farm/store"
)

// Config is what a broker is told. Zero fields take the defaults that stand beside them. docs/broker.md has every key.
type Config struct {
	Redis    []string  `yaml:"redis"`    // URLs of the services database; several are a Cluster
	Prefix   string    `yaml:"prefix"`   // of its keys; default farm
	Name     string    `yaml:"name"`     // of this broker, which no other that runs may have; default the host name's first label
	Metrics  string    `yaml:"metrics"`  // HOST:PORT of a listener for Prometheus; default none
	Elements []Element `yaml:"elements"` // what it asks
}

// Element is a network element under its name: exactly one of the kinds.
type Element struct {
	Name   string         `yaml:"name"` // which levels call it by
	Linux  *linux.Config  `yaml:"linux"`
	CAMARA *camara.Config `yaml:"camara"`
}

// checker is a kind of element's configuration.
type checker interface{ Check() error }

// maxElements bounds the elements of a configuration.
const maxElements = 64

// Load reads a configuration file. It does not validate: what flags say may still come on top.
func Load(path string) (Config, error) { return conf.Load[Config](path, expected) }

// Parse parses a configuration, as conf.Parse does.
func Parse(b []byte) (Config, error) { return conf.Parse[Config](b, expected) }

// expected speaks of what the operator can write.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "expected a duration, such as 2s"
	case t.Kind() == reflect.Bool:
		return "expected true or false"
	case t.Kind() == reflect.String:
		return "expected a text"
	case t.Kind() == reflect.Slice:
		return "expected a list"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer:
		return "expected keys with values"
	}
	return "expected a number in its range"
}

// Validate says what is wrong with a configuration: an error for each key, that names its path and what is expected.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	expect := func(ok bool, path, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: expected %s", path, want))
		}
	}
	expect(len(c.Redis) > 0, "redis", "at least one URL")
	expect(len(c.Name) <= 128 && strings.IndexFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0, "name", "a printable word")
	if c.Metrics != "" {
		_, _, err := net.SplitHostPort(c.Metrics)
		expect(err == nil, "metrics", "HOST:PORT")
	}
	expect(len(c.Elements) >= 1 && len(c.Elements) <= maxElements, "elements", fmt.Sprintf("1 to %d", maxElements))
	seen := make(map[string]bool)
	for i := range c.Elements {
		e := &c.Elements[i]
		path := fmt.Sprintf("elements[%d]", i)
		expect(store.CheckID(e.Name) == nil, path+".name", "lower-case letters, digits and hyphens, at most 63")
		expect(!seen[e.Name], path+".name", "a name that no other element has")
		seen[e.Name] = true
		kind, checked, n := e.kind()
		expect(n == 1, path, "one of linux, camara")
		if n == 1 {
			errs = append(errs, under(path+"."+kind, checked.Check())...)
		}
	}
	return errors.Join(errs...)
}

// under puts the path of a part before each of its errors.
func under(path string, err error) (errs []error) {
	if err == nil {
		return nil
	}
	for line := range strings.Lines(err.Error()) {
		errs = append(errs, fmt.Errorf("%s.%s", path, strings.TrimSpace(line)))
	}
	return errs
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, store.DefaultPrefix)
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "broker"
		}
		c.Name, _, _ = strings.Cut(host, ".")
	}
	return c
}

// kind returns the name and keys of the element, and how many kinds are said.
func (e *Element) kind() (name string, keys checker, n int) {
	if e.Linux != nil {
		name, keys, n = "linux", e.Linux, n+1
	}
	if e.CAMARA != nil {
		name, keys, n = "camara", e.CAMARA, n+1
	}
	return name, keys, n
}
