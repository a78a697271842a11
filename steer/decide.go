package steer

import "net/netip"

// Query is one lookup as the decision sees it.
type Query struct {
	Client  netip.Prefix // who asks: the resolver's address, or the subnet that it asks for
	Region  int          // where the client is, as Regions numbers it; 0 is nowhere
	Family  Family       // what the client can use
	Answers int          // at most so many servers; 0 is as the service says
	Chance  uint64       // from Learned.Chance, or from an earlier pick to replay it
	Now     int64        // ms
	Who     uint64       // from WhoIs, for a client that is known by more than where it asks from; 0 is by Client
	Level   uint8        // the rank that the client may have; 0 is best effort
	Ports   bool         // whether servers at one address are told apart by their ports, as SRV does
	Granted int32        // 1 + index of the server that it has been granted; 0 is none
}

// Pick is the outcome of one decision: the servers to answer with, in order, and why these.
type Pick struct {
	N        int               // how many servers
	Servers  [MaxAnswers]int32 // indexes into the farm
	TTL      uint32            // seconds
	Rung     Rung              // how far down the ladder it went
	Tier     int               // which tier of the client's view
	Fallback string            // on rung Fallback, the name to answer with
	Chance   uint64            // what the pick was drawn with
	Personal bool              // whether another client would have been given others at the same chance
	By       Method            // how
	Level    uint8             // the rank that it was chosen for, which may be lower than the query's; 0 is best effort

	drawn [MaxAnswers]int32 // under Predict, the servers chosen, of whatever family
	draws int8
}

// Decide chooses the servers for a query. It is pure: the same farm and query give the same pick. It takes no lock,
// allocates nothing, and costs O(answers x log servers), under Sticky O(servers).
//
// A and AAAA of one client get the same servers: both are drawn, with the same chance, from all the servers, and those
// that lack the family asked for are left out of what was drawn; only if none is left does drawing go on.
func Decide(f *Farm, q *Query) Pick { return DecideWith(f, nil, q) }

// DecideWith is Decide with what was learned of resolvers.
func DecideWith(f *Farm, l *Learned, q *Query) (p Pick) {
	DecideInto(&p, f, l, q)
	return p
}

// DecideInto is DecideWith where the caller has the room: stacks that carry fewer copies need not grow.
func DecideInto(p *Pick, f *Farm, l *Learned, q *Query) {
	held := f.honours(q)
	f = f.seenBy(q)
	v := f.view(q.Region)
	*p = Pick{Rung: v.rung, TTL: f.ttl(v.rung), Chance: q.Chance, Level: f.rank()}
	switch {
	case held:
		f.keepGranted(q, p)
	case v.rung == Fallback:
		p.Fallback = f.Service.Fallback[q.Chance%uint64(len(f.Service.Fallback))]
	case v.rung == Nothing:
	case f.Service.Policy == Sticky:
		f.stick(v, q, p)
	case f.Service.Policy == Predict && v.rung == Normal:
		f.predict(v, l, q, p)
	default:
		f.draw(v, q, p)
	}
}

// ttl is short while the farm is changing, so that clients follow soon, and long while it is not.
func (f *Farm) ttl(r Rung) uint32 {
	if f.Busy || r != Normal {
		return f.Settings.TTL
	}
	return f.Settings.MaxTTL
}

// fraction maps a turn to [0, 1) so that any run of turns covers it evenly: the additive recurrence of the golden
// ratio, whose discrepancy is the least of all (Niederreiter 1992, section 3.1).
func fraction(turn uint64) float64 {
	const golden = 0x9E3779B97F4A7C15
	return float64(turn*golden>>11) / (1 << 53)
}

// draw takes the tier at the turn's fraction, and in it k servers at equal steps of the running sums (systematic
// sampling: each server is given in proportion to its weight, and none twice, while no weight is above 1/k).
func (f *Farm) draw(v *view, q *Query, p *Pick) {
	u := fraction(q.Chance)
	lo := 0.0
	for p.Tier < len(v.tiers)-1 && u >= v.tiers[p.Tier].upto {
		lo = v.tiers[p.Tier].upto
		p.Tier++
	}
	t := &v.tiers[p.Tier]
	u = (u - lo) / (t.upto - lo)
	k := f.answers(t, q)
	for i := range k {
		f.take(t, t.position(u, i, k, q.Chance), q, p)
	}
	if p.N == 0 {
		f.takeAny(v, q, p)
	}
}

