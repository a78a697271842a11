package steer

import (
	"cmp"
	"slices"
)

// Rung says how far a pick had to go down the ladder. A farm is never empty because its agents, or the services
// database, are gone.
type Rung uint8

// The rungs.
const (
	Normal     Rung = iota // open servers
	LastResort             // no server is open: those that are full, drained or on standby, yet live
	OldReports             // nor those: servers whose reports are older than their leases
	All                    // nor those: every server that no operator took out and that has not left
	Fallback               // nor those: the service's fallback names
	Nothing                // nor those
)

var rungNames = [...]string{"normal", "last_resort", "old_reports", "all", "fallback", "nothing"}

func (r Rung) String() string { return rungNames[r] }

// Rungs is the number of rungs.
const Rungs = len(rungNames)

// opens says whether servers behind the gate may be given on the rung.
func (r Rung) opens(g Gate) bool {
	switch r {
	case Normal:
		return g == Open
	case LastResort:
		return g == Full || g == Drained || g == Standby
	case OldReports:
		return g == Silent
	case All:
		return g != InMaint && g != HasLeft
	}
	return false
}

// view is a farm as the clients of one region see it.
type view struct {
	rung   Rung
	tierOf []int16 // under Predict, by server of the farm; -1 is none
	tiers  []tier  // by priority, then region; the first that can serve serves, as far as it has room
}

// tier is a set of servers that stand for each other.
type tier struct {
	servers []int32   // indexes into the farm
	cum     []float64 // running sums of their weights; the last is 1
	upto    float64   // the running sum of the shares of the tiers; of the last one 1
	answers int       // how many distinct servers can be given in one answer and still be in proportion
	often   float64   // in which part of the answers a second server stays in proportion
	equal   bool      // whether all weights are the same
	alias   []alias   // under Predict, to draw servers by capacity
	held    bool      // whether it is behind the tiers that took over from it
}

// view returns the farm as a region's clients see it.
func (f *Farm) view(region int) *view {
	if region < len(f.views) {
		return f.views[region]
	}
	return f.views[0]
}

func (f *Farm) buildViews(r *Regions) {
	f.views = make([]*view, r.Len()+1)
	anywhere := f.buildView("")
	f.views[0] = anywhere
	for i := 1; i < len(f.views); i++ {
		f.views[i] = anywhere
		if name := r.Name(i); f.standsIn(name) {
			f.views[i] = f.buildView(name)
		}
	}
}

func (f *Farm) standsIn(region string) bool {
	return slices.ContainsFunc(f.Servers, func(s *Server) bool { return s.Region == region })
}

// buildView takes the first rung that has a server.
func (f *Farm) buildView(region string) *view {
	for r := Normal; r <= All; r++ {
		if open := f.onRung(r); len(open) > 0 {
			v := &view{rung: r, tiers: f.buildTiers(open, region, r)}
			f.noteTiers(v)
			return v
		}
	}
	if len(f.Service.Fallback) > 0 {
		return &view{rung: Fallback}
	}
	return &view{rung: Nothing}
}

func (f *Farm) onRung(r Rung) []int32 {
	var open []int32
	for i := range f.State {
		if r.opens(f.State[i].Gate) {
			open = append(open, int32(i))
		}
	}
	return open
}

// buildTiers parts servers by priority and, within a priority, into those of the client's region and the others. Under
// First each server is a tier of its own. Servers that are all full have no tiers: they share the overload.
func (f *Farm) buildTiers(servers []int32, region string, r Rung) []tier {
	away := func(i int32) int {
		if region == "" || f.Servers[i].Region == region {
			return 0
		}
		return 1
	}
	rank := func(a, b int32) int {
		if p, q := f.Servers[a].Priority, f.Servers[b].Priority; p != q {
			return cmp.Compare(p, q)
		}
		return away(a) - away(b)
	}
	if region != "" {
		slices.SortStableFunc(servers, rank)
	}
	var tiers []tier
	for start := 0; start < len(servers); {
		end := start + 1
		for end < len(servers) && f.Service.Policy != First && (r == LastResort || rank(servers[start], servers[end]) == 0) {
			end++
		}
		tiers = append(tiers, f.buildTier(servers[start:end], r))
		start = end
	}
	if r == Normal {
		f.hold(tiers)
	}
	f.share(tiers, r)
	return tiers
}

func (f *Farm) buildTier(servers []int32, r Rung) tier {
	t := f.weighTier(servers, r)
	if f.Service.Policy == Predict && r == Normal {
		f.aliasTier(&t)
	}
	return t
}

func (f *Farm) weighTier(servers []int32, r Rung) tier {
	t := tier{servers: servers, cum: make([]float64, len(servers)), equal: true}
	var sum, most float64
	first := f.weightOn(r, servers[0])
	for i, s := range servers {
		w := f.weightOn(r, s)
		t.equal = t.equal && w == first
		sum += w
		most = max(most, w)
		t.cum[i] = sum
	}
	for i := range t.cum {
		t.cum[i] /= sum
	}
	t.cum[len(t.cum)-1] = 1
	t.keepProportion(sum, most)
	return t
}

// weightOn is the weight of a server on a rung. Below Normal the policy's weight may be nothing; what a server can
// bear counts instead.
func (f *Farm) weightOn(r Rung, i int32) float64 {
	s := &f.State[i]
	if r == Normal {
		return s.Weight
	}
	return s.Capacity * clamp(1-s.Util, minHeadroom, 1)
}

// share parts the clients among the tiers. A tier keeps what its limits let in and what does not drain; the rest spills
// over to the next, in proportion, and what no tier lets in is shared in the same proportions (limits are raised
// together). Below Normal the first tier takes all.
func (f *Farm) share(tiers []tier, r Rung) {
	left, sum := 1.0, 0.0
	for i := range tiers {
		keep := left
		if r == Normal {
			keep *= f.room(tiers[i].servers)
		}
		left -= keep
		sum += keep
		tiers[i].upto = sum
	}
	for i := range tiers {
		tiers[i].upto /= sum
	}
	tiers[len(tiers)-1].upto = 1
}

// room is the part of a tier's clients that it should keep: the capacity-weighted mean of what its limits let in, as long
// as one of its servers does not drain. Slow start has no part in it: the next tier is no warmer, and its servers may be
// ones that no client should see while these live.
func (f *Farm) room(servers []int32) float64 {
	var in, capacity, undrained float64
	for _, i := range servers {
		s := &f.State[i]
		in += s.Capacity * s.Admit
		capacity += s.Capacity
		undrained = max(undrained, s.Undrained)
	}
	return in / capacity * undrained
}

// at returns the position in t.servers of the server at u of the running sums, 0 <= u < 1.
func (t *tier) at(u float64) int {
	lo, hi := 0, len(t.cum)-1
	for lo < hi {
		if mid := (lo + hi) / 2; t.cum[mid] > u {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Regional reports whether clients of different regions are given different servers.
func (f *Farm) Regional() bool {
	for _, v := range f.views {
		if v != f.views[0] {
			return true
		}
	}
	return false
}
