package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// What replicas tell each other of a service's resolvers: a version octet, then 56 octets a resolver, little endian:
//
//	 0  8  hash of who it is
//	 8  4  load behind it, requests a second (IEEE 754)
//	12  4  standard deviation of that
//	16  2  age of its last answer, tenths of a second
//	18  2  for how long the resolver gives it out, seconds
//	20  1  servers in that, 0 to 8
//	21  3  nothing
//	24 32  hashes of the servers' IDs, in order, 4 octets each
const (
	sharedVersion = 1
	sharedEntry   = 56
	// MaxShared is the most resolvers of a service that are shared.
	MaxShared = 512
)

// ErrShared is what Merge returns for octets that are not what Export writes.
var ErrShared = errors.New("shared loads: expected version 1 and whole entries of finite loads")

// adoptFrom is by how much less uncertain, in variance, a load must be than one's own to be adopted. Without a margin
// replicas would adopt their own loads back.
const adoptFrom = 1.2

// Export appends to buf what is best known of a farm's resolvers, at most most of them, the weightiest first: what
// another replica can [Learned.Merge]. It is for the goroutine that calls Tick. O(slots).
func (l *Learned) Export(f *Farm, most int, buf []byte, now int64) []byte {
	buf = append(buf, sharedVersion)
	if f.forecast == nil {
		return buf
	}
	best := l.bestKnown(f)
	for _, k := range best[:min(len(best), most, MaxShared)] {
		buf = l.export(f, k, buf, now)
	}
	return buf
}

// known is a resolver of which something can be told.
type known struct {
	slot *slot
	key  uint64
	belief
}

func (l *Learned) bestKnown(f *Farm) []known {
	var best []known
	for i := range l.slots {
		s := &l.slots[i]
		key := s.key.Load()
		if key == 0 || s.service.Load() != f.hash {
			continue
		}
		if b, ok := s.believed(); ok && b.sigma < b.mean {
			best = append(best, known{s, key, b})
		}
	}
	slices.SortFunc(best, func(a, b known) int {
		return cmp.Or(cmp.Compare(b.mean-b.sigma, a.mean-a.sigma), cmp.Compare(a.key, b.key))
	})
	return best
}

func (l *Learned) export(f *Farm, k known, buf []byte, now int64) []byte {
	var x facts
	if !k.slot.read(k.key, &x) {
		return buf
	}
	le := binary.LittleEndian
	buf = le.AppendUint64(buf, k.slot.who.Load())
	buf = le.AppendUint32(buf, math.Float32bits(float32(k.mean)))
	buf = le.AppendUint32(buf, math.Float32bits(float32(k.sigma)))
	buf = le.AppendUint16(buf, uint16(clamp(float64(now-x.asked)/100, 0, math.MaxUint16)))
	buf = le.AppendUint16(buf, uint16(min(x.keeps()/1000, math.MaxUint16)))
	buf = append(buf, byte(x.n), 0, 0, 0)
	for i := range MaxAnswers {
		id := uint32(0)
		if i < x.n {
			if server := f.forecast.server(x.places[i]); server >= 0 {
				id = uint32(f.hashes[server])
			}
		}
		buf = le.AppendUint32(buf, id)
	}
	return buf
}

// Merge takes over, of what another replica exported of a farm's resolvers at now (ms, on the clock of this one), what
// is known better than here: loads that are less uncertain, and answers that are younger. It is for the goroutine that
// calls Tick. Nothing is taken over from octets that are damaged.
func (l *Learned) Merge(f *Farm, shared []byte, now int64) error {
	if len(shared) < 1 || shared[0] != sharedVersion || (len(shared)-1)%sharedEntry != 0 || len(shared) > 1+MaxShared*sharedEntry {
		return ErrShared
	}
	for e := shared[1:]; len(e) > 0; e = e[sharedEntry:] {
		if b := sharedBelief(e); !(b.mean > 0 && b.mean <= MaxRate && b.sigma > 0 && b.sigma <= b.mean) || e[20] > MaxAnswers {
			return ErrShared
		}
	}
	if f.forecast == nil {
		return nil
	}
	places := make(map[uint32]int32, len(f.hashes))
	for i, h := range f.hashes {
		places[uint32(h)] = f.forecast.place[i]
	}
	for e := shared[1:]; len(e) > 0; e = e[sharedEntry:] {
		l.adopt(f, e, places, now)
	}
	return nil
}

func sharedBelief(e []byte) belief {
	return belief{
		float64(math.Float32frombits(binary.LittleEndian.Uint32(e[8:]))),
		float64(math.Float32frombits(binary.LittleEndian.Uint32(e[12:]))),
	}
}

// adopt takes over one entry.
func (l *Learned) adopt(f *Farm, e []byte, places map[uint32]int32, now int64) {
	who := binary.LittleEndian.Uint64(e)
	key := l.key(f, who)
	i := l.find(key)
	if i < 0 {
		if i = l.claim(key, who, now); i < 0 {
			return
		}
		l.slots[i].store(&facts{service: f.hash, asked: now - idleNew})
		l.slots[i].unlock()
	}
	s, b := &l.slots[i], sharedBelief(e)
	if Tun.ShareA > 0 {
		s.adoptAnswer(key, e, places, now)
	}
	if own, ok := s.believed(); ok && own.sigma*own.sigma*b.mean*b.mean < Tun.AdoptX*b.sigma*b.sigma*own.mean*own.mean {
		return
	}
	s.believe(b)
	if t := &l.traces[i]; t.key == key {
		t.load, t.variance = b.mean, b.sigma*b.sigma
	}
}

// adoptAnswer takes over what the resolver was answered elsewhere, if that is younger. Its clients are there now.
func (s *slot) adoptAnswer(key uint64, e []byte, places map[uint32]int32, now int64) {
	le := binary.LittleEndian
	asked := now - 100*int64(le.Uint16(e[16:]))
	var x facts
	if !s.read(key, &x) || x.asked+shareBlur >= asked || !s.lock() {
		return
	}
	x.asked, x.ttl, x.turn, x.n = asked, 1000*int64(le.Uint16(e[18:])), 0, 0
	x.families, x.elsewhere = 0, true
	for i := range int(e[20]) {
		if place, ok := places[le.Uint32(e[24+4*i:])]; ok {
			x.places[x.n] = place
			x.n++
		}
	}
	s.store(&x)
	s.unlock()
}

// shareBlur is by how many ms the same answer may seem to differ in age.
const shareBlur = 1000
