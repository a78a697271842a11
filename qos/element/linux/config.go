package linux

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Config is what a Linux element is told. Zero fields take the defaults that stand beside them.
type Config struct {
	Links   []Link  `yaml:"links"`   // those whose rates are shared out; at least one
	Table   string  `yaml:"table"`   // of nftables, family inet; default farm
	Handle  string  `yaml:"handle"`  // of the root qdiscs, hexadecimal; default fa00
	Part    float64 `yaml:"part"`    // of a link's rate that may be granted, above 0 and below 1; default 0.8
	Replace bool    `yaml:"replace"` // whether root qdiscs and a table of others give way
	Keep    bool    `yaml:"keep"`    // whether what stands is left in place when the element ends
	DryRun  bool    `yaml:"dry_run"` // whether it is only said what would be done
}

// Link is an interface of the router, and what leaves through it.
type Link struct {
	Interface string `yaml:"interface"`
	Rate      uint32 `yaml:"rate"`   // kbit/s; a little less than the link can do, so that the queue is here
	Toward    string `yaml:"toward"` // TowardClients or TowardServers
}

// Where a link leads.
const (
	TowardClients = "clients"
	TowardServers = "servers"
)

// Bounds and defaults of a configuration.
const (
	maxLinks      = 64
	minRate       = 64          // kbit/s of a link: less than that holds no class beside best effort
	maxRate       = 400_000_000 // kbit/s
	defaultTable  = "farm"
	defaultHandle = "fa00"
	defaultPart   = 0.8
)

var (
	tableForm     = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,30}$`)
	interfaceForm = regexp.MustCompile(`^[^\s/:]{1,15}$`) // what the kernel takes
)

// Check says what is wrong with a configuration: an error for each key, that names its path and what is expected.
func (c Config) Check() error {
	c = c.withDefaults()
	var errs []error
	expect := func(ok bool, path, expected string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: expected %s", path, expected))
		}
	}
	expect(len(c.Links) >= 1 && len(c.Links) <= maxLinks, "links", fmt.Sprintf("1 to %d", maxLinks))
	expect(tableForm.MatchString(c.Table), "table", "a letter, then letters, digits, hyphens and underscores, at most 31")
	_, err := c.major()
	expect(err == nil, "handle", "1 to fffe, hexadecimal")
	expect(c.Part > 0 && c.Part < 1, "part", "above 0 and below 1")
	seen := make(map[string]bool)
	for i, l := range c.Links {
		path := fmt.Sprintf("links[%d]", i)
		expect(interfaceForm.MatchString(l.Interface), path+".interface", "the name of an interface")
		expect(!seen[l.Interface], path+".interface", "every interface once")
		expect(l.Rate >= minRate && l.Rate <= maxRate, path+".rate", fmt.Sprintf("%d to %d kbit/s", minRate, maxRate))
		expect(l.Toward == TowardClients || l.Toward == TowardServers, path+".toward", TowardClients+" or "+TowardServers)
		seen[l.Interface] = true
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Table = cmp.Or(c.Table, defaultTable)
	c.Handle = cmp.Or(c.Handle, defaultHandle)
	c.Part = cmp.Or(c.Part, defaultPart)
	return c
}

// major is the handle's number.
func (c Config) major() (uint16, error) {
	n, err := strconv.ParseUint(c.Handle, 16, 16)
	if err == nil && (n == 0 || n == 0xffff) {
		err = strconv.ErrRange
	}
	return uint16(n), err
}

// grantable is how much of a link may be granted, in kbit/s.
func (c Config) grantable(link int) uint64 { return uint64(float64(c.Links[link].Rate) * c.Part) }

// toward returns the indexes of the links that lead there.
func (c Config) toward(where string) (links []int) {
	for i, l := range c.Links {
		if l.Toward == where {
			links = append(links, i)
		}
	}
	return links
}
