package steer

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
)

// Replicas tell each other the answers that they gave, because a resolver sends its clients by its last answer, whichever
// replica gave it. The answers of one farm are a version octet, then for each resolver, little endian:
//
//	 0  8  hash of who it is
//	 8  2  age of the answer when it was exported, in ms
//	10  2  TTL, in seconds
//	12  1  number of servers, 1 to MaxAnswers
//	13  4  for each server, in the order of the answer: the low half of the hash of its ID
const (
	answersVersion = 1
	answerHead     = 13
	serverOctets   = 4
	maxUint16      = 1<<16 - 1 // of ages and TTLs
	toldTurn       = 1 << 63   // as the chance of an answer: no query has such a one, so no query repeats the answer

	// MaxTold is the most answers of one farm in one export.
	MaxTold = 256
)

// ErrAnswers is what MergeAnswers returns for octets that ExportAnswers does not write.
var ErrAnswers = errors.New("told answers: expected version 1 and up to 256 whole entries of 1 to 8 servers")

// ownAnswer is the last answer to a resolver, which this replica gave.
type ownAnswer struct {
	service, key uint64
	slot         int
	load         float64
}

// ExportAnswers calls tell with the answers that this replica gave after since (ms), for each farm that has any: at most
// MaxTold a farm, those to the resolvers of the largest loads. tell may keep the octets. It is for the goroutine that
// calls Tick. O(slots + farms).
func (l *Learned) ExportAnswers(farms []*Farm, since, now int64, tell func(f *Farm, answers []byte)) {
	l.collectAnswers(since)
	for _, f := range farms {
		if f.forecast == nil {
			continue
		}
		first, found := slices.BinarySearchFunc(l.answers, f.hash, func(a ownAnswer, hash uint64) int { return cmp.Compare(a.service, hash) })
		if !found {
			continue
		}
		rest := l.answers[first:]
		n := 1
		for n < len(rest) && n < MaxTold && rest[n].service == f.hash {
			n++
		}
		if answers := l.encodeAnswers(f, rest[:n], now); len(answers) > 1 {
			tell(f, answers)
		}
	}
}

// collectAnswers lists this replica's own answers after since: by service, and there the largest loads first.
func (l *Learned) collectAnswers(since int64) {
	l.answers = l.answers[:0]
	for i := range l.slots {
		s := &l.slots[i]
		key := s.key.Load()
		if key == 0 || s.asked.Load() <= since {
			continue
		}
		if meta := s.meta.Load(); meta&metaTold != 0 || meta&metaServers == 0 {
			continue
		}
		service := s.service.Load()
		l.answers = append(l.answers, ownAnswer{service, key, i, l.loadOf(s, service)})
	}
	slices.SortFunc(l.answers, func(a, b ownAnswer) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(b.load, a.load), cmp.Compare(a.slot, b.slot))
	})
}

// loadOf returns what Tick believes the load behind a resolver to be, or believes of strangers.
func (l *Learned) loadOf(s *slot, service uint64) float64 {
	if b, ok := s.believed(); ok {
		return b.mean
	}
	if w := l.works[service]; w != nil {
		return w.prior().mean
	}
	return 0
}

func (l *Learned) encodeAnswers(f *Farm, answers []ownAnswer, now int64) []byte {
	buf := append(make([]byte, 0, 1+len(answers)*(answerHead+serverOctets*MaxAnswers)), answersVersion)
	for _, a := range answers {
		var x facts
		s := &l.slots[a.slot]
		who := s.who.Load()
		if s.read(a.key, &x) && !x.told {
			buf = f.appendAnswer(buf, who, &x, now)
		}
	}
	return buf
}

// appendAnswer appends an answer, unless all of its servers are gone.
func (f *Farm) appendAnswer(buf []byte, who uint64, x *facts, now int64) []byte {
	start := len(buf)
	buf = binary.LittleEndian.AppendUint64(buf, who)
	buf = binary.LittleEndian.AppendUint16(buf, uint16(min(max(now-x.asked, 0), maxUint16)))
	buf = binary.LittleEndian.AppendUint16(buf, uint16(min(x.ttl/1000, maxUint16)))
	buf = append(buf, 0)
	for _, place := range x.places[:x.n] {
		if c := f.forecast.server(place); c >= 0 {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(f.hashes[c]))
			buf[start+answerHead-1]++
		}
	}
	if buf[start+answerHead-1] == 0 {
		return buf[:start]
	}
	return buf
}

// MergeAnswers takes over the answers of a farm that another replica exported at a time (ms on the clock of now): the
// clients of those resolvers are expected where these answers send them. It passes over an answer that is not newer than
// the one that is known of a resolver, or that no resolver uses any more. It takes nothing from octets that are damaged. It
// is for the goroutine that calls Tick.
func (l *Learned) MergeAnswers(f *Farm, answers []byte, exported, now int64) error {
	if !areAnswers(answers) {
		return ErrAnswers
	}
	if f.forecast == nil {
		return nil
	}
	for e := answers[1:]; len(e) > 0; e = e[answerSize(e):] {
		x := f.decodeAnswer(e, exported, now)
		if x.n > 0 && x.live(now) {
			l.takeAnswer(f, binary.LittleEndian.Uint64(e), &x, now)
		}
	}
	return nil
}

// areAnswers says whether ExportAnswers can have written the octets.
func areAnswers(answers []byte) bool {
	if len(answers) < 1 || answers[0] != answersVersion {
		return false
	}
	n := 0
	for e := answers[1:]; len(e) > 0; e = e[answerSize(e):] {
		if n++; n > MaxTold || len(e) < answerHead || e[answerHead-1] < 1 || e[answerHead-1] > MaxAnswers || len(e) < answerSize(e) {
			return false
		}
	}
	return true
}

func answerSize(e []byte) int { return answerHead + serverOctets*int(e[answerHead-1]) }

// decodeAnswer reads a valid entry. Servers that the farm does not have are left out.
func (f *Farm) decodeAnswer(e []byte, exported, now int64) facts {
	x := facts{
		service: f.hash, turn: toldTurn, told: true, families: AnyFamily,
		asked: min(exported-int64(binary.LittleEndian.Uint16(e[8:])), now),
		ttl:   1000 * int64(binary.LittleEndian.Uint16(e[10:])),
	}
	places := f.placesByHash()
	for h := e[answerHead:answerSize(e)]; len(h) > 0; h = h[serverOctets:] {
		if place, ok := places[binary.LittleEndian.Uint32(h)]; ok {
			x.places[x.n] = place
			x.n++
		}
	}
	return x
}

// takeAnswer takes over one answer, unless a newer one to the same resolver is known.
func (l *Learned) takeAnswer(f *Farm, who uint64, x *facts, now int64) {
	key := l.key(f, who)
	i := l.find(key)
	if i < 0 {
		if i = l.claim(key, who, now); i < 0 {
			return
		}
	} else if !l.slots[i].lock() {
		return
	}
	s := &l.slots[i]
	defer s.unlock()
	var old facts
	s.load(&old)
	if old.n > 0 && old.asked >= x.asked {
		return
	}
	x.seen, x.gaps = old.seen, old.gaps
	f.redirect(l, s, &old, x, now)
	s.store(x)
}
