package steer

// time learns from the intervals between lookups: what passes between the end of an answer and the next lookup is the
// time until somebody behind the resolver comes, if the resolver's clock is finer than that.
func (t *trace) time(w *work) {
	seen := t.facts.seen
	if seen == t.seen {
		return
	}
	first := t.seen == 0
	t.seen = seen
	n := min(seen-1, intervals)
	if first && n > 1 || n == 0 {
		return // what was learned from those before is in the belief already
	}
	keeps := t.keeps()
	gaps, sum, coarse := t.gaps(n, keeps)
	t.rate = 0
	if coarse || gaps < 3 {
		return
	}
	t.rate = (float64(gaps) - .5) / sum
	fresh := float64(int64(t.facts.gaps[(seen-2)%intervals])-keeps) / 1000
	if fresh > .9*float64(keeps)/1000 {
		return
	}
	if gaps == 3 && !t.timed {
		t.timed = true
		t.observe(w, 3, sum)
		return
	}
	t.observe(w, 1, max(fresh, .005))
}

// keeps is how long the resolver keeps an answer, in ms.
func (t *trace) keeps() int64 {
	if least := int64(t.facts.leastGap()); least > t.facts.ttl+3000 {
		return least
	}
	return t.facts.ttl
}

// gaps adds up, in seconds, what passed between the end of an answer and the next lookup. A resolver that asks before
// the end counts whole seconds, or fetches ahead.
func (t *trace) gaps(n int, keeps int64) (gaps int, sum float64, coarse bool) {
	for _, g := range t.facts.gaps[:n] {
		gap := float64(int64(g)-keeps) / 1000
		switch {
		case gap < -finest:
			coarse = true
		case gap < .9*float64(keeps)/1000:
			gaps++
			sum += max(gap, .005)
		}
	}
	return gaps, sum, coarse
}

// observe takes in that n sessions came in so many seconds: the conjugate update of a gamma distribution. Until it is known
// what load a session is, one request is the least, where loads are in requests.
func (t *trace) observe(w *work, n, seconds float64) {
	c := w.perLookup
	if !w.counted && !w.farm.measured {
		return
	}
	if !w.counted {
		c = 1
	}
	shape, rate := t.load*t.load/t.variance, t.load/t.variance
	shape, rate = shape+timing*n, rate+timing*seconds/c
	if mean := shape / rate; w.counted || mean > t.load {
		t.load, t.variance = mean, mean/rate
	}
}
