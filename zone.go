package farm

import (
	"net/netip"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// zone is one zone that a block answers for.
type zone struct {
	name    string
	ns      []nameServer
	mailbox string
	times   soaTimes
	counted counters
}

// nameServer is a name server of a zone. Without addresses it is found at the address that the query came in on, if
// its name is in the zone.
type nameServer struct {
	name  string
	addrs []netip.Addr
}

// maxNS bounds the name servers of a zone: 13 and their addresses are what has always fitted an answer.
const maxNS = 13

// zones are the zones of a block by name. There may be thousands.
type zones map[string]*zone

func newZones(names []string) zones {
	z := make(zones, len(names))
	for _, name := range names {
		z[name] = &zone{name: name}
	}
	return z
}

// of returns the zone that a name is in, the most specific one, or nil. It costs a lookup a label.
func (z zones) of(name string) *zone {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if zone := z[name[off:]]; zone != nil {
			return zone
		}
	}
	return z["."]
}

// above returns the zone that a zone is delegated from, or nil.
func (z zones) above(name string) *zone {
	off, end := dns.NextLabel(name, 0)
	if end {
		return nil
	}
	return z.of(name[off:])
}

// finish fills in what the Corefile left out.
func (z *zone) finish(ns []nameServer, mailbox string, times soaTimes) {
	z.ns, z.mailbox, z.times = ns, mailbox, times
	if len(ns) == 0 {
		z.ns = []nameServer{{name: under("ns", z.name)}}
	}
	if mailbox == "" {
		z.mailbox = under("hostmaster", z.name)
	}
}

// under returns the name of a label under a name.
func under(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

// server returns the name server with the name, or nil.
func (z *zone) server(name string) *nameServer {
	for i := range z.ns {
		if z.ns[i].name == name {
			return &z.ns[i]
		}
	}
	return nil
}

// hasBelow is whether a name server's name stands below the name: then the name exists, if empty.
func (z *zone) hasBelow(name string) bool {
	for i := range z.ns {
		if steer.IsBelow(z.ns[i].name, name) {
			return true
		}
	}
	return false
}

// covers is whether a farm that was found for the name may speak for it in this zone. A wildcard does not reach across
// the top of a zone, nor below a name that exists (RFC 4592 section 3.3).
func (z *zone) covers(f *steer.Farm, name string) bool {
	base, wildcard := strings.CutPrefix(f.Service.Name, "*.")
	if !wildcard || name == f.Service.Name {
		return true
	}
	if base != z.name && !steer.IsBelow(base, z.name) || name == z.name {
		return false
	}
	below := steer.ChildOf(base, name)
	return z.server(below) == nil && !z.hasBelow(below)
}
