package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// policy steers. base implements all but answer.
type policy interface {
	answer(replica int, r *resolver, t float64) (answer, uint32)
	tick(t float64)     // each second
	forget(replica int) // the replica restarts
	scope() scope
	route(t float64) int // of scope perRequest
}

// scope is what one choice of a policy holds for.
type scope uint8

const (
	perAnswer  scope = iota // all who ask while resolvers keep it
	perSession              // one session, as if resolvers kept nothing
	perRequest              // one request, as if there was no DNS
)

type base struct{ w *World }

func (base) tick(float64)      {}
func (base) forget(int)        {}
func (base) scope() scope      { return perAnswer }
func (base) route(float64) int { return 0 }

// maker makes a policy; answers is how many addresses an answer is to carry, 0 as the policy does by itself.
type maker func(w *World, rnd *rand.Rand, answers int) policy

type entry struct {
	name, title string
	make        maker
}

// entries are the policies, in the order of the tables.
func entries() []entry {
	return []entry{
		{"oracle", "per-request oracle (floor)", newOracle},
		{"ideal", "per-session ideal (floor)", newIdeal},
		{"fluid", "random in proportion to capacity (floor)", newFluid(0)},
		{"fluid+root", "the same with square-root headroom (floor)", newFluid(rootHeadroom)},
		{"uniform", "uniform", ofCore(steer.RoundRobin, 1)},
		{"weighted", "static weighted", ofCore(steer.Weighted, 1)},
		{"weighted+right", "static weighted, weights right", newRightlyWeighted},
		{"least", "least utilised", ofRule(leastUtilised)},
		{"p2c", "two random choices", ofRule(twoChoices)},
		{"shed_load", "shed_load", ofRule(shedLoad)},
		{"grpc_wrr", "gRPC weighted round robin", ofRule(grpcWRR)},
		{"sticky", "rendezvous, bounded load", ofCore(steer.Sticky, 1)},
		{"headroom", "headroom", ofCore(steer.Headroom, 0)},
		{"predict", "predict", newPredicted()},
		{"predict+shared", "predict, answers and loads shared", newPredicted(sharing{5, (*predicted).shareLoads}, sharing{1, (*predicted).shareAnswers})},
	}
}

// Policy is a policy that can be simulated. Its name may be followed by a colon and the number of addresses an answer.
type Policy struct{ Name, Title string }

// Policies returns all policies, in the order of the tables.
func Policies() []Policy {
	var all []Policy
	for _, e := range entries() {
		all = append(all, Policy{e.name, e.title})
	}
	return all
}

func (w *World) choose(name string, rnd *rand.Rand) error {
	base, count, given := strings.Cut(name, ":")
	answers := 0
	if given {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > steer.MaxAnswers {
			return fmt.Errorf("policy %s: expected 1 to %d addresses after the colon", name, steer.MaxAnswers)
		}
		answers = n
	}
	all := entries()
	i := slices.IndexFunc(all, func(e entry) bool { return e.name == base })
	if i < 0 {
		return fmt.Errorf("unknown policy %q", base)
	}
	w.policy = all[i].make(w, rnd, answers)
	return nil
}

// steered is a policy of the real decision core.
type steered struct {
	base
	service     steer.Service
	generations []generation // by replica
}

func ofCore(p steer.Policy, answers int) maker {
	return func(w *World, rnd *rand.Rand, given int) policy {
		if given > 0 {
			answers = given
		}
		s := &steered{base: base{w}, service: steer.Service{Policy: p, Answers: answers}}
		for range w.s.Replicas {
			s.generations = append(s.generations, generation{seed: rnd.Uint64()})
		}
		return s
	}
}

// newRightlyWeighted is the policy weighted of an operator who knows what each server can bear beside its load from elsewhere,
// and has set the weights to that.
func newRightlyWeighted(w *World, rnd *rand.Rand, answers int) policy {
	due := w.due(0, w.s.Utilization*w.s.Capacity())
	for i := range w.db.members {
		w.db.members[i].Server.Weight = &due[i]
	}
	return ofCore(steer.Weighted, 0)(w, rnd, answers)
}

func (s *steered) answer(replica int, r *resolver, t float64) (answer, uint32) {
	f := s.w.db.farm(s.service, &s.generations[replica], t)
	p := steer.Decide(f, &steer.Query{Client: r.prefix, Family: steer.V4, Chance: f.Turn()})
	return ofPick(f, &p), p.TTL
}

func ofPick(f *steer.Farm, p *steer.Pick) answer {
	a := answer{n: p.N}
	for i := range p.N {
		// The servers have their numbers as names, all of one length: the farm's order is the world's.
		a.servers[i] = p.Servers[i]
	}
	return a
}
