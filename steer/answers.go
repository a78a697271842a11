package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// What replicas tell each other of the answers that they gave: a version octet, then for each resolver, little endian:
//
//	 0  8  hash of who it is
//	 8  2  age of the answer, in units of 10 ms
//	10  2  TTL, seconds
//	12  1  number of servers
//	13  4  for each of them: the low half of the hash of its ID
const (
	answersVersion = 1
	answerHead     = 13
	// MaxTold is the most answers of a service that are told at a time.
	MaxTold  = 256
	ageUnit  = 10 // ms
	maxAge   = 1<<16 - 1
	toldTurn = 1 << 63 // no lookup has such a chance
)

// ErrAnswers is what MergeAnswers returns for octets that are not what ExportAnswers writes.
var ErrAnswers = errors.New("told answers: expected version 1 and whole entries")

// given is an answer that this replica gave.
type given struct {
	slot int
	load float64
}

// ExportAnswers appends to buf the answers that this replica gave after since (ms), at most MaxTold, those to the weightiest
// resolvers. It is for the goroutine that calls Tick. O(slots).
func (l *Learned) ExportAnswers(f *Farm, since, now int64, buf []byte) []byte {
	var all []given
	for i := range l.slots {
		s := &l.slots[i]
		if s.key.Load() == 0 || s.service.Load() != f.hash || s.asked.Load() <= since {
			continue
		}
		b, _ := s.believed()
		all = append(all, given{i, b.mean})
	}
	slices.SortFunc(all, func(a, b given) int { return cmp.Compare(b.load, a.load) })
	buf = append(buf, answersVersion)
	for _, g := range all[:min(len(all), MaxTold)] {
		buf = l.exportAnswer(f, g.slot, now, buf)
	}
	return buf
}

func (l *Learned) exportAnswer(f *Farm, i int, now int64, buf []byte) []byte {
	var x facts
	s := &l.slots[i]
	if !s.read(s.key.Load(), &x) || x.told || x.n == 0 {
		return buf
	}
	buf = binary.LittleEndian.AppendUint64(buf, s.who.Load())
	buf = binary.LittleEndian.AppendUint16(buf, uint16(min(max(now-x.asked, 0)/ageUnit, maxAge)))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(min(x.ttl/1000, 1<<16-1)))
	at := len(buf)
	buf = append(buf, 0)
	for _, place := range x.places[:x.n] {
		if c := f.forecast.server(place); c >= 0 {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(f.hashes[c]))
			buf[at]++
		}
	}
	return buf
}

// MergeAnswers takes in what another replica told: those resolvers will send their clients there. Nothing is taken in from
// octets that are damaged. It is for the goroutine that calls Tick.
func (l *Learned) MergeAnswers(f *Farm, told []byte, now int64) error {
	if f.forecast == nil {
		return nil
	}
	if len(told) < 1 || told[0] != answersVersion {
		return ErrAnswers
	}
	byHash := f.placesByHash()
	for e := told[1:]; len(e) > 0; {
		if len(e) < answerHead || len(e) < answerHead+4*int(e[12]) || e[12] > MaxAnswers {
			return ErrAnswers
		}
		n := int(e[12])
		x := facts{
			service: f.hash, turn: toldTurn, told: true, families: AnyFamily,
			asked: now - ageUnit*int64(binary.LittleEndian.Uint16(e[8:])), ttl: 1000 * int64(binary.LittleEndian.Uint16(e[10:])),
		}
		for i := range n {
			if place, ok := byHash[binary.LittleEndian.Uint32(e[answerHead+4*i:])]; ok {
				x.places[x.n] = place
				x.n++
			}
		}
		l.hear(f, binary.LittleEndian.Uint64(e), &x, now)
		e = e[answerHead+4*n:]
	}
	return nil
}

func (f *Farm) placesByHash() map[uint32]int32 {
	m := make(map[uint32]int32, len(f.hashes))
	for i, h := range f.hashes {
		m[uint32(h)] = f.forecast.place[i]
	}
	return m
}

// hear takes in one answer, unless one of this replica is newer.
func (l *Learned) hear(f *Farm, who uint64, x *facts, now int64) {
	key := l.key(f, who)
	i := l.find(key)
	if i < 0 {
		if i = l.claim(key, who, now); i < 0 {
			return
		}
	} else if !l.slots[i].lock() {
		return
	}
	slot := &l.slots[i]
	var old facts
	slot.load(&old)
	if old.n > 0 && old.asked >= x.asked {
		slot.unlock()
		return
	}
	load := 0.0
	if b, ok := slot.believed(); ok {
		load = b.mean
	} else if m := f.forecast.model.Load(); m != nil {
		load = m.prior.mean
	}
	if old.n > 0 && old.live(now) {
		f.expect(l, &old, -load)
	}
	x.seen, x.gaps = old.seen, old.gaps
	slot.store(x)
	slot.unlock()
	f.expect(l, x, load)
}
