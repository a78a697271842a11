package world

import (
	"math/bits"
	"math/rand/v2"

	"github.com/coredns-farm/farm/steer"
)

// predicted is predict: each replica learns by itself, or they tell each other what they know.
type predicted struct {
	base
	service     steer.Service
	generations []generation
	learned     []*steer.Learned
	rnd         *rand.Rand
	sharings    []sharing
	seconds     int      // so far
	told        [][]byte // by replica: the answers that the others read next
}

// sharing is one kind of knowledge that replicas tell each other, and how often.
type sharing struct {
	period int // seconds
	tell   func(p *predicted, t float64)
}

func newPredicted(sharings ...sharing) maker {
	return func(w *World, rnd *rand.Rand, answers int) policy {
		p := &predicted{base: base{w}, service: steer.Service{Policy: steer.Predict, Answers: answers}, rnd: rnd, sharings: sharings}
		p.learned = make([]*steer.Learned, w.s.Replicas)
		for i := range p.learned {
			p.generations = append(p.generations, generation{seed: rnd.Uint64()})
			p.forget(i)
		}
		return p
	}
}

func (p *predicted) answer(replica int, r *resolver, t float64) (answer, uint32) {
	g := &p.generations[replica]
	f := p.w.db.farm(p.service, g, t)
	q := steer.Query{Client: r.prefix, Family: steer.V4, Chance: f.Turn(), Now: ms(t)}
	pick := steer.DecideWith(f, p.learned[replica], &q)
	p.learned[replica].Note(f, &q, &pick)
	return ofPick(f, &pick), pick.TTL
}

func (p *predicted) tick(t float64) {
	for i := range p.learned {
		p.learned[i].Tick([]*steer.Farm{p.w.db.farm(p.service, &p.generations[i], t)}, ms(t))
	}
	p.seconds++
	for _, s := range p.sharings {
		if p.seconds%s.period == 0 {
			s.tell(p, t)
		}
	}
}

// forget restarts a replica.
func (p *predicted) forget(replica int) {
	p.learned[replica] = steer.NewLearned(4, p.rnd.Uint64())
	p.learned[replica].Resize(p.w.s.tableBits(), steer.DefaultFirst)
	p.generations[replica].farm = nil
}

// tableBits is the size of the table of resolvers. Most of a table of the usual size would be empty, and going through it
// takes most of the time of a run: unless the scenario says otherwise, there are eight places for each resolver.
func (s *Scenario) tableBits() int {
	if s.Table > 0 {
		return s.Table
	}
	ever := uint(float64(s.Resolvers) + s.Churn*s.Duration)
	return min(max(bits.Len(8*ever), leastTable), steer.DefaultResolvers)
}

const leastTable = 8 // bits

// shareLoads hands the loads that each replica knows best to the others, as the services database does.
func (p *predicted) shareLoads(t float64) {
	exports := make([][]byte, len(p.learned))
	for i, l := range p.learned {
		exports[i] = l.Export(p.w.db.farm(p.service, &p.generations[i], t), exported, nil)
	}
	for i, l := range p.learned {
		for j, e := range exports {
			if i == j {
				continue
			}
			if err := l.Merge(p.w.db.farm(p.service, &p.generations[i], t), e, ms(t)); err != nil {
				panic(err) // it is what Export wrote
			}
		}
	}
}

// shareAnswers tells the others of the answers that each replica gave since it told them last. Replicas write and read once a
// second, so what one writes the others read in the next round.
func (p *predicted) shareAnswers(t float64) {
	before := p.told
	p.told = make([][]byte, len(p.learned))
	for i, l := range p.learned {
		farm := p.w.db.farm(p.service, &p.generations[i], t)
		l.ExportAnswers([]*steer.Farm{farm}, ms(t)-1000, ms(t), func(_ *steer.Farm, answers []byte) { p.told[i] = answers })
	}
	for i, l := range p.learned {
		for j, e := range before {
			if i == j || len(e) == 0 {
				continue
			}
			if err := l.MergeAnswers(p.w.db.farm(p.service, &p.generations[i], t), e, ms(t)-1000, ms(t)); err != nil {
				panic(err) // it is what ExportAnswers wrote
			}
		}
	}
}

// exported is how many resolvers each replica shares.
const exported = 256
