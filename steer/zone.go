package steer

import (
	"net/netip"
	"strings"
)

// Zone is a zone that a snapshot answers for: its top, and its name servers.
type Zone struct {
	Name string
	NS   []NameServer
}

// NameServer is a name server of a zone.
type NameServer struct {
	Name      string       `json:"name"`                // lower-case FQDN
	Addresses []netip.Addr `json:"addresses,omitempty"` // empty is where the query came in, if the name is in the zone
}

// DefaultNS returns the name of the name server of a zone for which none is configured.
func DefaultNS(zone string) string { return Under("ns", zone) }

// Under returns the name of a label under a name.
func Under(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

// NameServer returns the name server with the name, or nil.
func (z *Zone) NameServer(name string) *NameServer {
	for i := range z.NS {
		if z.NS[i].Name == name {
			return &z.NS[i]
		}
	}
	return nil
}

// hasBelow reports whether a name server's name stands below the name: then the name exists, if empty.
func (z *Zone) hasBelow(name string) bool {
	for i := range z.NS {
		if IsBelow(z.NS[i].Name, name) {
			return true
		}
	}
	return false
}

// covers reports whether a farm that was found for the name may answer it in this zone. A wildcard does not reach across
// the top of a zone, nor below a name that exists (RFC 4592 section 3.3).
func (z *Zone) covers(f *Farm, name string) bool {
	base, wildcard := strings.CutPrefix(f.Service.Name, "*.")
	if !wildcard || name == f.Service.Name {
		return true
	}
	if base != z.Name && !IsBelow(base, z.Name) || name == z.Name {
		return false
	}
	below := ChildOf(base, name)
	return z.NameServer(below) == nil && !z.hasBelow(below)
}

// FindIn is Find for a name in a zone. The top of the zone, and a name above a name server's, exist. A service has precedence over
// a name server of its name.
func (s *Snapshot) FindIn(z *Zone, name string) (Match, *Farm, int) {
	if z.NameServer(name) != nil && s.Farm(name) == nil {
		return NameServerMatch, nil, -1
	}
	match, f, server := s.Find(name)
	if match == ServiceMatch && !z.covers(f, name) {
		match, f = NoMatch, nil
	}
	if match == NoMatch && (name == z.Name || z.hasBelow(name)) {
		match = InnerMatch
	}
	return match, f, server
}

// NotRead reports whether nothing is known of a service that was found: what it has may stand in the part of the database that was
// never read.
func (s *Snapshot) NotRead(f *Farm) bool {
	return s.Unread && len(f.Servers)+len(f.Service.Fallback) == 0
}

// HostOf returns the name to which records of a server point, and why there can be none. where returns the addresses of a name
// server.
func (s *Snapshot) HostOf(z *Zone, f *Farm, server *Server, where func(*NameServer) []netip.Addr) (string, Omission) {
	if server.Target != "" {
		return server.Target, NotOmitted
	}
	name := HostName(f.Service.Name, server.ID)
	if len(name) > maxName {
		return "", NameTooLong
	}
	same := s.IsHost(name, f.Service.Name, server)
	if ns := z.NameServer(name); ns != nil && s.Farm(name) == nil {
		same = SameHost(&Server{Addresses: where(ns)}, server)
	}
	if !same {
		return "", NameTaken
	}
	return name, NotOmitted
}

// maxName is the length of the longest name without escapes, its last dot included (RFC 1035 section 2.3.4).
const maxName = 254
