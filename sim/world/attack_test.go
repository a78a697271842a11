package world

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// attacked is predict while somebody asks from many addresses and sends no client anywhere.
type attacked struct {
	*predicted
	addresses int     // from which the attacker asks in turn; 0 is a new one each time
	rate      float64 // lookups a second
	next      float64 // when the next one is due
	asked     int
	chance    *rand.Rand
}

func (a *attacked) answer(replica int, r *resolver, t float64) (answer, uint32) {
	for ; a.next < t; a.next += 1 / a.rate {
		from := a.asked
		if a.addresses > 0 {
			from %= a.addresses
		}
		a.asked++
		a.predicted.answer(a.chance.IntN(len(a.learned)), &resolver{prefix: attackerAt(from)}, a.next)
	}
	return a.predicted.answer(replica, r, t)
}

// attackerAt is an address that no resolver of a scenario has.
func attackerAt(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
}

// smallTable has room for four times the resolvers that there are: an attacker fills it within a minute. (A table of the
// usual size takes as many addresses more.)
const smallTable = 11

// underAttack runs predict while somebody asks from so many addresses.
func underAttack(t *testing.T, s *Scenario, addresses int, rate float64) Result {
	t.Helper()
	w, err := newWorld(s, "predict", 1)
	if err != nil {
		t.Fatal(err)
	}
	p := w.policy.(*predicted)
	for _, l := range p.learned {
		l.Resize(smallTable, steer.DefaultFirst)
	}
	w.policy = &attacked{predicted: p, addresses: addresses, rate: rate, chance: rand.New(rand.NewPCG(1, 2))}
	for w.events[0].at <= s.Duration {
		w.handle(w.events.pop())
	}
	return w.meter.result(s)
}

// The bounds on what an attacker with many addresses, who asks and sends nobody, can do to the evenness that others see
// under predict: the ratio of the most utilised server to the mean, in the mean over time.
const (
	// Of a few addresses it soon shows that nobody stands behind them, however often they ask.
	boundOfFew = 1.1 // times what it is without the attack
	// New addresses without end fill the table of resolvers, and those whom it has no room for are steered less well.
	// At worst what was learned is worth nothing; then the farm is about as even as under static weights.
	boundOfMany = 1.5 // times what it is under static weights
)

// TestManyAddresses has an attacker ask at four times the rate of all others together: real lookups are some 15 a second
// here.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	s := builtInScenario(t, "S1")
	s.Duration, s.From = 240, 120
	calm := underAttack(t, &s, 1, .01) // hardly an attack
	weights, err := Run(&s, "weighted", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, attack := range []struct {
		addresses int
		bound     float64
	}{
		{200, boundOfFew * calm.MeanRatio},
		{2500, boundOfMany * weights.MeanRatio},
		{0, boundOfMany * weights.MeanRatio},
	} {
		r := underAttack(t, &s, attack.addresses, 60)
		t.Logf("%d addresses: %.2f; without the attack: %.2f; static weights: %.2f", attack.addresses, r.MeanRatio, calm.MeanRatio, weights.MeanRatio)
		if r.MeanRatio > attack.bound || r.Failed > calm.Failed+.001 {
			t.Errorf("%d addresses: expected a mean ratio of at most %.2f and no failures, got %.2f and %.4f",
				attack.addresses, attack.bound, r.MeanRatio, r.Failed)
		}
	}
}
