package world

// factorAt is the factor of the load at a time: 1 unless the scenario has it change.
func (s *Scenario) factorAt(t float64) float64 {
	if len(s.Load) == 0 {
		return 1
	}
	before := s.Load[0]
	for _, p := range s.Load {
		if t < p.At {
			if p.At == before.At {
				return p.Factor // before the first point
			}
			return before.Factor + (p.Factor-before.Factor)*(t-before.At)/(p.At-before.At)
		}
		before = p
	}
	return before.Factor
}

// peakFactor is the greatest factor of the load.
func (s *Scenario) peakFactor() float64 {
	if len(s.Load) == 0 {
		return 1
	}
	peak := 0.0
	for _, p := range s.Load {
		peak = max(peak, p.Factor)
	}
	return peak
}

// arrives reports whether a session that is due at the rate of the peak comes: sessions are drawn at that rate and thinned
// out to the rate of the moment.
func (w *World) arrives(t float64) bool {
	return len(w.s.Load) == 0 || w.arrivals.Float64()*w.peak < w.s.factorAt(t)
}

// clientLoad is what the clients of the name server ask for, requests a second, sessions being counted where they begin.
func (w *World) clientLoad(t float64) float64 {
	factor := 1.0
	for i := range w.s.Events {
		if e := &w.s.Events[i]; e.Kind == Flash && t >= e.At && (t < e.Until || e.Until == 0) {
			factor += e.Factor - 1
		}
	}
	return w.rate * float64(w.s.Pages*w.s.Requests) * factor * w.s.factorAt(t)
}