// position returns where in the tier the i-th of k draws falls.
func (t *tier) position(u float64, i, k int, turn uint64) int {
	n := len(t.servers)
	if t.equal {
		return int((turn + uint64(i)) % uint64(n))
	}
	x := u + float64(i)/float64(k)
	if x >= 1 {
		x--
	}
	return t.at(x)
}

// answers is how many servers an answer of the tier carries. As many as stay in proportion is the rule; Headroom and Predict
// give two where that is in proportion at least now and then, so that a client has another when its server dies before the
// answer does.
func (f *Farm) answers(t *tier, q *Query) int {
	k := t.answers
	switch {
	case q.Answers > 0:
		k = q.Answers
	case f.Settings.Answers > 0:
		k = f.Settings.Answers
	case f.Service.Policy == Headroom || f.Service.Policy == Predict:
		k = max(k, t.second(q.Chance))
	case f.Service.Policy == First:
		k = 1
	}
	return min(k, MaxAnswers, len(t.servers))
}

// second is 2 if the answer with this chance carries a second address, else 1. Where one server has more than half of a tier's
// weight, two addresses in each answer would give the others more than their share: of the clients that may take any of two
// addresses, half take the second.
func (t *tier) second(chance uint64) int {
	if t.often < 1 && unit(mix(chance)) >= t.often {
		return 1
	}
	return 2
}

// keepProportion sets how many addresses the tier's answers can carry and still be in proportion, and how often a second one,
// where all its servers together have so much weight, and the largest most of it.
func (t *tier) keepProportion(sum, most float64) {
	t.answers = min(max(int(sum/most+1e-9), 1), MaxAnswers)
	t.often = min(2*(1-most/sum)/(1-DefaultFirst), 1)
}

// redraws is how often a server that is in the pick already is drawn anew, by weight. The next one in the tier would get more
// than its share.
const redraws = 4

// take adds the server at a position of the tier to the pick; if it is there already, another that is not. A server of
// another family takes its turn and is left out.
func (f *Farm) take(t *tier, at int, q *Query, p *Pick) {
	n := len(t.servers)
	for i := range n + redraws {
		s := t.servers[at]
		if !f.picked(q, p, s) {
			if f.State[s].Family&q.Family != 0 {
				p.add(s)
			}
			return
		}
		if i < redraws && !t.equal {
			at = t.at(unit(mix(q.Chance ^ uint64(i+1)<<32)))
		} else {
			at = (at + 1) % n
		}
	}
}

// takeAny goes on, from where the turn fell, to the first server of the family, in this tier, then in the others.
func (f *Farm) takeAny(v *view, q *Query, p *Pick) {
	if f.families&q.Family == 0 {
		return
	}
	first := p.Tier
	for i := range v.tiers {
		p.Tier = (first + i) % len(v.tiers)
		t := &v.tiers[p.Tier]
		n := uint64(len(t.servers))
		for j := range n {
			s := t.servers[(q.Chance+j)%n]
			if f.State[s].Family&q.Family != 0 {
				p.add(s)
				return
			}
		}
	}
	p.Tier = first
}

// picked reports whether a server is in the pick, or another one at its addresses that the answer would not tell from it.
func (f *Farm) picked(q *Query, p *Pick, s int32) bool {
	if f.twins == nil || q.Ports {
		return p.has(s)
	}
	for i := range p.N {
		if f.twins[p.Servers[i]] == f.twins[s] {
			return true
		}
	}
	return false
}

func (p *Pick) add(s int32) {
	p.Servers[p.N] = s
	p.N++
}

func (p *Pick) has(s int32) bool {
	for i := range p.N {
		if p.Servers[i] == s {
			return true
		}
	}
	return false
}
