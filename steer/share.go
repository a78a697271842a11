package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// What replicas tell each other of a service's resolvers: an octet for the unit of loads, then 16 octets a resolver, little
// endian:
//
//	 0  8  hash of who it is
//	 8  4  load behind it (IEEE 754)
//	12  4  standard deviation of that
const (
	sharedRequests = 1 // loads are in requests a second: the capacity of a server was measured
	sharedRelative = 2 // loads are in declared or relative capacities
	sharedEntry    = 16
	// MaxShared is the most resolvers of a service that are shared.
	MaxShared = 512
)

// ErrShared is what Merge returns for octets that are not what Export writes.
var ErrShared = errors.New("shared loads: expected unit 1 or 2 and whole entries of finite loads")

// adoptFrom is by how much less uncertain, in variance, a load must be than one's own to be adopted. Without a margin
// replicas would adopt their own loads back.
const adoptFrom = 2

// Export appends to buf what is best known of a farm's resolvers, at most most of them, the weightiest first: what
// another replica can [Learned.Merge]. It is for the goroutine that calls Tick. O(slots).
func (l *Learned) Export(f *Farm, most int, buf []byte) []byte {
	var best []known
	l.eachKnown(func(service uint64, k known) {
		if service == f.hash {
			best = append(best, k)
		}
	})
	return export(f, best, most, buf)
}

// ExportAll calls tell with what Export returns of each farm of whose resolvers anything is known. O(slots + farms).
func (l *Learned) ExportAll(farms []*Farm, most int, tell func(f *Farm, loads []byte)) {
	best := make(map[uint64][]known)
	l.eachKnown(func(service uint64, k known) { best[service] = append(best[service], k) })
	for _, f := range farms {
		if of := best[f.hash]; f.forecast != nil && len(of) > 0 {
			tell(f, export(f, of, most, nil))
		}
	}
}

// sharedUnit is the unit of a farm's loads.
func (f *Farm) sharedUnit() byte {
	if f.measured {
		return sharedRequests
	}
	return sharedRelative
}

func export(f *Farm, best []known, most int, buf []byte) []byte {
	slices.SortFunc(best, func(a, b known) int {
		return cmp.Or(cmp.Compare(b.mean-b.sigma, a.mean-a.sigma), cmp.Compare(a.who, b.who))
	})
	buf = append(buf, f.sharedUnit())
	for _, k := range best[:min(len(best), most, MaxShared)] {
		buf = binary.LittleEndian.AppendUint64(buf, k.who)
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(k.mean)))
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(k.sigma)))
	}
	return buf
}

// known is a resolver of which something can be told.
type known struct {
	who uint64
	belief
}

// eachKnown calls each with every resolver of whose load something is known, and the hash of its service's name.
func (l *Learned) eachKnown(each func(service uint64, k known)) {
	for i := range l.slots {
		s := &l.slots[i]
		if s.key.Load() == 0 {
			continue
		}
		if b, ok := s.believed(); ok && b.sigma < b.mean {
			each(s.service.Load(), known{s.who.Load(), b})
		}
	}
}

// Merge takes over, of what another replica exported of a farm's resolvers, what is known better than here. It is for
// the goroutine that calls Tick. Nothing is taken over from octets that are damaged, nor from loads in a unit other than the
// farm's: one of the two replicas has not measured a capacity yet.
func (l *Learned) Merge(f *Farm, shared []byte, now int64) error {
	if len(shared) < 1 || shared[0] != sharedRequests && shared[0] != sharedRelative ||
		(len(shared)-1)%sharedEntry != 0 || len(shared) > 1+MaxShared*sharedEntry {
		return ErrShared
	}
	for e := shared[1:]; len(e) > 0; e = e[sharedEntry:] {
		if b := sharedBelief(e); !(b.mean > 0 && b.mean <= MaxRate && b.sigma > 0 && b.sigma <= b.mean) {
			return ErrShared
		}
	}
	if shared[0] != f.sharedUnit() {
		return nil
	}
	for e := shared[1:]; len(e) > 0; e = e[sharedEntry:] {
		l.adopt(f, binary.LittleEndian.Uint64(e), sharedBelief(e), now)
	}
	return nil
}

func sharedBelief(e []byte) belief {
	return belief{
		float64(math.Float32frombits(binary.LittleEndian.Uint32(e[8:]))),
		float64(math.Float32frombits(binary.LittleEndian.Uint32(e[12:]))),
	}
}

// adopt takes over one load. A resolver that never asked here gets a slot, too: it may ask next.
func (l *Learned) adopt(f *Farm, who uint64, b belief, now int64) {
	key := l.key(f, who)
	i := l.find(key)
	if i < 0 {
		if i = l.claim(key, who, now); i < 0 {
			return
		}
		l.slots[i].store(&facts{service: f.hash, asked: now})
		l.slots[i].unlock()
	}
	s := &l.slots[i]
	if own, ok := s.believed(); ok && own.doubt() < adoptFrom*b.doubt() {
		return
	}
	s.believe(b)
	if t := &l.traces[i]; t.key == key {
		t.load, t.variance = b.mean, b.sigma*b.sigma
	}
}
