package steer

import "net/netip"

func (l *Learned) DebugBelief(f *Farm, c netip.Prefix) (mean, sigma float64, ok bool) {
	i := l.find(l.key(f, hashPrefix(c)))
	if i < 0 {
		return 0, 0, false
	}
	b, ok := l.slots[i].believed()
	return b.mean, b.sigma, ok
}
func (l *Learned) DebugWork(f *Farm) (load, others, sig, perLookup float64, said, fore []float64, pend []float64) {
	w := l.works[f.hash]
	return w.load, w.others, w.othersVar, w.perLookup, w.said, w.fore, w.pend
}

var DebugTrue map[uint64]float64

func (l *Learned) DebugKey(f *Farm, c netip.Prefix) uint64 { return l.key(f, hashPrefix(c)) }
