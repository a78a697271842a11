package main

import (
	"fmt"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// policyWords says what each policy goes by.
var policyWords = map[steer.Policy]string{
	steer.Predict:    "gives the servers that will be utilised least once what was answered has arrived",
	steer.Headroom:   "shares answers by capacity times free utilisation",
	steer.Weighted:   "shares answers by declared weight",
	steer.RoundRobin: "gives the servers their turns, one after the other",
	steer.Sticky:     "keeps a client with the servers nearest to it by hash that have room",
	steer.First:      "gives everybody the first server, and the next one as it fills or fails",
}

// methodWords says, under predict, how far down from prediction the pick went.
var methodWords = map[steer.Method]string{
	steer.ByHeadroom: ", and nothing is known of loads yet, so here by capacity times free utilisation",
	steer.ByCapacity: ", and no server reports utilisation, so here by capacity",
	steer.Again:      ", and here as it was for the other address family of the same lookup",
}

// rungWords says what each rung of the ladder means.
var rungWords = map[steer.Rung]string{
	steer.LastResort: "no server is open, so those that are full or drained, yet live, share the answers",
	steer.OldReports: "no server is open, full or drained, so those whose reports have outlived their leases share the answers",
	steer.All:        "no server is known to live, so all but those in maint share the answers",
	steer.Fallback:   "no server is left, so the name to fall back to is answered",
	steer.Nothing:    "no server is left and the service names no fallback, so no address is answered",
}

// why says in a sentence or two how the pick came about.
func why(e *steer.Explanation) string {
	p := &e.Pick
	if p.By == steer.ByGrant {
		return whyKept(e)
	}
	var said []string
	if words := rungWords[p.Rung]; words != "" {
		said = append(said, words+countClosed(e.Candidates))
	}
	if p.Rung != steer.Fallback && p.Rung != steer.Nothing {
		said = append(said, whyDrawn(e))
	}
	return strings.Join(said, "; ")
}

func whyDrawn(e *steer.Explanation) string {
	p := &e.Pick
	members, tiers := 0, 0
	for _, c := range e.Candidates {
		tiers = max(tiers, c.Tier+1)
		if c.Tier == p.Tier {
			members++
		}
	}
	said := fmt.Sprintf("%s %s%s", e.Policy, policyWords[e.Policy], methodWords[p.By])
	if tiers > 1 {
		said += fmt.Sprintf("; the answer fell to tier %d of %d, which holds %s", p.Tier+1, tiers, count(members, "server"))
	} else {
		said += fmt.Sprintf("; %s %s", count(members, "server"), takes(members))
	}
	if e.Policy != steer.Sticky {
		said += fmt.Sprintf("; chance %d", p.Chance)
	} else {
		said += "; the client's hash"
	}
	if p.N == 0 {
		return said + " drew nobody, for none of them has an address of the type asked for"
	}
	return said + " drew " + strings.Join(picked(e), ", then ")
}

// whyKept says that a grant decided. The pick is empty if its server has no address of the type asked for.
func whyKept(e *steer.Explanation) string {
	if e.Pick.N == 0 {
		return "the client's grant keeps it at its server, which has no address of the type asked for"
	}
	return "the client's grant keeps it at " + picked(e)[0] + ", until the grant ends, or the server is taken out, drained or dead"
}

func takes(n int) string {
	if n == 1 {
		return "takes part"
	}
	return "take part"
}

// picked returns the servers of the pick, in order.
func picked(e *steer.Explanation) []string {
	ids := make([]string, e.Pick.N)
	for i := range ids {
		ids[i] = e.Candidates[e.Pick.Servers[i]].Server.ID
	}
	return ids
}

// countClosed says how many servers each gate holds back, as " (2 full, 1 maint)".
func countClosed(candidates []steer.Candidate) string {
	var held []string
	for g := steer.InMaint; g <= steer.Taken; g++ {
		n := 0
		for _, c := range candidates {
			if c.State.Gate == g {
				n++
			}
		}
		if n > 0 {
			held = append(held, fmt.Sprintf("%d %s", n, g))
		}
	}
	if held == nil {
		return ""
	}
	return " (" + strings.Join(held, ", ") + ")"
}

// count says a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
