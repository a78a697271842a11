package world

import (
	"math"
	"slices"
)

// The ratio of the most utilised server to the mean is taken over windows of this length, this often (seconds).
const (
	window  = 10.0
	binSize = 2.0
)

// Result is what one run measured. Parts are of 1, times in milliseconds.
type Result struct {
	P99Ratio   float64 // of max/mean utilisation, over the windows
	MeanRatio  float64
	Over90     float64 // part of the windows in which some server had more than 90 % of its capacity offered
	Over100    float64
	RequestP99 float64
	Refused    float64 // part of the requests
	Failed     float64
	DNSQPS     float64

	Requests int
	Series   []Sample // of the whole run
}

// Sample is one window: what each server was offered, over what it could have served; negative if it was not there.
type Sample struct {
	At          float64
	Utilization []float64
	Ratio       float64
}

// meter watches a run.
type meter struct {
	bins    []bin // the last of a window
	series  []Sample
	took    [histogram]int
	asked   int
	refused int
	failed  int
	queries int
}

// histogram is the number of milliseconds that are told apart: longer ones cannot be, for servers refuse.
const histogram = 10_000

type bin struct {
	offered, able []float64
	gone          []bool
}

// endBin closes a bin of all machines at t.
func (w *meter) endBin(t float64, machines []machine, s *Scenario) {
	b := bin{make([]float64, len(machines)), make([]float64, len(machines)), make([]bool, len(machines))}
	for i := range machines {
		m := &machines[i]
		m.count(t, s)
		b.offered[i], b.able[i], b.gone[i] = m.offered, m.able, m.deadSeen
		m.offered, m.able, m.deadSeen = 0, 0, m.dead || m.drained
	}
	w.bins = append(w.bins, b)
	if len(w.bins) > window/binSize {
		w.bins = w.bins[1:]
	}
	if len(w.bins) == window/binSize {
		w.series = append(w.series, w.sample(t, len(machines)))
	}
}

func (w *meter) sample(t float64, n int) Sample {
	s := Sample{At: t, Utilization: make([]float64, n)}
	var offered, able, most float64
	for i := range n {
		var o, a float64
		gone := false
		for _, b := range w.bins {
			o += b.offered[i]
			a += b.able[i]
			gone = gone || b.gone[i]
		}
		if gone {
			s.Utilization[i] = -1
			continue
		}
		offered += o
		able += a
		s.Utilization[i] = o / a
		most = max(most, o/a)
	}
	if offered > 0 {
		s.Ratio = most / (offered / able)
	}
	return s
}

func (w *meter) served(seconds float64) {
	w.took[min(int(seconds*1000), histogram-1)]++
}

func (w *meter) result(s *Scenario) Result {
	r := Result{Series: w.series, Requests: w.asked, DNSQPS: float64(w.queries) / (s.Duration - s.From)}
	var ratios []float64
	for _, sample := range w.series {
		if sample.At <= s.From {
			continue
		}
		ratios = append(ratios, sample.Ratio)
		most := slices.Max(sample.Utilization)
		r.Over90 += b2f(most > .9)
		r.Over100 += b2f(most > 1)
		r.MeanRatio += sample.Ratio
	}
	n := float64(max(len(ratios), 1))
	r.Over90, r.Over100, r.MeanRatio = r.Over90/n, r.Over100/n, r.MeanRatio/n
	r.P99Ratio = quantile(ratios, .99)
	asked := float64(max(w.asked, 1))
	r.Refused, r.Failed = float64(w.refused)/asked, float64(w.failed)/asked
	r.RequestP99 = w.quantile(.99)
	return r
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Clone(x)
	slices.Sort(x)
	return x[min(int(math.Ceil(q*float64(len(x))))-1, len(x)-1)]
}

// quantile of the times that requests took, in milliseconds.
func (w *meter) quantile(q float64) float64 {
	all := 0
	for _, n := range w.took {
		all += n
	}
	need := int(math.Ceil(q * float64(all)))
	for ms, n := range w.took {
		if need -= n; need <= 0 && all > 0 {
			return float64(ms) + .5
		}
	}
	return 0
}
