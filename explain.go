package farm

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// explainLabel stands before the name of a service to ask why its answers are what they are.
const explainLabel = "_farm."

// maxExplained bounds the servers of an explanation: with 32 it fits, over TCP if not over UDP.
const maxExplained = 32

// explained returns the farm that a query wants explained, if the client may know. To everybody else the name is like
// any other.
func (f *Farm) explained(q *query) *steer.Farm {
	name, ok := strings.CutPrefix(q.name, explainLabel)
	if !ok || !f.conf.explain.contain(q.client.addr) {
		return nil
	}
	match, farm, _ := q.snap.FindIn(&q.zone.Zone, name)
	if match != steer.ServiceMatch || f.mayHave(name) && f.nextHas(q, farm, name) {
		return nil
	}
	return farm
}

// explain answers TXT: a line of the decision, under prediction one of the resolver, and a line of each server that
// matters most. It takes no turn, so that looking changes nothing.
func (f *Farm) explain(q *query, farm *steer.Farm) *dns.Msg {
	switch {
	case q.qtype != dns.TypeTXT:
		return q.nodata()
	case q.snap.NotRead(farm):
		return q.fail(notRead)
	}
	sq := steer.Query{Client: q.client.prefix, Region: q.client.region, Family: steer.AnyFamily, Now: q.now}
	if q.wish != &noWish && f.entitle(q, farm) && q.level != nil {
		q.personal(&sq)
		if g := f.grantOf(q, farm); g != nil && g.State.Live() {
			sq.Granted = int32(farm.ByID(g.Server) + 1)
		}
	}
	e := steer.ExplainWith(farm, f.memory.learned, f.regions, &sq)
	name := strings.TrimPrefix(q.name, explainLabel)
	asked := f.askedAbout(q, farm, name)
	answer := q.snap.AnswerOf(farm, &e.Pick, asked)
	e.Rerank(&answer)
	line := fmt.Sprintf("policy=%s rung=%s region=%s revision=%d stale=%t servers=%d",
		e.Policy, e.Pick.Rung, cmp.Or(e.Region, "-"), q.snap.Serial, q.snap.Stale, len(e.Candidates))
	if e.Policy == steer.Predict || e.Pick.By == steer.ByGrant {
		line += " method=" + e.Pick.By.String()
	}
	if q.level != nil {
		line += fmt.Sprintf(" asked=%s level=%s", q.level.Name, orDash(e.Level))
	}
	rrs := []dns.RR{q.txt(line)}
	if r := e.Resolver; r != nil {
		rrs = append(rrs, q.txt(fmt.Sprintf("resolver=%s known=%t load=%.3g spread=%.3g counted=%.3g part=%.3f",
			q.client.prefix, r.Known, r.Load, r.Spread, r.Size, r.Part)))
	}
	slices.SortStableFunc(e.Candidates, byImportance)
	for i := range e.Candidates[:min(len(e.Candidates), maxExplained)] {
		text := describeCandidate(&e.Candidates[i]) + f.describeTarget(farm, e.Candidates[i].Server)
		if _, why := q.snap.HostOf(asked.Zone, farm, e.Candidates[i].Server, asked.Where); why != steer.NotOmitted {
			text += " host=none" // SRV leaves it out
		}
		if e.Resolver != nil {
			text += fmt.Sprintf(" predicted=%.2f score=%.2f", unsigned(e.Candidates[i].Predicted), unsigned(e.Candidates[i].Score))
		}
		rrs = append(rrs, q.txt(text))
	}
	return q.answer(rrs)
}

// askedAbout is the question for the addresses of a name, as the answer to it hangs on the name.
func (f *Farm) askedAbout(q *query, farm *steer.Farm, name string) *steer.Asked {
	return &steer.Asked{
		Type: steer.Address, Flat: name == q.zone.Name || farm.IsFlat(), Region: q.client.region, Zone: &q.zone.Zone,
		Where:  func(ns *steer.NameServer) []netip.Addr { return f.addressesOf(q, ns) },
		IsOurs: func(name string) bool { return f.zones.of(name) != nil },
	}
}

// byImportance puts the servers that were picked first, then those that take part by tier and share.
func byImportance(a, b steer.Candidate) int {
	unranked := func(n int) int { return int(uint32(n - 1)) } // 0 and -1 go last
	return cmp.Or(
		cmp.Compare(unranked(a.Rank), unranked(b.Rank)),
		cmp.Compare(unranked(a.Tier+1), unranked(b.Tier+1)),
		cmp.Compare(b.Share, a.Share),
	)
}

func describeCandidate(c *steer.Candidate) string {
	util := "?"
	if c.State.Known {
		util = fmt.Sprintf("%.2f", unsigned(c.State.Util))
	}
	return fmt.Sprintf("id=%s gate=%s tier=%s utilization=%s share=%.3f rank=%s",
		c.Server.ID, c.State.Gate, ordinal(c.Tier+1), util, c.Share, ordinal(c.Rank))
}

// unsigned is 0 for what would be shown as -0.00.
func unsigned(x float64) float64 {
	if x > -.005 && x <= 0 {
		return 0
	}
	return x
}

// ordinal shows a place, from 1; who has none is shown as farm explain does.
func ordinal(n int) string {
	if n < 1 {
		return "-"
	}
	return strconv.Itoa(n)
}

// txt is never kept by a resolver: it is of this moment.
func (q *query) txt(line string) dns.RR {
	return &dns.TXT{Hdr: q.header(q.owner(), dns.TypeTXT, 0), Txt: []string{line}}
}
