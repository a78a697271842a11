package steer

// Candidate is one server as an explanation shows it.
type Candidate struct {
	Server  *Server
	State   State
	Tier    int      // in the client's view; -1 for a server that takes no part
	Share   float64  // the part of the client region's answers that it is drawn first in; under Sticky, of the clients
	Rank    int      // its place in the pick, or with Rerank in the answer, from 1; 0 if it has none
	Omitted Omission // with Rerank, why the answer leaves it out, though it was picked

	// Under Predict: the utilisation that it will have when what was answered has arrived, and what this query would
	// bring it as its first address.
	Predicted float64
	Score     float64
}

// Explanation is a pick with everything that led to it.
type Explanation struct {
	Pick       Pick
	Policy     Policy
	Region     string
	Level      string      // that the servers were chosen for; empty is best effort
	Candidates []Candidate // every server of the farm, in its order
	Resolver   *Insight    // under Predict, what the answer was fitted to; nil if the pick was not made by it
}

// Explain makes the decision for a query and says why. The pick is the one that Decide makes.
func Explain(f *Farm, r *Regions, q *Query) Explanation { return ExplainWith(f, nil, r, q) }

// ExplainWith is Explain with what was learned of resolvers.
func ExplainWith(f *Farm, l *Learned, r *Regions, q *Query) Explanation {
	e := Explanation{Pick: DecideWith(f, l, q), Policy: f.Service.Policy, Candidates: make([]Candidate, len(f.Servers))}
	f = f.seenBy(q)
	if f.level != nil {
		e.Level = f.level.Name
	}
	if q.Region > 0 && q.Region <= r.Len() {
		e.Region = r.Name(q.Region)
	}
	for i, s := range f.Servers {
		e.Candidates[i] = Candidate{Server: s, State: f.State[i], Tier: -1}
	}
	f.explainShares(f.view(q.Region), e.Candidates)
	for i := range e.Pick.N {
		e.Candidates[e.Pick.Servers[i]].Rank = i + 1
	}
	if e.Pick.By == ByPredict || e.Pick.By == Again {
		f.explainForecast(l, q, &e)
	}
	return e
}

func (f *Farm) explainShares(v *view, candidates []Candidate) {
	lo := 0.0
	for i, t := range v.tiers {
		before := 0.0
		parts := t.cum
		if f.Service.Policy == Sticky {
			parts = sums(f.stickyShares(&t))
		}
		for j, s := range t.servers {
			candidates[s].Tier = i
			if t.held {
				candidates[s].State.Gate = Held
			}
			candidates[s].Share = (t.upto - lo) * (parts[j] - before)
			before = parts[j]
		}
		lo = t.upto
	}
}

// sums returns the running sums of parts.
func sums(parts []float64) []float64 {
	sum := 0.0
	for i, p := range parts {
		sum += p
		parts[i] = sum
	}
	return parts
}
