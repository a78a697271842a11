package steer

import (
	"net/netip"
	"slices"
)

// Among applies the decision to addresses that somebody else answered with: it writes to order the positions of those
// to keep, best first, and returns how many. Addresses of servers that are not open are left out; addresses that are
// nobody's count as servers of mean weight, for nothing speaks against them. It returns 0 when no address is left, or
// none is a server's: then the answer had better stay as it is. The farm must have been built Indexed.
//
// order must be at least as long as addrs. Addresses beyond the first maxAmong stay out.
func Among(f *Farm, q *Query, addrs []netip.Addr, order []int) int {
	var weights [maxAmong]float64
	n := min(len(addrs), maxAmong)
	sum, most := f.weighAmong(addrs[:n], weights[:n])
	if sum == 0 {
		return 0
	}
	k := q.Answers
	if k == 0 {
		k = f.Service.Answers
	}
	if k == 0 {
		k = max(int(sum/most+1e-9), 1)
	}
	return drawAmong(weights[:n], sum, min(k, n), fraction(q.Chance), order)
}

// maxAmong bounds the addresses of a foreign answer that are looked at; more do not fit a UDP answer.
const maxAmong = 256

func (f *Farm) weighAmong(addrs []netip.Addr, weights []float64) (sum, most float64) {
	var known, strangers float64
	for i, a := range addrs {
		s := f.ByAddress(a)
		switch {
		case s < 0:
			weights[i] = -1
			strangers++
		case f.State[s].Gate == Open:
			weights[i] = f.State[s].Weight
			known++
			sum += weights[i]
		}
	}
	if strangers == float64(len(addrs)) {
		return 0, 0
	}
	mean := ratioOr(sum, known, 1)
	for i := range weights {
		if weights[i] < 0 {
			weights[i] = mean
			sum += mean
		}
		most = max(most, weights[i])
	}
	return sum, most
}

// drawAmong is systematic sampling over a list too short to be worth a table.
func drawAmong(weights []float64, sum float64, k int, u float64, order []int) int {
	n := 0
	for i := range k {
		x := u + float64(i)/float64(k)
		if x >= 1 {
			x--
		}
		at := 0
		for c := weights[0] / sum; c <= x && at < len(weights)-1; c += weights[at] / sum {
			at++
		}
		for range weights {
			if weights[at] > 0 && !slices.Contains(order[:n], at) {
				order[n] = at
				n++
				break
			}
			at = (at + 1) % len(weights)
		}
	}
	return n
}
