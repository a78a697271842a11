package main

import (
	"fmt"
	"math"
	"testing"

	"github.com/coredns-farm/farm/sim/world"
)

// plain is a scenario without anything that theory has no formula for.
func plain(t *testing.T, more string) world.Scenario {
	t.Helper()
	s, err := world.Parse("plain", []byte("pages: 1\nrequests: 1\nstale_use: 0\nwhole_seconds: 0\nttl_mix: {honour: 1, least_30: 0, least_60: 0, fixed_300: 0}\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func simulated(t *testing.T, s world.Scenario, policy string) world.Result {
	t.Helper()
	r, err := world.Run(&s, policy, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// within fails unless got is near want, by a part of it.
func within(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > part*want {
		t.Errorf("%s: expected %.4g within %g %%, got %.4g", what, want, part*100, got)
	}
}

// TestQueue: a server with k cores and Poisson requests is an M/M/k queue, whose times are known.
func TestQueue(t *testing.T) {
	for _, tc := range []struct {
		cores       int
		utilization float64
		duration    int
	}{{1, .5, 8000}, {4, .7, 3000}, {16, .8, 1000}} {
		s := plain(t, fmt.Sprintf("servers: [{count: 1, size: 1}]\nunit_cores: %d\nutilization: %g\nservice_ms: 20\nduration: %d\nresolvers: 50", tc.cores, tc.utilization, tc.duration))
		r := simulated(t, s, "uniform")
		within(t, fmt.Sprintf("p99 on %d cores at %g", tc.cores, tc.utilization), r.RequestP99, queueTime(tc.cores, tc.utilization, 20, .99), .05)
	}
}

// queueTime is the quantile of the time in an M/M/k queue, found by halving.
func queueTime(k int, load, serviceMS, quantile float64) float64 {
	mu := 1 / serviceMS
	spare := float64(k) * mu * (1 - load)
	wait := erlangC(k, float64(k)*load)
	longer := func(t float64) float64 {
		if math.Abs(spare-mu) < 1e-9*mu {
			return math.Exp(-mu*t) * (1 + wait*mu*t)
		}
		return math.Exp(-mu*t) + wait*mu/(mu-spare)*(math.Exp(-spare*t)-math.Exp(-mu*t))
	}
	low, high := 0.0, 1e6
	for range 100 {
		if mid := (low + high) / 2; longer(mid) > 1-quantile {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// erlangC is the chance that a request must wait, at an offered load of a cores.
func erlangC(k int, a float64) float64 {
	b := 1.0 // Erlang's B, by its recursion
	for i := 1; i <= k; i++ {
		b = a * b / (float64(i) + a*b)
	}
	rho := a / float64(k)
	return b / (1 - rho*(1-b))
}

// TestLookups: a resolver asks again when its answer has expired and the next client comes.
func TestLookups(t *testing.T) {
	for _, ttl := range []int{1, 30, 100} {
		s := plain(t, fmt.Sprintf("ttl: %d\nresolvers: 400\nservers: [{count: 4, size: 1}]\nduration: 2000\nfrom: 400", ttl))
		sum := 0.0
		for i := range 400 {
			sum += math.Pow(float64(i+1), -s.Zipf)
		}
		want := 0.0
		for i := range 400 {
			sessions := math.Pow(float64(i+1), -s.Zipf) / sum * s.Utilization * s.Capacity()
			want += 1 / (float64(ttl) + 1/sessions)
		}
		within(t, fmt.Sprintf("lookups a second at TTL %d", ttl), simulated(t, s, "uniform").DNSQPS, want, .02)
	}
}

// TestSplit: when every session is a decision of its own, what a server is offered is a sum of exponential requests, and
// the highest of n such sums lies above their mean as the highest of n normal draws does.
func TestSplit(t *testing.T) {
	const (
		servers     = 12
		highest     = 1.6292 // expected highest of 12 standard normal draws
		windowWidth = 10
	)
	s := plain(t, "servers: [{count: 12, size: 4}]\nresolvers: 500000\nzipf: 0\nttl: 1\nutilization: 0.5\nduration: 300\nfrom: 60")
	requests := s.Utilization * s.Capacity() / servers * windowWidth
	for _, tc := range []struct {
		policy   string
		variance float64 // of the sum, over that of one request
		why      string
	}{
		{"weighted", requests, "it deals servers out evenly: a known number of requests"},
		{"shed_load", 2 * requests, "below its watermark it draws at random: a Poisson number of requests"},
	} {
		want := highest * math.Sqrt(tc.variance) / requests
		within(t, tc.policy+": mean of max/mean - 1", simulated(t, s, tc.policy).MeanRatio-1, want, .1)
	}
}

// TestOffered: the farm is offered what the scenario says.
func TestOffered(t *testing.T) {
	s := plain(t, "utilization: 0.55\nduration: 600")
	r := simulated(t, s, "ideal")
	within(t, "requests", float64(r.Requests), s.Utilization*s.Capacity()*(s.Duration-s.From), .01)
	sum := 0.0
	for _, sample := range r.Series[len(r.Series)/2:] {
		most := 0.0
		for _, u := range sample.Utilization {
			most = max(most, u)
		}
		sum += most / sample.Ratio
	}
	within(t, "utilisation", sum/float64(len(r.Series)-len(r.Series)/2), .55, .01)
}
