package steer

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// A server sheds the clients that stick to it as its utilisation goes from this many times the mean of the farm
// (bounded load, Mirrokni, Thorup, Zadimoghaddam 2018: capacity ceil((1+e)m/n), here with e = 1/4) ...
const (
	stickyBound = 1.25
	stickyWidth = 0.25 // ... over this many times the mean more, one client after the other
	stickyIdle  = 0.3  // below this utilisation nobody is shed: there is nothing to relieve
)

// stick gives the client's servers in the order of its rendezvous scores (weighted: -w/ln h, Schindler and Schulte
// 2014), passing over those that have no room for this client. Which clients a server has no room for is settled by a
// hash of both, so a server that fills sheds the same clients first and takes them back last.
func (f *Farm) stick(v *view, q *Query, p *Pick) {
	p.Personal = true
	key := q.WhoAsks()
	u := unit(mix(key ^ f.hash))
	for p.Tier < len(v.tiers)-1 && u >= v.tiers[p.Tier].upto {
		p.Tier++
	}
	t := &v.tiers[p.Tier]
	k := max(q.Answers, 1)
	if q.Answers == 0 && f.Settings.Answers > 0 {
		k = f.Settings.Answers
	}
	k = min(k, MaxAnswers, len(t.servers))
	for range k {
		s := f.nearest(t, key, q, p, true)
		if s < 0 {
			s = f.nearest(t, key, q, p, false)
		}
		if s < 0 {
			break
		}
		p.add(s)
	}
	if p.N == 0 {
		f.takeAny(v, q, p)
	}
}

// nearest returns the server of the family with the least -ln(h)/w that is not yet in the pick, or -1.
func (f *Farm) nearest(t *tier, key uint64, q *Query, p *Pick, bounded bool) int32 {
	best, bestScore := int32(-1), math.Inf(1)
	for _, s := range t.servers {
		st := &f.State[s]
		h := mix(key ^ f.hashes[s])
		w := st.stickyWeight()
		// -ln(h) >= 1-h spares most logarithms.
		if st.Family&q.Family == 0 || 1-unit(h) >= bestScore*w || f.picked(q, p, s) {
			continue
		}
		if bounded && unit(mix(h)) >= f.holds(st) {
			continue
		}
		if score := -math.Log(unit(h)) / w; score < bestScore {
			best, bestScore = s, score
		}
	}
	return best
}

// stickyWeight is what a server's part of the clients is in proportion to, while it has room.
func (s *State) stickyWeight() float64 {
	w := s.Capacity * max(s.Ramp, minRamp)
	if s.Degraded {
		w *= degradedShare
	}
	return w
}

// stickyShares returns what parts of a tier's clients its servers get. Scores are like times of arrival at rates w, and a server
// has room for a part h of them: the first that has room gets the client, so that server i gets
//
//	h_i w_i * integral over t of exp(-w_i t) * product over j != i of (1 - h_j + h_j exp(-w_j t))
//
// and of the clients for whom none has room, in proportion to w. The integral is summed at points t = exp(pi/2 sinh y), where
// it is smooth however much the weights differ (Takahasi and Mori 1974).
func (f *Farm) stickyShares(t *tier) []float64 {
	const step, reach = 0.1, 32
	n := len(t.servers)
	w, h, shares := make([]float64, n), make([]float64, n), make([]float64, n)
	sum, none := 0.0, 1.0
	for i, s := range t.servers {
		w[i], h[i] = f.State[s].stickyWeight(), f.holds(&f.State[s])
		sum += w[i]
		none *= 1 - h[i]
	}
	for k := -reach; k <= reach; k++ {
		y := step * float64(k)
		at := math.Exp(math.Pi / 2 * math.Sinh(y))
		all := 0.0 // the logarithm of the product over all
		for i := range w {
			all += math.Log1p(h[i] * math.Expm1(-at*w[i]/sum))
		}
		for i := range w {
			others := all - math.Log1p(h[i]*math.Expm1(-at*w[i]/sum))
			if part := h[i] * w[i] / sum * math.Exp(others-at*w[i]/sum) * at * math.Cosh(y); part > 0 {
				shares[i] += part * step * math.Pi / 2
			}
		}
	}
	for i := range shares {
		shares[i] += none * w[i] / sum
	}
	return shares
}

// holds is the part of its clients that a server keeps.
func (f *Farm) holds(s *State) float64 {
	if s.Util <= stickyIdle {
		return s.Admit
	}
	mean := max(f.MeanUtil, stickyIdle)
	return min(s.Admit, clamp(1-(s.Util-stickyBound*mean)/(stickyWidth*mean), 0, 1))
}

// WhoAsks is whom the servers are chosen for, as Learned.ChanceOf takes it.
func (q *Query) WhoAsks() uint64 {
	if q.Who != 0 {
		return q.Who
	}
	return hashPrefix(q.Client)
}

// WhoIs returns Query.Who of a client that is known by a name of its own, wherever it asks from.
func WhoIs(id [8]byte) uint64 { return mix(binary.BigEndian.Uint64(id[:])) | 1 }

// hashPrefix is the same in every replica and at every start, so that a client sticks to its servers everywhere.
func hashPrefix(p netip.Prefix) uint64 {
	b := p.Addr().As16()
	h := mix(bigEndian(b[:8]) + 0x9E3779B97F4A7C15)
	return mix(h ^ bigEndian(b[8:]) + uint64(p.Bits()))
}

func bigEndian(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32 |
		uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7])
}

// hashString is FNV-1a, 64 bits, mixed.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// unit maps a hash to (0, 1).
func unit(h uint64) float64 {
	return (float64(h>>11) + 0.5) / (1 << 53)
}
