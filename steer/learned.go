package steer

import (
	"net/netip"
	"sync/atomic"
)

// Kind tells apart the questions that one client asks about one service at nearly the same time.
type Kind uint8

// The kinds.
const (
	KindA Kind = 1 << iota
	KindAAAA
	KindSRV
	KindHTTPS
)

// Learned is what is learned from queries. It is of a fixed size, whoever asks whatever, and is read and written
// without locks by any number of goroutines.
//
// Here it remembers, for a moment, with which turn a client was last answered, so that the questions of one lookup (A,
// AAAA, HTTPS, each a query of its own) get the same servers, while the next lookup gets the next turn.
type Learned struct {
	pairs []atomic.Uint64 // tag 12 bits | kinds 4 | time 16, in steps of pairStep | turn 32
	seed  uint64

	slots []slot  // the resolvers of all services
	first float64 // the part of the clients that take the first address of an answer

	tracked atomic.Int64 // resolvers, at the last Tick

	// Of Tick alone.
	traces   []trace // one a slot, in its place
	works    map[uint64]*work
	open     []*work // of this tick, in the order of the farms
	machines machines
	answers  []ownAnswer // of this export
	ticked   int64
	ticks    int64
}

const (
	pairStep  = 64 // ms
	pairSteps = 16 // a lookup's questions come within a second
)

// NewLearned makes an empty table of 2^bits places. The seed keys the hash of the table, so that a client cannot choose
// whose place it takes; keep it secret.
func NewLearned(bits int, seed uint64) *Learned {
	l := &Learned{pairs: make([]atomic.Uint64, 1<<bits), seed: seed}
	l.Resize(DefaultResolvers, DefaultFirst)
	return l
}

// What a table has unless Resize says otherwise.
const (
	DefaultResolvers = 14  // 2^14 resolvers of all services together, about 8 MiB
	DefaultFirst     = 0.3 // as measured of browsers; under-state it rather than over-state it
)

// Resize empties the table of resolvers and gives it 2^bits places, at least 8. first is the part of the clients that
// take the first address of an answer; the others are taken to choose any. It is for the time before the first query.
func (l *Learned) Resize(bits int, first float64) {
	bits = max(bits, 3)
	l.slots, l.traces = make([]slot, 1<<bits), make([]trace, 1<<bits)
	l.works, l.open = make(map[uint64]*work), nil
	l.first = clamp(first, 0, 1)
}

// Tracked returns of how many resolvers, of all services together, anything was known at the last Tick, and how many there
// is room for.
func (l *Learned) Tracked() (n, room int) { return int(l.tracked.Load()), len(l.slots) }

// Chance returns the turn with which to answer a client's question of a kind about a farm at now (ms): that of the
// client's last question, if it was asked within the last second or so and was of another kind; else the farm's next.
func (l *Learned) Chance(f *Farm, client netip.Prefix, kind Kind, now int64) uint64 {
	return l.ChanceOf(f, hashPrefix(client), kind, now)
}

// ChanceOf is Chance for a client that WhoIs names.
func (l *Learned) ChanceOf(f *Farm, who uint64, kind Kind, now int64) uint64 {
	h := mix(who ^ f.hash ^ l.seed)
	place := &l.pairs[h&uint64(len(l.pairs)-1)]
	tag, at := h>>52, uint64(now/pairStep)&0xffff
	old := place.Load()
	if old>>52 == tag && (at-old>>32)&0xffff < pairSteps && old>>48&uint64(kind) == 0 {
		place.CompareAndSwap(old, old|uint64(kind)<<48)
		return old & 0xffffffff
	}
	turn := f.Turn() & 0xffffffff
	place.Store(tag<<52 | uint64(kind)<<48 | at<<32 | turn)
	return turn
}
