package farm

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/miekg/dns"
)

// client is who asks, as far as it steers the answer. It is a hint and never a right: both addresses can be forged.
type client struct {
	addr   netip.Addr   // of the resolver, or whoever sent the query
	prefix netip.Prefix // whom the servers are chosen for
	region int
	scope  int  // how much of the subnet's address the region hangs on
	ours   bool // whether prefix is the subnet of the query

	source  uint8 // length of the subnet of the query, believed or not; 0 is none
	byLabel bool  // whether other plugins were asked for the region
}

// clientOf returns who sent a query, without its subnet.
func clientOf(w dns.ResponseWriter) client {
	a := remoteAddr(w.RemoteAddr())
	return client{addr: a, prefix: netip.PrefixFrom(a, a.BitLen())}
}

// remoteAddr allocates nothing for the addresses that the DNS server itself hands over.
func remoteAddr(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case nil:
		return netip.Addr{}
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().WithZone("")
}

// prefixes is a set of subnets; nil is the empty one.
type prefixes struct{ trie *steer.Regions }

func newPrefixes(list []netip.Prefix) (prefixes, error) {
	trie, err := steer.NewRegions([]steer.Region{{Name: "in", Prefixes: list}})
	return prefixes{trie}, err
}

func (p prefixes) contain(a netip.Addr) bool {
	region, _ := p.trie.Find(a)
	return region != 0
}

// labelRule puts the clients of whom another plugin says something (geoip/country/code=DE) in a region.
type labelRule struct {
	label, value string
	name         string // of the region
	region       int
}

// place finds the client's region: by its subnet, or its address, or else by what other plugins know of it.
func (c *client) place(ctx context.Context, regions *steer.Regions, rules []labelRule) {
	a := c.addr
	if c.ours {
		a = c.prefix.Addr()
	}
	c.region, c.scope = regions.Find(a)
	if c.region != 0 || len(rules) == 0 {
		return
	}
	// Other plugins do not say how much of the address they went by.
	c.scope, c.byLabel = c.prefix.Bits(), true
	for _, r := range rules {
		if value := metadata.ValueFunc(ctx, r.label); value != nil && value() == r.value {
			c.region = r.region
			return
		}
	}
}

// readRegion reads: region NAME CIDR...|LABEL=VALUE
func readRegion(p *parser, args []string, conf *config) error {
	if len(args) < 2 || strings.Contains(args[0], "=") || len(args[0]) > 63 {
		return p.Err("region: expected a name, and subnets or LABEL=VALUE")
	}
	region := steer.Region{Name: args[0]}
	for _, arg := range args[1:] {
		if label, value, ok := strings.Cut(arg, "="); ok {
			if !metadata.IsLabel(label) || value == "" {
				return p.Errf("region %s: expected PLUGIN/LABEL=VALUE, not %q", region.Name, arg)
			}
			conf.labels = append(conf.labels, labelRule{label: label, value: value, name: region.Name})
			continue
		}
		prefix, err := p.prefix("region "+region.Name, arg)
		if err != nil {
			return err
		}
		if other := regionWith(append(conf.regions, region), prefix); other != "" {
			return p.Errf("region %s: %s is in region %s already", region.Name, prefix, other)
		}
		region.Prefixes = append(region.Prefixes, prefix)
	}
	conf.regions = append(conf.regions, region)
	if _, err := steer.NewRegions(conf.regions); err != nil {
		return p.Errf("region %s: %v", region.Name, err)
	}
	return nil
}

func regionWith(regions []steer.Region, prefix netip.Prefix) string {
	i := slices.IndexFunc(regions, func(r steer.Region) bool { return slices.Contains(r.Prefixes, prefix) })
	if i < 0 {
		return ""
	}
	return regions[i].Name
}

func readECS(p *parser, args []string, conf *config) (err error) {
	conf.believed, err = p.prefixes("ecs", args)
	return err
}

func readExplain(p *parser, args []string, conf *config) (err error) {
	conf.explain, err = p.prefixes("explain", args)
	return err
}

func (p *parser) prefixes(what string, args []string) (prefixes, error) {
	if len(args) == 0 {
		return prefixes{}, p.Errf("%s: expected subnets", what)
	}
	var list []netip.Prefix
	for _, arg := range args {
		prefix, err := p.prefix(what, arg)
		if err != nil {
			return prefixes{}, err
		}
		list = append(list, prefix)
	}
	return newPrefixes(list)
}
