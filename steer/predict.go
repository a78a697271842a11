package steer

// Predict chooses the servers whose utilisation will be least once all that was answered has arrived: their last
// reports, and the pending load of answers that reports do not show yet. Formulas: docs/steering.md.

const (
	draws       = 8      // candidates for each address, drawn by capacity
	stay        = 0.05   // of the mean utilisation: what keeping a resolver where it is is worth
	tie         = 0.03   // of the mean utilization: servers that differ by less are taken as they are drawn ...
	leastTie    = 0.01   // ... and utilization that is never worth more than that
	leastAnswer = 4      // addresses: the least that an answer carries if servers allow
	spread      = 4      // addresses for each mean server's load behind the resolver
	doubt       = 4      // standard deviations by which an uncertain load is taken to be larger
	unknown     = 0.8    // relative standard deviation of a load above which as many addresses are given as there can be
	stalled     = 10_000 // ms since the last Tick from which what it worked out is not gone by

	marginDeviations = 1.5  // of the load that comes within marginSeconds, kept free
	marginBunch      = 4.5  // variance of requests over their mean: they come in pages and sessions
	marginSeconds    = 10.0 //
	marginIdle       = 0.05 // mean utilization: the least that the margin is worked out for
)

// Method is how a pick came about.
type Method uint8

// The methods. Under predict they are the steps down: without knowledge of the resolver, or of the load, headroom is
// what is left; without utilisation, capacity.
const (
	AsPolicy   Method = iota // as the service's policy says
	ByPredict                // by predicted utilisation
	ByHeadroom               // nothing is known of the resolver, or of the load: by reported utilisation
	ByCapacity               // no server reports utilisation: by capacity
	Again                    // as the other question of the same lookup was answered
	ByGrant                  // where the client has been granted its level
)

var methodNames = [...]string{"policy", "predict", "headroom", "capacity", "again", "grant"}

func (m Method) String() string { return methodNames[m] }

// sight is what a prediction knows of who asks.
type sight struct {
	facts  facts
	seen   bool // whether facts are of this resolver
	known  bool // whether its load is in the table
	live   bool // whether the last answer is still being given out
	load   float64
	size   float64 // what the load is taken to be in doubt
	doubts bool    // whether so little is known that caution is called for

	present  [MaxAnswers]held
	presents int
}

// predict chooses in the tier that the turn falls in.
func (f *Farm) predict(v *view, l *Learned, q *Query, p *Pick) {
	m := f.forecast.model.Load()
	switch {
	case !f.reports:
		p.By = ByCapacity
	case l == nil || m == nil || m.load <= 0 || q.Now-m.at > stalled:
		p.By = ByHeadroom
	}
	if p.By != AsPolicy {
		f.draw(v, q, p)
		return
	}
	var s sight
	f.look(l, m, q, &s)
	if s.seen && s.facts.turn == q.Chance && q.Now-s.facts.asked < pairStep*pairSteps {
		f.again(v, &s, q, p)
		return
	}
	p.By, p.Personal = ByPredict, true
	u := fraction(q.Chance)
	for p.Tier < len(v.tiers)-1 && u >= v.tiers[p.Tier].upto {
		p.Tier++
	}
	t := &v.tiers[p.Tier]
	f.foretell(v, l, q, &s, f.wants(t, m, q, &s), p)
	f.keepFamily(v, q, p)
}

// look finds out what is known of who asks.
func (f *Farm) look(l *Learned, m *model, q *Query, s *sight) {
	b := m.prior
	key := l.key(f, q.WhoAsks())
	if i := l.find(key); i >= 0 {
		slot := &l.slots[i]
		s.seen = slot.read(key, &s.facts) && s.facts.n > 0
		if known, ok := slot.believed(); ok {
			b, s.known = known, true
		}
	}
	s.live = s.seen && s.facts.live(q.Now)
	s.load = b.mean
	s.size = b.mean + doubt*b.sigma
	s.doubts = b.sigma > unknown*b.mean
}

// wants is how many addresses the answer carries: the more load is behind the resolver, the more servers share it, up to
// as many as can be in proportion.
func (f *Farm) wants(t *tier, m *model, q *Query, s *sight) int {
	most := max(t.answers, t.second(q.Chance))
	switch {
	case q.Answers > 0:
		most = q.Answers
	case f.Settings.Answers > 0:
		most = f.Settings.Answers
	case s.doubts:
	default:
		most = min(most, max(int(spread*s.size/m.perServer)+1, leastAnswer))
	}
	return min(most, MaxAnswers, len(t.servers))
}

// foretell fills the pick with k servers of the tier: for each address the one of some candidates that will be utilised
// least with it. Candidates are drawn by capacity, and of those that hardly differ the first drawn is taken: so they are given
// by capacity, not the largest alone. Those that the resolver has now are candidates, too.
func (f *Farm) foretell(v *view, l *Learned, q *Query, s *sight, k int, p *Pick) {
	t := &v.tiers[p.Tier]
	near := max(tie*f.MeanUtil, leastTie)
	chance := mix(q.Chance*0x9E3779B97F4A7C15 ^ f.hash)
	f.present(v, p.Tier, l, s)
	for i := range k {
		size := l.share(i, k) * s.size
		best, least := int32(-1), 0.0
		for _, c := range s.present[:s.presents] {
			if x := f.score(c.server, size) - c.bonus; !f.picked(q, p, c.server) && (best < 0 || x < least) {
				best, least = c.server, x
			}
		}
		for range draws {
			chance += 0x9E3779B97F4A7C15
			c := t.servers[t.draw(mix(chance))]
			// One that is present scores less as such, and was seen before.
			if x := f.score(c, size); (best < 0 || x < least-near) && !f.picked(q, p, c) {
				best, least = c, x
			}
		}
		if best < 0 {
			best = f.next(t, mix(chance), q, p)
		}
		if best < 0 {
			break
		}
		p.add(best)
	}
	p.drawn, p.draws = p.Servers, int8(p.N)
}

