package world

import (
	"math/rand/v2"

	"github.com/coredns-farm/farm/steer"
)

// predicted is predict: each replica learns by itself, or they share what they learn.
type predicted struct {
	base
	service     steer.Service
	generations []generation
	learned     []*steer.Learned
	rnd         *rand.Rand
	shared      bool
}

func newPredicted(shared bool) maker {
	return func(w *World, rnd *rand.Rand, answers int) policy {
		p := &predicted{base: base{w}, service: steer.Service{Policy: steer.Predict, Answers: answers}, rnd: rnd, shared: shared}
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
}

// forget restarts a replica.
func (p *predicted) forget(replica int) {
	p.learned[replica] = steer.NewLearned(4, p.rnd.Uint64())
	p.generations[replica].farm = nil
}

// share hands what each replica knows best to the others, as the services database does.
func (p *predicted) share(t float64) {
	if !p.shared {
		return
	}
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

// exported is how many resolvers each replica shares.
const exported = 256
