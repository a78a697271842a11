package farm

import (
	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// zone is one zone that a block answers for.
type zone struct {
	steer.Zone
	mailbox string
	times   soaTimes
	counted counters
}

// maxNS bounds the name servers of a zone: 13 and their addresses are what has always fitted an answer.
const maxNS = 13

// zones are the zones of a block by name. There may be thousands.
type zones map[string]*zone

func newZones(names []string) zones {
	z := make(zones, len(names))
	for _, name := range names {
		z[name] = &zone{Zone: steer.Zone{Name: name}}
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
func (z *zone) finish(ns []steer.NameServer, mailbox string, times soaTimes) {
	z.NS, z.mailbox, z.times = ns, mailbox, times
	if len(ns) == 0 {
		z.NS = []steer.NameServer{{Name: steer.DefaultNS(z.Name)}}
	}
	if mailbox == "" {
		z.mailbox = steer.Under("hostmaster", z.Name)
	}
}
