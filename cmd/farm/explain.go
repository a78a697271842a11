package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const explainLong = `Replay the decision that a lookup of NAME gets, from what stands in the database
now, and show every server with what speaks for and against it.

Chance decides between servers: a replay with the chance of an earlier answer, and
the same database, gives the same servers. Without --chance each run draws anew.

Capacities, and under predict the loads behind resolvers, are what the replicas have
told each other in the last seconds. What stands in the memory of one replica alone
is not seen here: answers that it has just given, servers that it saw join, servers
that the database has lost, the addresses that names were resolved to (flatten), and
what the next plugin has (fallthrough).
"dig _farm.NAME TXT" asks a replica itself, if its Corefile allows it (explain).

RANK is the place in the answer. GATE is the server's state, as in farm status;
of a level also unfit (not of its class) or taken (what it may give is granted). UTIL
in parentheses is assumed, because nobody reports it. RAMP is what slow start and
drain leave of its share, ADMIT what its limits leave. TIER counts the groups that are
used one after the other, by region and priority. SHARE is its part of all answers.
Under predict, PENDING is what answers that no report shows yet change in UTIL,
PREDICTED is the sum of both, and SCORE is what this answer would bring it to: the
lowest are picked. KEPT is kept free for higher levels, RESERVED is held by grants.

With --level the lookup is that of a client who may have the level: who may, is not
looked into. With --client-id or --grant it is that of the client, whose grant keeps
it at its server; the level is then by default the one that it has asked for.`

const explainExample = `  farm explain www.example.org
  farm explain www.example.org --client 192.0.2.0/24 --region eu --type AAAA
  farm explain www.example.org --level gold --client-id alice
  farm explain www.example.org --chance 17 -o json`

// lookup is what is explained, as the flags say it.
type lookup struct {
	name   string
	client netip.Prefix
	region string
	qtype  string
	chance uint64
	asking
}

// families are what the question types can use, the same as the plugin's.
var families = map[string]steer.Family{
	"A":     steer.V4 | steer.Named,
	"AAAA":  steer.V6 | steer.Named,
	"SRV":   steer.AnyFamily,
	"HTTPS": steer.AnyFamily,
	"SVCB":  steer.AnyFamily,
	"CNAME": steer.AnyFamily,
}

// recordTypes are the types as decisions know them, the same as the plugin's.
var recordTypes = map[string]steer.RecordType{
	"A": steer.Address, "AAAA": steer.Address, "SRV": steer.SRV, "SVCB": steer.SVCB, "HTTPS": steer.HTTPS, "CNAME": steer.CNAME,
}

var lookupTypes = []string{"A", "AAAA", "SRV", "HTTPS", "SVCB", "CNAME"}

