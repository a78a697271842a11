package steer

import (
	"net/netip"
	"slices"
	"strings"
)

// Form is how the question for a type is answered at a service.
type Form uint8

// The forms.
const (
	NoForm        Form = iota // the service has no records of the type
	AddressForm               // A or AAAA records; a CNAME where the first picked server is a name
	AliasForm                 // a CNAME, or nothing
	SRVForm                   // an SRV record a server
	SVCBForm                  // SVCB or HTTPS records
	AliasModeForm             // an SVCB or HTTPS record in AliasMode (RFC 9460 section 2.4.2)
)

// FormOf returns how a service answers clients of a region. flat reports whether names are answered as their addresses.
func (f *Farm) FormOf(t RecordType, flat bool, region int) Form {
	isAlias := f.IsAlias() || f.FallsBack(region)
	switch {
	case t == Address:
		return AddressForm
	case t == Proof:
		return NoForm // DNSSEC puts it beside a CNAME (RFC 4034 sections 3 and 4)
	case !flat && (isAlias || t == CNAME):
		return AliasForm // an alias answers every type (RFC 1034 section 3.6.2)
	case t == SRV:
		return SRVForm
	case (t == SVCB || t == HTTPS) && flat && isAlias:
		return AliasModeForm
	case t == SVCB || t == HTTPS:
		return SVCBForm
	}
	return NoForm
}

// IsAlias reports whether the name of a service is an alias: all its servers are names.
func (f *Farm) IsAlias() bool { return f.Families() == Named && !f.pointsToNames() }

// pointsToNames reports whether a service's data are the SRV and SVCB records that point to its servers' names: it has a
// type in its own name (_sip._tcp), and ports. Then no CNAME may stand there.
func (f *Farm) pointsToNames() bool {
	hasPort := func(s *Server) bool { return s.Port != 0 }
	return f.Families()&Named != 0 && strings.HasPrefix(f.Service.Name, "_") && slices.ContainsFunc(f.Servers, hasPort)
}

// IsFlat reports whether the service says that its servers' names are answered as the addresses they have.
func (f *Farm) IsFlat() bool { return f.Service.Flatten != nil && *f.Service.Flatten }

// LeadsToNames reports whether a pick of a farm may have names.
func (p *Pick) LeadsToNames(f *Farm) bool { return p.Rung == Fallback || f.Families()&Named != 0 }

// Size is how many names or servers a pick has.
func (p *Pick) Size() int {
	if p.Rung == Fallback {
		return 1
	}
	return p.N
}

// Name returns the name that the n-th of a pick stands for; empty is a server with addresses.
func (p *Pick) Name(f *Farm, n int) string {
	if p.Rung == Fallback {
		return p.Fallback
	}
	return f.Servers[p.Servers[n]].Target
}

// AliasOf returns the name that a pick is answered with as a CNAME: its first server's, or the fallback. Empty is none.
func (f *Farm) AliasOf(p *Pick, flat bool) string {
	switch {
	case flat:
		return ""
	case p.Rung == Fallback:
		return p.Fallback
	case p.N > 0 && p.LeadsToNames(f) && !f.pointsToNames():
		return p.Name(f, 0)
	}
	return ""
}

// OffersHTTPS reports whether a service, or one of its servers, speaks https.
func (f *Farm) OffersHTTPS() bool {
	return len(f.Service.ALPN) > 0 || slices.ContainsFunc(f.Servers, func(s *Server) bool { return f.SpeaksHTTPS(s.Port) })
}

// Omission is why an answer leaves a picked server out.
type Omission uint8

// The omissions.
const (
	NotOmitted Omission = iota
	NoPort
	NoHTTPS
	NameTooLong
	NameTaken
	BehindAlias
	NameBeside
	NotAlias
	BehindOwn
)

var omissionTexts = [...]string{
	NotOmitted:  "",
	NoPort:      "it has no port",
	NoHTTPS:     "neither alpn nor its port says that it speaks https",
	NameTooLong: "its name is longer than names in DNS can be",
	NameTaken:   "its name is answered with the addresses of another host",
	BehindAlias: "the first picked server is a name, and a CNAME stands alone",
	NameBeside:  "it is a name, and the first picked server has addresses",
	NotAlias:    "it has addresses, and a CNAME needs a name",
	BehindOwn:   "the first picked server is a name in the zones of farm, and its addresses stand alone",
}

// String describes the omission.
func (o Omission) String() string { return omissionTexts[o] }

// Answer is what the answer to a question is made of. The servers are those of a pick, in its order.
type Answer struct {
	Form    Form
	Alias   string               // the name that is answered, where it is one
	Flat    bool                 // whether names are answered as the addresses that they were resolved to
	Omitted [MaxAnswers]Omission // by place in the pick
}

// Asked is a question about a service.
type Asked struct {
	Type   RecordType
	Flat   bool // whether names are answered as their addresses
	Region int
	Zone   *Zone
	Where  func(*NameServer) []netip.Addr // the addresses of a name server
	IsOurs func(name string) bool         // whether a name is in a zone that farm answers for
}

// AnswerOf returns what a pick is answered with.
func (s *Snapshot) AnswerOf(f *Farm, p *Pick, a *Asked) Answer {
	out := Answer{Form: f.FormOf(a.Type, a.Flat, a.Region)}
	if out.Form == AddressForm || out.Form == AliasForm || p.Rung == Fallback {
		out.Alias = f.AliasOf(p, a.Flat)
	}
	out.Flat = a.Flat && p.LeadsToNames(f) && out.Form == AddressForm
	if out.Form == AliasModeForm && p.Size() > 0 && (a.Type != HTTPS || f.OffersHTTPS()) {
		out.Alias = p.Name(f, 0)
	}
	for n := range p.N {
		out.Omitted[n] = s.omission(f, p, n, a, &out)
	}
	return out
}

func (s *Snapshot) omission(f *Farm, p *Pick, n int, a *Asked, out *Answer) Omission {
	server := f.Servers[p.Servers[n]]
	first := p.Name(f, 0)
	switch {
	case out.Alias != "" && n > 0:
		return BehindAlias
	case out.Alias != "":
		return NotOmitted
	case out.Form == AliasModeForm:
		return NoHTTPS
	case out.Form == AliasForm:
		return NotAlias
	case out.Form == AddressForm && out.Flat && first != "" && a.IsOurs(first) && n > 0:
		return BehindOwn
	case out.Form == AddressForm && !out.Flat && server.Target != "":
		return NameBeside
	case out.Form == SRVForm, out.Form == SVCBForm:
		return s.Omits(f, server, a)
	}
	return NotOmitted
}

// Omits returns why a server has no record of a type that tells ports.
func (s *Snapshot) Omits(f *Farm, server *Server, a *Asked) Omission {
	if why := f.Withheld(a.Type, server); why != NotOmitted || a.Type != SRV && f.OneEndpoint(a.Type) {
		return why
	}
	_, why := s.HostOf(a.Zone, f, server, a.Where)
	return why
}

// Rerank sets the ranks of an explanation to the places in an answer.
func (e *Explanation) Rerank(a *Answer) {
	rank := 0
	for n, i := range e.Pick.Servers[:e.Pick.N] {
		c := &e.Candidates[i]
		c.Rank, c.Omitted = 0, a.Omitted[n]
		if c.Omitted == NotOmitted {
			rank++
			c.Rank = rank
		}
	}
}
