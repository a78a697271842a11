package steer

import (
	"math"
	"net/netip"
	"slices"
)

// Among makes the same decision among addresses that somebody else answered with: it writes to order the positions of
// those to keep, best first, and returns how many. An address of a server that would not be given to this client now is
// left out; one that is nobody's counts as a server of mean weight, for nothing speaks against it. It returns 0 when no
// address is left, or none is a server's: then the answer had better stay as it is. The farm must have been built Indexed.
//
// order must be at least as long as addrs. Addresses beyond the first maxAmong stay out. It allocates nothing, and costs
// O(servers) at worst.
func Among(f *Farm, q *Query, addrs []netip.Addr, order []int) int {
	f = f.seenBy(q)
	v := f.view(q.Region)
	var found among
	found.n = min(len(addrs), maxAmong)
	for i, a := range addrs[:found.n] {
		found.server[i] = int32(f.ByAddress(a))
	}
	if !f.weighAmong(v.rung, f.tierAmong(v, q, &found), &found) {
		return 0
	}
	if f.Service.Policy == Sticky {
		return f.stickAmong(q, addrs, &found, order)
	}
	return found.draw(f.answersAmong(q, &found), fraction(q.Chance), order)
}

// Gives reports whether a server may be given to the client of a query now.
func Gives(f *Farm, q *Query, server int) bool {
	v := f.seenBy(q).view(q.Region)
	return slices.ContainsFunc(v.tiers, func(t tier) bool { return slices.Contains(t.servers, int32(server)) })
}

// maxAmong bounds the addresses of a foreign answer that are looked at; more do not fit a UDP answer.
const maxAmong = 256

// among is a foreign answer in the making.
type among struct {
	n         int
	server    [maxAmong]int32   // of each address; -1 is a stranger
	weight    [maxAmong]float64 // 0 is left out
	sum, most float64
}

// tierAmong returns the tier that the turn falls to, of those that have an address in the answer; an empty one if none has.
func (f *Farm) tierAmong(v *view, q *Query, a *among) *tier {
	u, lo, sum := fraction(q.Chance), 0.0, 0.0
	if f.Service.Policy == Sticky {
		u = unit(mix(q.WhoAsks() ^ f.hash))
	}
	for pass := range 2 {
		lo = 0
		reached := 0.0
		for i := range v.tiers {
			t := &v.tiers[i]
			share := t.upto - lo
			lo = t.upto
			if !t.anyOf(a.server[:a.n]) {
				continue
			}
			reached += share
			if pass == 1 && (u*sum < reached || sum == 0) {
				return t
			}
		}
		sum = reached
	}
	return &tier{}
}

func (t *tier) anyOf(servers []int32) bool {
	return slices.ContainsFunc(t.servers, func(s int32) bool { return slices.Contains(servers, s) })
}

// weighAmong gives each address its server's weight in the tier, and strangers the mean. It reports whether there is
// anything to draw.
func (f *Farm) weighAmong(r Rung, t *tier, a *among) bool {
	known, strangers := 0.0, 0
	for i, s := range a.server[:a.n] {
		if s < 0 {
			strangers++
		}
		if s >= 0 && slices.Contains(t.servers, s) {
			a.weight[i] = f.weightOn(r, s)
			a.sum += a.weight[i]
			known++
		}
	}
	if strangers == a.n {
		return false
	}
	mean := ratioOr(a.sum, known, 1)
	for i, s := range a.server[:a.n] {
		if s < 0 {
			a.weight[i] = mean
			a.sum += mean
		}
		a.most = max(a.most, a.weight[i])
	}
	return a.sum > 0
}

func (f *Farm) answersAmong(q *Query, a *among) int {
	t := tier{servers: a.server[:a.n]}
	t.keepProportion(a.sum, a.most)
	return f.answers(&t, q)
}

// draw is systematic sampling over a list too short to be worth a table.
func (a *among) draw(k int, u float64, order []int) int {
	n := 0
	for i := range k {
		x := u + float64(i)/float64(k)
		if x >= 1 {
			x--
		}
		at := 0
		for c := a.weight[0]; c <= x*a.sum && at < a.n-1; c += a.weight[at] {
			at++
		}
		for range a.n {
			if a.weight[at] > 0 && !slices.Contains(order[:n], at) {
				order[n] = at
				n++
				break
			}
			at = (at + 1) % a.n
		}
	}
	return n
}

// stickAmong takes the client's addresses in the order of their rendezvous scores.
func (f *Farm) stickAmong(q *Query, addrs []netip.Addr, a *among, order []int) int {
	key := q.WhoAsks()
	n, k := 0, max(q.Answers, f.Settings.Answers, 1)
	for ; n < min(k, MaxAnswers); n++ {
		best, bestScore := -1, math.Inf(1)
		for i := range a.n {
			if a.weight[i] == 0 || slices.Contains(order[:n], i) {
				continue
			}
			h := mix(key ^ hashPrefix(netip.PrefixFrom(addrs[i], addrs[i].BitLen())))
			if score := -math.Log(unit(h)) / a.weight[i]; score < bestScore {
				best, bestScore = i, score
			}
		}
		if best < 0 {
			break
		}
		order[n] = best
	}
	return n
}
