package world

import (
	"math"
	"math/rand/v2"
	"testing"
)

// erlangC is the probability that a request waits in a system of c cores, each of which is busy for the part rho.
func erlangC(c int, rho float64) float64 {
	a := float64(c) * rho
	sum, term := 0.0, 1.0
	for k := range c {
		sum += term
		term *= a / float64(k+1)
	}
	last := term / (1 - rho)
	return last / (sum + last)
}

// TestMachineWaitsAsMMk: a machine with Poisson arrivals and exponential service times makes requests wait as the
// formula of Erlang says, and reports the utilisation that it has.
func TestMachineWaitsAsMMk(t *testing.T) {
	for _, tc := range []struct {
		cores int
		rho   float64
	}{{1, .5}, {1, .8}, {4, .7}, {4, .9}, {32, .9}} {
		s := Base
		rate := tc.rho * float64(tc.cores) / (s.ServiceMS / 1000)
		m := machine{cores: make(coreHeap, tc.cores), speed: 1, bornAt: -1, util: -1, capacity: 1}
		rnd := rand.New(rand.NewPCG(1, uint64(tc.cores)))
		now, sum, n := 0.0, 0.0, 0
		for range 1_000_000 {
			now += rnd.ExpFloat64() / rate
			if took, refused := m.serve(now, rnd.ExpFloat64()*s.ServiceMS/1000, &s); !refused {
				sum += took
				n++
			}
		}
		mean := s.ServiceMS / 1000
		want := mean + erlangC(tc.cores, tc.rho)*mean/(float64(tc.cores)*(1-tc.rho))
		if got := sum / float64(n); math.Abs(got/want-1) > .04 {
			t.Errorf("%d cores at %.2f: expected %.2f ms in the machine, got %.2f", tc.cores, tc.rho, want*1000, got*1000)
		}
		if util, rps := m.report(now, 1); math.Abs(util-tc.rho) > .01 || math.Abs(rps/rate-1) > .01 {
			t.Errorf("%d cores: expected a report of %.2f at %.0f/s, got %.3f at %.0f/s", tc.cores, tc.rho, rate, util, rps)
		}
	}
}

// TestUniformSplits: when nothing is cached and clients take any server, each gets its part within what chance allows:
// utilisations in windows spread as the square root of the work that falls in them.
func TestUniformSplits(t *testing.T) {
	s := Base
	s.Servers = []ServerGroup{{Count: 10, Size: 4}}
	s.Pages, s.Requests, s.StaleUse, s.Zipf, s.Resolvers = 1, 1, 0, 0, 200_000
	s.TTL, s.WholeSecond, s.TTLMix = 1, 0, TTLMix{Honour: 1}
	s.Duration, s.From = 400, 100
	r, err := Run(&s, "uniform", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	perWindow := s.Utilization * 400 * window
	// Work is exponential: its variance over n requests is 2/n of the square of the mean when n is Poisson.
	sigma := math.Sqrt(2 / perWindow)
	var sum, squares, n float64
	for _, sample := range r.Series {
		if sample.At <= s.From {
			continue
		}
		for _, u := range sample.Utilization {
			x := u/s.Utilization - 1
			sum, squares, n = sum+x, squares+x*x, n+1
		}
	}
	if mean := sum / n; math.Abs(mean) > .01 {
		t.Errorf("Expected each server to be utilised by %.2f, it is %.3f off", s.Utilization, mean)
	}
	// Turns make the number of requests a little more even than Poisson.
	if got := math.Sqrt(squares / n); got > 1.1*sigma || got < .6*sigma {
		t.Errorf("Expected a spread of about %.4f, got %.4f", sigma, got)
	}
}

// TestSampler: draws come in proportion.
func TestSampler(t *testing.T) {
	w := zipf(100, 1, .2)
	sum := 0.0
	for _, x := range w {
		sum += x
	}
	if math.Abs(w[0]/sum-.2) > 1e-9 || math.Abs(w[1]/w[3]-2) > 1e-9 {
		t.Fatalf("Expected a giant of .2 before a Zipf tail, got %v", w[:4])
	}
	s, rnd := newSampler(w), rand.New(rand.NewPCG(1, 1))
	got := make([]float64, len(w))
	const n = 1_000_000
	for range n {
		got[s.draw(rnd)]++
	}
	for i := range w {
		want := w[i] / sum * n
		if math.Abs(got[i]-want) > 5*math.Sqrt(want) {
			t.Errorf("Expected %.0f draws of %d, got %.0f", want, i, got[i])
		}
	}
}
