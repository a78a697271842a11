package steer

// Insight is what a prediction knows of who asks.
type Insight struct {
	Known   bool    // whether it asked before, or another replica knows it
	Load    float64 // requests a second behind it, as far as that is known
	Spread  float64 // standard deviation of that
	Size    float64 // what it is taken for in doubt: Load and several times Spread
	Part    float64 // of the load of the whole service
	Live    bool    // whether it is still giving out its last answer
	Asked   int64   // ms; when it asked last
	Servers []int32 // what it was answered then: indexes into the farm
	Why     string  // why the answer carries as many addresses as it does
}

// explainForecast says what the prediction of a pick rested on.
func (f *Farm) explainForecast(l *Learned, q *Query, e *Explanation) {
	m := f.forecast.model.Load()
	var s sight
	f.look(l, m, q, &s)
	f.present(f.view(q.Region), e.Pick.Tier, l, &s)
	first := l.share(0, max(e.Pick.N, 1)) * s.size
	for i := range e.Candidates {
		c := &e.Candidates[i]
		c.Predicted = f.forecast.pend[f.forecast.place[i]].load()
		c.Score = f.score(int32(i), first)
	}
	for _, h := range s.present[:s.presents] {
		e.Candidates[h.server].Score -= h.bonus
	}
	in := &Insight{Known: s.known, Load: s.load, Spread: (s.size - s.load) / doubt, Size: s.size, Live: s.live, Why: f.whySoMany(&s, q)}
	in.Part = s.load / m.load
	if s.seen {
		in.Asked = s.facts.asked
		for _, place := range s.facts.places[:s.facts.n] {
			if c := f.forecast.server(place); c >= 0 {
				in.Servers = append(in.Servers, c)
			}
		}
	}
	e.Resolver = in
}

func (f *Farm) whySoMany(s *sight, q *Query) string {
	switch {
	case q.Answers > 0:
		return "as the query asks"
	case f.Settings.Answers > 0:
		return "as the service says"
	case s.doubts:
		return "as many as stay in proportion: little is known of the resolver"
	}
	return "by the resolver's load"
}
