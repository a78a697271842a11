package linux

import (
	"cmp"
	"maps"
	"slices"
)

// classAt is a class of a link's qdisc.
type classAt struct {
	link  int
	minor uint16
}

// The classes that every link has. Those of grants come after them.
const (
	minorLink  uint16 = 1 // the whole link
	minorRest  uint16 = 2 // best effort: what is not granted
	minorFirst uint16 = 16
)

// state is what the kernel has of ours.
type state struct {
	classes map[classAt]uint32  // rate in kbit/s
	flows   map[pair]classified // which class a pair's packets are in
	marks   map[pair]marked     // what they are marked with
	values  map[uint8]bool      // DSCP values that have a set and a rule
}

type classified struct {
	minor uint16
	until int64
}

type marked struct {
	dscp  uint8
	until int64
}

func newState() *state {
	return &state{map[classAt]uint32{}, map[pair]classified{}, map[pair]marked{}, map[uint8]bool{}}
}

// untilSlack is by how much an element's end may differ from what is wanted: the kernel's clock is not read with ours.
const untilSlack = 2000 // ms

// plan returns what has to be done so that the kernel has what is wanted and nothing else of ours, in the order in which
// it must be done: a class is there before packets are sent to it, and goes after them.
func plan(have *state, want map[pair]flow) []op {
	p := planner{have: have, wanted: make(map[classAt]bool), values: maps.Clone(have.values)}
	p.claim(want)
	for _, pr := range sortedPairs(want) {
		p.classify(pr, want[pr])
		p.mark(pr, want[pr])
	}
	p.dropRest(want)
	return slices.Concat(p.classes, p.elements, p.drops)
}

type planner struct {
	have   *state
	minors map[pair]uint16  // of the pairs that are wanted and have a class
	taken  map[uint16]bool  // minors that are a pair's, or a class's
	next   uint16           // where to look for a free one
	wanted map[classAt]bool // classes that stay or come
	values map[uint8]bool   // DSCP values that stand or come

	classes, elements, drops []op
}

// claim notes which pairs keep their minor. One that stands at two pairs is the first one's. A class that is on its way
// out keeps its minor until it has gone.
func (p *planner) claim(want map[pair]flow) {
	p.minors, p.taken, p.next = make(map[pair]uint16), make(map[uint16]bool), minorFirst
	for _, pr := range sortedPairs(p.have.flows) {
		minor := p.have.flows[pr].minor
		if !p.taken[minor] && minor >= minorFirst && want[pr].rate > 0 {
			p.minors[pr] = minor
		}
		p.taken[minor] = true
	}
	for at := range p.have.classes {
		p.taken[at.minor] = true
	}
}

// allot finds a free minor for a pair. There is one: maxHeld sees to it.
func (p *planner) allot(pr pair) uint16 {
	for p.taken[p.next] {
		p.next++
	}
	p.minors[pr], p.taken[p.next] = p.next, true
	return p.next
}

func (p *planner) classify(pr pair, f flow) {
	if f.rate == 0 {
		return
	}
	minor, keeps := p.minors[pr]
	if !keeps {
		minor = p.allot(pr)
	}
	at := classAt{f.link, minor}
	p.wanted[at] = true
	if p.have.classes[at] != f.rate {
		p.classes = append(p.classes, op{do: setClass, at: at, rate: f.rate, delay: f.delay})
	}
	old, there := p.have.flows[pr]
	if there && keeps && near(old.until, f.until) {
		return
	}
	if there {
		p.elements = append(p.elements, op{do: dropFlow, pair: pr, at: classAt{minor: old.minor}})
	}
	p.elements = append(p.elements, op{do: addFlow, pair: pr, at: at, until: f.until})
}

func (p *planner) mark(pr pair, f flow) {
	old, there := p.have.marks[pr]
	if f.dscp == 0 || there && old.dscp == f.dscp && near(old.until, f.until) {
		return
	}
	if there {
		p.elements = append(p.elements, op{do: dropMark, pair: pr, dscp: old.dscp})
	}
	if !p.values[f.dscp] {
		p.elements = append(p.elements, op{do: addValue, dscp: f.dscp})
		p.values[f.dscp] = true
	}
	p.elements = append(p.elements, op{do: addMark, pair: pr, dscp: f.dscp, until: f.until})
}

// dropRest takes away what is not wanted.
func (p *planner) dropRest(want map[pair]flow) {
	for _, pr := range sortedPairs(p.have.flows) {
		if want[pr].rate == 0 {
			p.elements = append(p.elements, op{do: dropFlow, pair: pr, at: classAt{minor: p.have.flows[pr].minor}})
		}
	}
	for _, pr := range sortedPairs(p.have.marks) {
		if want[pr].dscp == 0 {
			p.elements = append(p.elements, op{do: dropMark, pair: pr, dscp: p.have.marks[pr].dscp})
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(p.have.classes), byClass) {
		if !p.wanted[at] {
			p.drops = append(p.drops, op{do: dropClass, at: at})
		}
	}
}

func near(a, b int64) bool { return max(a-b, b-a) <= untilSlack }

func byClass(a, b classAt) int {
	return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.minor, b.minor))
}

func sortedPairs[V any](m map[pair]V) []pair {
	return slices.SortedFunc(maps.Keys(m), func(a, b pair) int {
		return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to))
	})
}
