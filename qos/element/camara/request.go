package camara

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// profileForm is how the API names profiles.
var profileForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,256}$`)

// requestOf makes the request for a grant's session. why says what of the grant an operator cannot be told; it is empty
// if all is there.
func (e *Element) requestOf(g *qos.Grant) (req *createSession, why string) {
	req = &createSession{Duration: int32(min(g.Duration, math.MaxInt32))}
	var ok bool
	if req.Device, ok = deviceOf(g, e.cfg.Identifiers); !ok {
		return nil, fmt.Sprintf("the client has none of what the operator knows devices by: %v", e.cfg.Identifiers)
	}
	if req.ApplicationServer, ok = serverOf(g.ServerAddr); !ok {
		return nil, "the server has no address"
	}
	if !profileForm.MatchString(g.Profile) {
		return nil, fmt.Sprintf("level %s names no QoS profile of 3 to 256 letters, digits or _.-", g.Level)
	}
	if req.Duration < 1 {
		return nil, fmt.Sprintf("level %s has no duration", g.Level)
	}
	req.QosProfile = g.Profile
	if g.ServerPort != 0 {
		req.ApplicationServerPorts = &ports{Ports: []uint16{g.ServerPort}}
	}
	return req, ""
}

// deviceOf returns the best identifier that the grant has of its client. It is one alone: what is found again by it must
// be what was asked for with it.
func deviceOf(g *qos.Grant, order []Identifier) (device, bool) {
	addr := g.ClientAddr.Unmap()
	for _, by := range order {
		switch {
		case by == ByIPv6 && addr.Is6():
			return device{IPv6Address: addr.WithZone("").String()}, true
		case by == ByPhone && g.Phone != "":
			return device{PhoneNumber: "+" + strings.TrimPrefix(g.Phone, "+")}, true
		case by == ByIPv4 && addr.Is4() && g.ClientPort != 0:
			return device{IPv4Address: &deviceIPv4{addr.String(), g.ClientPort}}, true
		}
	}
	return device{}, false
}

func serverOf(a netip.Addr) (server, bool) {
	switch a = a.Unmap(); {
	case a.Is4():
		return server{IPv4Address: a.String()}, true
	case a.Is6():
		return server{IPv6Address: a.WithZone("").String()}, true
	}
	return server{}, false
}

// sameServer tells whether two say the same, however they write it.
func (s server) sameServer(o server) bool {
	return sameAddress(s.IPv4Address, o.IPv4Address) && sameAddress(s.IPv6Address, o.IPv6Address)
}

// sameAddress compares addresses in their many forms; a subnet of one address is that address.
func sameAddress(a, b string) bool { return a == b || canonical(a) == canonical(b) }

func canonical(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil && p.IsSingleIP() {
		return p.Addr().String()
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

// list returns the single ports; none is all of them, or some ranges.
func (p *ports) list() []uint16 {
	if p == nil {
		return nil
	}
	return p.Ports
}

func (p *ports) ranges() bool { return p != nil && len(p.Ranges) > 0 }

// overlaps tells whether two flows of one device cannot both have a session.
func (f *flow) overlaps(o *flow) bool {
	a, b := f.ApplicationServerPorts.list(), o.ApplicationServerPorts.list()
	// What has ranges besides may share a port as well; it is not ours, and the operator has called it a conflict.
	shared := f.ApplicationServerPorts.ranges() || o.ApplicationServerPorts.ranges() || len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(p uint16) bool { return slices.Contains(b, p) })
	return shared && f.ApplicationServer.sameServer(o.ApplicationServer)
}

// equals tells whether two flows of one device are one, of one profile.
func (f *flow) equals(o *flow) bool {
	return f.QosProfile == o.QosProfile && f.ApplicationServer.sameServer(o.ApplicationServer) &&
		slices.Equal(f.ApplicationServerPorts.list(), o.ApplicationServerPorts.list()) &&
		!f.ApplicationServerPorts.ranges() && !o.ApplicationServerPorts.ranges()
}

// end returns when a session ends, in ms since 1970 on our clock; 0 is not known.
func (s *sessionInfo) end(ahead time.Duration) int64 {
	switch {
	case !s.ExpiresAt.IsZero():
		return s.ExpiresAt.Add(-ahead).UnixMilli()
	case !s.StartedAt.IsZero():
		return s.StartedAt.Add(time.Duration(s.Duration)*time.Second - ahead).UnixMilli()
	}
	return 0
}
