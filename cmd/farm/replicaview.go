package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// replicaView is a name, and how the replicas answer there.
type replicaView struct {
	name   string
	zone   *steer.Zone // nil if it is in none, or if none is known
	block  store.Block
	known  bool // whether all the replicas tell their zones
	stale  int  // replicas that do not follow the database
	of     int  // replicas
	isOurs func(name string) bool
}

func (w *world) viewAt(name string) *replicaView {
	p := &replicaView{name: name, of: len(w.Nodes), isOurs: w.IsOurs}
	p.zone, p.block, p.known = w.BlockOf(name)
	for i := range w.Nodes {
		if isStale(&w.Nodes[i]) {
			p.stale++
		}
	}
	return p
}

// find finds what the name is, as the plugin does. Where no zone is known, every name is in the zone of a replica.
func (p *replicaView) find(s *steer.Snapshot) (steer.Match, *steer.Farm, int) {
	if p.zone == nil {
		return s.Find(p.name)
	}
	return s.FindIn(p.zone, p.name)
}

// anywhere is the zone of names of which no replica tells the zone.
var anywhere = &steer.Zone{Name: "."}

// asked is the question for a type at the name.
func (p *replicaView) asked(f *steer.Farm, t steer.RecordType, region int) *steer.Asked {
	zone := p.zone
	if zone == nil {
		zone = anywhere
	}
	return &steer.Asked{
		Type: t, Flat: p.name == zone.Name || f.IsFlat(), Region: region, Zone: zone,
		Where:  func(ns *steer.NameServer) []netip.Addr { return ns.Addresses },
		IsOurs: p.isOurs,
	}
}

// answer fills in what the pick is answered with.
func (w *world) answer(x *explanation, f *steer.Farm, e *steer.Explanation, q *steer.Query, p *replicaView) {
	asked := p.asked(f, recordTypes[x.Type], q.Region)
	a := w.snap.AnswerOf(f, &e.Pick, asked)
	e.Rerank(&a)
	x.Answers, x.Alias, x.isFlat, x.isAliasMode = []string{}, a.Alias, a.Flat, a.Form == steer.AliasModeForm
	for n, i := range e.Pick.Servers[:e.Pick.N] {
		id := f.Servers[i].ID
		if why := a.Omitted[n]; why != steer.NotOmitted {
			x.Withheld = append(x.Withheld, id+": "+why.String())
			continue
		}
		x.Answers = append(x.Answers, id)
	}
	if q.Family == steer.Secure && a.Form == steer.SVCBForm {
		x.Withheld = append(x.Withheld, insecure(f, e)...)
	}
	if a.Form == steer.SRVForm {
		for _, b := range steer.Backups(f, q, &e.Pick, nil) {
			if w.snap.Omits(f, f.Servers[b.Server], asked) == steer.NotOmitted {
				x.Backups = append(x.Backups, f.Servers[b.Server].ID)
			}
		}
	}
	x.Note = joined(x.Note, p.notes(f, &a)...)
}

// insecure tells which servers of the tier that was picked from have no HTTPS record, and why: they are passed over when others have.
func insecure(f *steer.Farm, e *steer.Explanation) (lines []string) {
	for i := range e.Candidates {
		c := &e.Candidates[i]
		if why := f.Withheld(steer.HTTPS, c.Server); why != steer.NotOmitted && c.Tier == e.Pick.Tier {
			lines = append(lines, c.Server.ID+": "+why.String())
		}
	}
	return lines
}

// notes say what the replicas know of an answer, and the database does not.
func (p *replicaView) notes(f *steer.Farm, a *steer.Answer) (notes []string) {
	switch {
	case p.of == 0:
		notes = append(notes, "no replica is up: zones and name servers are not known")
	case !p.known:
		notes = append(notes, "not every replica tells its zones: a name server, or the top of a zone, may stand here")
	}
	if p.stale > 0 {
		notes = append(notes, fmt.Sprintf("%d of %s cannot follow the database: answers from what was read last, with a TTL of 30s at most, or SERVFAIL",
			p.stale, count(p.of, "replica")))
	}
	if a.Flat {
		notes = append(notes, "names are answered with the addresses that the replica resolved, and no longer than these live; TXT at _farm."+p.name+" shows them")
	}
	if p.block.Rewrite {
		notes = append(notes, "the next plugin answers here (rewrite): only addresses that it has are given")
	}
	if strings.HasPrefix(f.Service.Name, "*.") && f.Service.Name != p.name && p.fallsThrough() {
		notes = append(notes, "names that the next plugin has (fallthrough) are not the wildcard's, and are not seen here")
	}
	return notes
}

// fallsThrough reports whether the next plugin is asked for the name.
func (p *replicaView) fallsThrough() bool {
	for _, top := range p.block.Next {
		if p.name == top || steer.IsBelow(p.name, top) {
			return true
		}
	}
	return false
}

// joined is a note with more notes behind it.
func joined(note string, more ...string) string {
	if note != "" {
		more = append([]string{note}, more...)
	}
	return strings.Join(more, "; ")
}

// leads is an answer that leads to a name.
func (x *explanation) leads() string {
	if x.isAliasMode {
		return x.Type + " 0 " + x.Alias
	}
	return "CNAME " + x.Alias
}

// record is what there is none of.
func (x *explanation) record() string {
	switch x.Type {
	case "A", "AAAA":
		return "address"
	}
	return x.Type + " record"
}

// named is the explanation of the name of one server: it answers with itself, nothing is decided.
type named struct {
	Name      string       `json:"name"`
	Service   string       `json:"service,omitempty"`
	Server    string       `json:"server,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Target    string       `json:"target,omitempty"`
	Why       string       `json:"why"`
}

func serverName(f *steer.Farm, i int, l *lookup) *named {
	s := f.Servers[i]
	return &named{l.name, f.Service.Name, s.ID, s.Addresses, s.Target,
		"it is the name of server " + s.ID + " of " + f.Service.Name + " and answers with that server alone, whatever its state"}
}

// nameServerName explains the name of a name server.
func nameServerName(p *replicaView) *named {
	ns := p.zone.NameServer(p.name)
	why := "it is the name of a name server of zone " + p.zone.Name
	if len(ns.Addresses) == 0 {
		why += ", and answers with the address at which the query comes in"
	}
	return &named{Name: p.name, Addresses: ns.Addresses, Why: why}
}

func (x *named) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: %s\nwhy: %s\n", x.Name, where(x.Addresses, x.Target), x.Why)
	return err
}
