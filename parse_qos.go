package farm

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"
)

// qosConfig is what the qos block of the Corefile says.
type qosConfig struct {
	code  uint16        // of the EDNS0 option; 0 is none
	wait  time.Duration // how long an answer is held for a grant at most; 0 is not at all
	rate  float64       // requests for grants a second, of one client
	burst int

	// The policies, by how a client shows who it is. The level is a name: its rank is the service's affair.
	tsig    map[string]string // by the name of the key
	certs   map[string]string // by a name of the certificate
	subnets []steer.Region    // a region for each level
	trie    *steer.Regions    // of subnets
}

// What holds where the qos block says nothing.
const (
	defaultOption = 65400 // of those for local use (RFC 6891 section 9)
	defaultRate   = 1
	defaultBurst  = 5
	maxWait       = 2 * time.Second // a resolver asks anew after that
	maxPolicies   = 10_000
)

var qosProperties = map[string]property[*qosConfig]{
	"option": {read: readOption},
	"keys":   {read: readKeys},
	"wait":   {read: readWait},
	"rate":   {read: readRate},
	"client": {read: readClient, many: true},
}

// readQoS reads: qos { ... }. Without a block it takes everything as it is.
func readQoS(p *parser, args []string, conf *config) error {
	if len(args) > 0 {
		return p.Errf("qos: expected a block and no argument, not %q", args[0])
	}
	c := &qosConfig{
		code: defaultOption, rate: defaultRate, burst: defaultBurst,
		tsig: make(map[string]string), certs: make(map[string]string),
	}
	if err := readBlock(p, qosProperties, c); err != nil {
		return err
	}
	var err error
	if c.trie, err = steer.NewRegions(c.subnets); err != nil {
		return p.Errf("qos: expected subnets of at most %d levels", steer.MaxRegions)
	}
	conf.qos = c
	rewrites := p.Err("qos and rewrite: expected one of them")
	p.later = append(p.later, func() error {
		if conf.rewrite {
			return rewrites
		}
		return nil
	})
	return nil
}

// readOption reads: option CODE|off
func readOption(p *parser, args []string, c *qosConfig) error {
	if len(args) == 1 && strings.EqualFold(args[0], "off") {
		c.code = 0
		return nil
	}
	n, err := p.integer("option", args, dns.EDNS0LOCALSTART, dns.EDNS0LOCALEND)
	c.code = uint16(n)
	return err
}

// readKeys reads: keys FILE
func readKeys(p *parser, args []string, _ *qosConfig) (err error) {
	p.conf.store.KeyFile, err = p.file("keys", args)
	return err
}

func readWait(p *parser, args []string, c *qosConfig) (err error) {
	c.wait, err = p.duration("wait", args)
	if err == nil && c.wait > maxWait {
		err = p.Errf("wait: expected %v at most, not %s", maxWait, args[0])
	}
	return err
}

// readRate reads: rate N [BURST]
func readRate(p *parser, args []string, c *qosConfig) (err error) {
	if len(args) != 1 && len(args) != 2 {
		return p.Err("rate: expected requests a second, and how many may come at once")
	}
	if c.rate, err = p.number("rate", args[:1], 1000); err == nil && len(args) == 2 {
		c.burst, err = p.integer("rate", args[1:], 1, 1000)
	}
	return err
}

// readClient reads: client tsig|cert NAME LEVEL, or: client subnet CIDR... LEVEL
func readClient(p *parser, args []string, c *qosConfig) error {
	if len(args) < 3 || len(args) > 3 && !strings.EqualFold(args[0], "subnet") {
		return p.Err("client: expected tsig or cert, a name and a level; or subnet, subnets and a level")
	}
	level := strings.ToLower(args[len(args)-1])
	if err := store.CheckLevel(&steer.Level{Name: level, Rank: 1}); err != nil {
		return p.Errf("client: %v", err)
	}
	switch strings.ToLower(args[0]) {
	case "tsig":
		return p.policy(c.tsig, "tsig", plugin.Name(args[1]).Normalize(), level)
	case "cert":
		return p.policy(c.certs, "cert", strings.ToLower(args[1]), level)
	case "subnet":
		return p.subnets(c, args[1:len(args)-1], level)
	}
	return p.Errf("client: expected tsig, cert or subnet, not %q", args[0])
}

func (p *parser) policy(of map[string]string, kind, name, level string) error {
	if _, ok := of[name]; ok {
		return p.Errf("client %s %s is given more than once", kind, name)
	}
	if len(of) == maxPolicies {
		return p.Errf("client %s: expected at most %d", kind, maxPolicies)
	}
	of[name] = level
	return nil
}

// subnets adds to the subnets of a level. The longest prefix wins, so no two levels can have the same.
func (p *parser) subnets(c *qosConfig, args []string, level string) error {
	var list []netip.Prefix
	for _, arg := range args {
		prefix, err := p.prefix("client subnet", arg)
		if err != nil {
			return err
		}
		if other := regionWith(c.subnets, prefix); other != "" {
			return p.Errf("client subnet: %s has level %s already", prefix, other)
		}
		list = append(list, prefix)
	}
	same := func(r steer.Region) bool { return r.Name == level }
	if i := slices.IndexFunc(c.subnets, same); i >= 0 {
		c.subnets[i].Prefixes = append(c.subnets[i].Prefixes, list...)
		return nil
	}
	c.subnets = append(c.subnets, steer.Region{Name: level, Prefixes: list})
	return nil
}