func (a *app) explainCommand() *cobra.Command {
	l := lookup{client: netip.MustParsePrefix("127.0.0.1/32"), qtype: "A"}
	c := &cobra.Command{
		Use:               "explain NAME [flags]",
		Short:             "Say why a name is answered as it is",
		Long:              explainLong,
		Example:           explainExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeService,
		RunE: func(c *cobra.Command, args []string) error {
			if l.clientID != "" && l.grant != "" {
				return usagef("flags --client-id and --grant: expected one of them")
			}
			l.name = fqdn(args[0])
			if !c.Flags().Changed("chance") {
				l.chance = rand.Uint64N(10_000) // short, for people to repeat
			}
			return a.explain(&l)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	f.Var(prefix(&l.client), "client", "who asks: the resolver's address, or the subnet that it asks for (default 127.0.0.1)")
	f.StringVar(&l.region, "region", "", "the `REGION` that the client is in (default none)")
	f.Var(lookupType(&l.qtype), "type", "what is asked for: A, AAAA, SRV, HTTPS, SVCB or CNAME (default A)")
	f.Uint64Var(&l.chance, "chance", 0, "the chance to replay (default a new one)")
	l.flags(f)
	must(c.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(lookupTypes, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func lookupType(p *string) *value {
	return &value{kind: "type", show: func() string { return "" }, set: func(s string) error {
		*p = strings.ToUpper(s)
		if families[*p] == 0 {
			return fmt.Errorf("expected one of %s", join(lookupTypes))
		}
		return nil
	}}
}

func (a *app) explain(l *lookup) error {
	return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
		regions, err := steer.NewRegions([]steer.Region{{Name: l.region}})
		if err != nil {
			return err
		}
		w.base.Regions = regions
		w.snap = w.Snapshot(w.base)
		p := w.viewAt(l.name)
		match, f, server := p.find(w.snap)
		switch match {
		case steer.ServiceMatch:
			r, err := w.right(ctx, db, f, &l.asking)
			if err != nil {
				return err
			}
			x := w.explain(f, regions, l, r, p)
			return a.print(x, x.write)
		case steer.ServerMatch:
			x := serverName(f, server, l)
			return a.print(x, x.write)
		case steer.NameServerMatch:
			x := nameServerName(p)
			return a.print(x, x.write)
		}
		return w.whyNothing(match, p)
	})
}

// whyNothing is an error that says why a name is answered with nothing.
func (w *world) whyNothing(match steer.Match, p *replicaView) error {
	names := below(p.name, w.snap)
	_, f, _ := w.snap.Find(p.name)
	switch {
	case match == steer.InnerMatch && len(names) > 0:
		return notFoundf("nothing stands at %s itself, but below it: %s", p.name, join(names))
	case match == steer.InnerMatch && p.zone.Name == p.name:
		return notFoundf("%s is the top of a zone, and no service: only SOA and NS are answered there", p.name)
	case match == steer.InnerMatch:
		return notFoundf("nothing stands at %s itself, but a name server's name below it", p.name)
	case f != nil:
		return notFoundf("%s does not cover %s: the top of a zone, or a name server's name, stands between (zone %s)",
			f.Service.Name, p.name, p.zone.Name)
	}
	_, err := w.farm(p.name)
	return err
}

// maxBelow bounds the services that an error lists.
const maxBelow = 3

// below returns some services below a name.
func below(name string, s *steer.Snapshot) []string {
	var names []string
	for _, service := range s.Services() {
		if strings.HasSuffix(service, "."+name) && len(names) < maxBelow {
			names = append(names, service)
		}
	}
	return names
}

// explanation is what `farm explain -o json` prints. It is an interface: fields are added, never changed.
type explanation struct {
	Name       string       `json:"name"`
	Type       string       `json:"type"`
	Service    string       `json:"service"`
	Client     netip.Prefix `json:"client"`
	Region     string       `json:"region,omitempty"`
	Chance     uint64       `json:"chance"`
	Policy     steer.Policy `json:"policy"`
	Method     string       `json:"method"` // what the pick went by: the policy, or under predict the steps down from it
	Rung       string       `json:"rung"`
	Tier       int          `json:"tier"` // of the pick, from 1; 0 if nobody was picked
	TTL        uint32       `json:"ttl"`
	Answers    []string     `json:"answers"`            // servers, in order
	Withheld   []string     `json:"withheld,omitempty"` // servers that were picked and have no record of the type, and why
	Alias      string       `json:"alias,omitempty"`    // the name that the answer leads to
	Backups    []string     `json:"backups,omitempty"`  // servers that SRV lists with lower priorities, in order
	Fallback   string       `json:"fallback,omitempty"`
	Personal   bool         `json:"personal"` // whether it depends on the client
	Why        string       `json:"why"`
	Note       string       `json:"note,omitempty"`
	Resolver   *resolver    `json:"resolver,omitempty"`     // where the pick was made by prediction
	Level      string       `json:"level,omitempty"`        // that the client may have
	ChosenFor  string       `json:"level_chosen,omitempty"` // that the servers were chosen for; absent is best effort
	WhyLower   string       `json:"why_lower,omitempty"`    // where that is a lower one
	Grant      *grantOf     `json:"grant,omitempty"`
	Candidates []candidate  `json:"candidates"`

	isFlat      bool // whether names are answered as their addresses
	isAliasMode bool // whether Alias is in a record of the type, not a CNAME
}

type candidate struct {
	Rank      int          `json:"rank"` // in the answer, from 1; 0 if not in it
	ID        string       `json:"server"`
	Gate      string       `json:"gate"`
	Util      float64      `json:"utilization"`
	Known     bool         `json:"utilization_known"` // else the mean of the known ones
	Capacity  float64      `json:"capacity"`          // requests a second; 0 where none is known
	Ramp      float64      `json:"ramp"`
	Admit     float64      `json:"admit"`
	Weight    float64      `json:"weight"`
	Tier      int          `json:"tier"` // from 1; 0 takes no part
	Share     float64      `json:"share"`
	Predicted *float64     `json:"predicted,omitempty"` // utilisation once what was answered has arrived; under prediction
	Score     *float64     `json:"score,omitempty"`     // what this answer would bring it to; the least is picked
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Target    string       `json:"target,omitempty"`
	Note      string       `json:"note,omitempty"`
	Kept      float64      `json:"kept,omitempty"`     // part that is kept free for higher levels
	Reserved  float64      `json:"reserved,omitempty"` // part that grants have reserved
}

func (w *world) explain(f *steer.Farm, regions *steer.Regions, l *lookup, r *right, p *replicaView) *explanation {
	q := steer.Query{Client: l.client, Family: families[l.qtype], Chance: l.chance, Now: w.Now}
	if t := recordTypes[l.qtype]; t == steer.HTTPS {
		q.Family = f.FamilyFor(t)
	}
	q.Ports = f.TellsPorts(recordTypes[l.qtype])
	r.ask(&q, f)
	if l.region != "" {
		q.Region = regions.Number(l.region)
	}
	learned, told, damaged := w.learned(f)
	e := steer.ExplainWith(f, learned, regions, &q)
	x := &explanation{
		Name: l.name, Type: l.qtype, Service: f.Service.Name, Client: l.client, Region: l.region, Chance: l.chance,
		Policy: e.Policy, Method: e.Pick.By.String(), Rung: e.Pick.Rung.String(), TTL: e.Pick.TTL, Fallback: e.Pick.Fallback,
		Personal: e.Pick.Personal, Why: why(&e), Note: w.serviceNote(f.Service.Name),
		Resolver: resolverOf(f, &e, told, damaged), Candidates: []candidate{},
	}
	if e.Pick.N > 0 {
		x.Tier = e.Pick.Tier + 1
	}
	w.answer(x, f, &e, &q, p)
	w.explainLevel(x, f, &e, r)
	for i := range e.Candidates {
		c := w.candidate(f, &e.Candidates[i], f.Service.Level(e.Level))
		c.Reserved = r.reserved[c.ID]
		if x.Resolver != nil {
			c.Predicted, c.Score = &e.Candidates[i].Predicted, &e.Candidates[i].Score
		}
		x.Candidates = append(x.Candidates, c)
	}
	return x
}

func (w *world) candidate(f *steer.Farm, c *steer.Candidate, level *steer.Level) candidate {
	s := &c.State
	capacity := s.Capacity
	if !f.CapacityInRequests() {
		capacity = 0
	}
	return candidate{
		Rank: c.Rank, ID: c.Server.ID, Gate: s.Gate.String(), Util: s.Util, Known: s.Known, Capacity: capacity,
		Ramp: s.Ramp, Admit: s.Admit, Weight: s.Weight, Tier: c.Tier + 1, Share: c.Share,
		Addresses: c.Server.Addresses, Target: c.Server.Target, Kept: s.Kept,
		Note: w.note(f, c, w.record(f.Service.Name, c.Server.ID), level),
	}
}

// write shows the outcome, why, and the candidates.
func (x *explanation) write(w io.Writer) error {
	answer := strings.Join(x.Answers, ", ")
	switch {
	case x.Alias != "" && answer != "":
		answer = x.leads() + ", the name of " + answer
	case x.Alias != "":
		answer = x.leads()
	case x.Fallback != "" && x.isFlat:
		answer = "the addresses of " + x.Fallback
	case answer == "":
		answer = "no " + x.record()
	}
	region := "of no region"
	if x.Region != "" {
		region = "in region " + x.Region
	}
	if x.Level != "" {
		region += " at level " + x.Level
	}
	fmt.Fprintf(w, "%s %s for %s %s: %s\n", x.Name, x.Type, clientText(x.Client), region, answer)
	if x.Service != x.Name {
		fmt.Fprintf(w, "service: %s\n", x.Service)
	}
	fmt.Fprintf(w, "rung %s, ttl %s, chance %d\n", x.Rung, ttlOf(x.TTL), x.Chance)
	fmt.Fprintf(w, "why: %s\n", x.Why)
	if len(x.Backups) > 0 {
		fmt.Fprintf(w, "with lower priorities: %s\n", strings.Join(x.Backups, ", "))
	}
	for _, line := range x.Withheld {
		fmt.Fprintf(w, "no %s record of %s\n", x.Type, line)
	}
	x.writeLevel(w)
	if x.Note != "" {
		fmt.Fprintf(w, "but: %s\n", x.Note)
	}
	if x.Resolver != nil {
		x.Resolver.write(w, len(x.Answers))
	}
	if len(x.Candidates) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return x.table().write(w)
}

func clientText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// table has, under prediction, the predictions in the place of shares: an answer goes to whoever will be utilised least.
func (x *explanation) table() *table {
	decides := []string{"SHARE"}
	if x.Resolver != nil {
		decides = []string{"PENDING", "PREDICTED", "SCORE"}
	}
	levels := x.levelColumns()
	t := newTable(slices.Concat([]string{"RANK", "SERVER", "GATE", "UTIL", "CAPACITY", "RAMP", "ADMIT"}, levels, []string{"TIER"}, decides,
		[]string{"ADDRESSES", "NOTE"})...)
	for i := range x.Candidates {
		c := &x.Candidates[i]
		held := []string{said(c.Kept, exactPercent), said(c.Reserved, exactPercent)}[:len(levels)]
		t.add(slices.Concat(
			[]string{numberOr(c.Rank), c.ID, c.Gate, c.utilText(), said(c.Capacity, quantity), percent(c.Ramp), percent(c.Admit)}, held,
			[]string{numberOr(c.Tier)}, c.decides(), []string{where(c.Addresses, c.Target), c.Note})...)
	}
	return t
}

func (c *candidate) utilText() string {
	if !c.Known {
		return "(" + percent(c.Util) + ")"
	}
	return percent(c.Util)
}

// decides is what the pick went by.
func (c *candidate) decides() []string {
	if c.Predicted == nil {
		return []string{share(c.Share)}
	}
	return []string{percent(*c.Predicted - c.Util), percent(*c.Predicted), percent(*c.Score)}
}