// held is a server that the resolver has now, and what speaks for keeping it.
type held struct {
	server int32
	bonus  float64
}

// present lists those of the resolver's servers that may be given again. The load that the resolver has there will go
// with the old answer.
func (f *Farm) present(v *view, tier int, l *Learned, s *sight) {
	if !s.seen {
		return
	}
	for i, place := range s.facts.places[:s.facts.n] {
		c := f.forecast.server(place)
		if c < 0 || v.tierOf[c] != int16(tier) {
			continue
		}
		h := held{c, stay * f.MeanUtil * f.ahead[c].perRamp}
		if s.live {
			h.bonus += l.share(i, s.facts.n) * s.load * f.ahead[c].perLoad
		}
		s.present[s.presents] = h
		s.presents++
	}
}

// ahead is what scoring a server needs, side by side in memory.
type ahead struct {
	place   int32
	perRamp float64 // 1 over how far it is up
	perLoad float64 // utilisation of what is up, for one request a second
	kept    float64 // part that is kept free of the farm's clients
}

// score is the utilisation that server c will have if it gets so much more load.
func (f *Farm) score(c int32, load float64) float64 {
	a := &f.ahead[c]
	return f.forecast.pend[a.place].load()*a.perRamp + load*a.perLoad + a.kept
}

// again repeats the servers of the other question of a lookup.
func (f *Farm) again(v *view, s *sight, q *Query, p *Pick) {
	p.By, p.Personal = Again, true
	for _, place := range s.facts.places[:s.facts.n] {
		if c := f.forecast.server(place); c >= 0 {
			p.add(c)
		}
	}
	if p.N > 0 {
		p.Tier = max(int(v.tierOf[p.Servers[0]]), 0)
	}
	p.drawn, p.draws = p.Servers, int8(p.N)
	f.keepFamily(v, q, p)
}

// keepFamily leaves out the servers that lack the family asked for; if none is left, drawing goes on.
func (f *Farm) keepFamily(v *view, q *Query, p *Pick) {
	n := p.N
	p.N = 0
	for _, c := range p.drawn[:n] {
		if f.State[c].Family&q.Family != 0 {
			p.add(c)
		}
	}
	if p.N == 0 {
		f.takeAny(v, q, p)
	}
}

// Note remembers that a pick was given in answer to a query, so that its load is expected where it goes. It is to be
// called once for every answer that Predict chose, and does nothing for others. It takes no lock that anybody waits on.
func (l *Learned) Note(f *Farm, q *Query, p *Pick) {
	if l == nil || f.forecast == nil || p.N == 0 {
		return
	}
	who := q.WhoAsks()
	key := l.key(f, who)
	i := l.find(key)
	if i < 0 {
		if i = l.claim(key, who, q.Now); i < 0 {
			return
		}
	} else if !l.slots[i].lock() {
		return
	}
	slot := &l.slots[i]
	var x facts
	slot.load(&x)
	if x.n > 0 && x.turn == q.Chance {
		x.families |= q.Family
	} else {
		l.turnTo(f, slot, q, p, &x)
	}
	slot.store(&x)
	slot.unlock()
}

// turnTo moves the resolver's load from the servers of its last answer to those of the pick.
func (l *Learned) turnTo(f *Farm, slot *slot, q *Query, p *Pick, x *facts) {
	old := *x
	x.count(q.Now)
	x.service, x.asked, x.turn = f.hash, q.Now, q.Chance
	x.families, x.ttl = q.Family, int64(p.TTL)*1000
	if p.draws == 0 {
		p.drawn, p.draws = p.Servers, int8(p.N)
	}
	x.n = int(p.draws)
	for i, c := range p.drawn[:p.draws] {
		x.places[i] = f.forecast.place[c]
	}
	f.redirect(l, slot, &old, x, q.Now)
}

// redirect moves the load behind a resolver from the servers of its old answer, if that is still in use, to those of a new one.
func (f *Farm) redirect(l *Learned, s *slot, old, new *facts, now int64) {
	load := 0.0
	if b, ok := s.believed(); ok {
		load = b.mean
	} else if m := f.forecast.model.Load(); m != nil {
		load = m.prior.mean
	}
	if old.n > 0 && old.live(now) {
		f.expect(l, old, -load)
	}
	f.expect(l, new, load)
}

// count takes in the interval since the last lookup. One after an answer that another replica gave is not known well enough.
func (x *facts) count(now int64) {
	if x.told {
		x.told = false
		return
	}
	if x.seen++; x.seen > 1 {
		x.gaps[(x.seen-2)%intervals] = uint32(clamp(float64(now-x.asked), 0, 1<<31))
	}
	if x.seen > 200 {
		x.seen -= 20 * intervals // what is left still fills the ring, and says where it goes on
	}
}

// expect adds load to what the servers of an answer have pending.
func (f *Farm) expect(l *Learned, x *facts, load float64) {
	for i, place := range x.places[:x.n] {
		if c := f.forecast.server(place); c >= 0 {
			f.forecast.pend[place].add(load * l.share(i, x.n) / f.State[c].Capacity)
		}
	}
}

// able is what a server can bear now: its capacity, as far as it is up.
func (s *State) able() float64 { return s.Capacity * max(s.Ramp, minRamp) }
