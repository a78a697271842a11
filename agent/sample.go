package agent

import (
	"fmt"
	"math"
	"strings"
)

// Health is what a collector or the probes say of the server's life. The empty one is not said.
type Health string

// The health states, as a report carries them.
const (
	Up       Health = "up"
	Degraded Health = "degraded"
	Down     Health = "down"
)

// severity orders health states; the worst of several counts.
var severity = map[Health]int{"": 0, Up: 1, Degraded: 2, Down: 3}

// Sample is what one source says of the server now. A nil number is not said.
type Sample struct {
	Utilization *float64 // of the scarcest resource the source knows; 1 is full, more is possible
	CPU         *float64 // 1 is all of it
	Mem         *float64 // 1 is all of it
	RPS         *float64 // requests a second
	EPS         *float64 // errors a second
	InFlight    *float64 // requests, or connections, being served
	Latency     *float64 // seconds a request
	Health      Health
	Reason      string // why the health is what it is
}

// maxReason bounds what a report says to people, in octets. A report as a whole is bounded by the store.
const maxReason = 200

// numbers returns the numbers of s by the names that a report gives them.
func (s *Sample) numbers() map[string]**float64 {
	return map[string]**float64{
		"utilization": &s.Utilization,
		"cpu":         &s.CPU,
		"mem":         &s.Mem,
		"rps":         &s.RPS,
		"eps":         &s.EPS,
		"in_flight":   &s.InFlight,
		"latency":     &s.Latency,
	}
}

// Bounds of what is believed. Past them a source is broken, and its word would break the picture of the whole farm.
const (
	maxShare   = 1e3  // utilisation, CPU, memory
	maxAmount  = 1e12 // rates and counts
	maxLatency = 3600 // seconds
)

// check returns an error that names the first number of s that cannot be meant.
func (s *Sample) check() error {
	for name, p := range s.numbers() {
		if *p == nil {
			continue
		}
		if v, limit := **p, limitOf(name); math.IsNaN(v) || v < 0 || v > limit {
			return fmt.Errorf("%s is %v, expected 0 to %g", name, v, limit)
		}
	}
	if _, ok := severity[s.Health]; !ok {
		return fmt.Errorf("health is %.20q, expected up, degraded or down", s.Health)
	}
	return nil
}

func limitOf(name string) float64 {
	switch name {
	case "utilization", "cpu", "mem":
		return maxShare
	case "latency":
		return maxLatency
	}
	return maxAmount
}

// merge makes one sample of several. The scarcest resource and the worst health count; of rates, counts and latency the
// first source that says one is believed, since two sources may well count the same requests.
func merge(samples []Sample) Sample {
	var out Sample
	var reasons []string
	for i := range samples {
		s := &samples[i]
		out.Utilization = larger(out.Utilization, s.Utilization)
		out.CPU = larger(out.CPU, s.CPU)
		out.Mem = larger(out.Mem, s.Mem)
		out.RPS = first(out.RPS, s.RPS)
		out.EPS = first(out.EPS, s.EPS)
		out.InFlight = first(out.InFlight, s.InFlight)
		out.Latency = first(out.Latency, s.Latency)
		if severity[s.Health] > severity[out.Health] {
			out.Health = s.Health
		}
		if s.Reason != "" {
			reasons = append(reasons, s.Reason)
		}
	}
	out.Reason = printable(strings.Join(reasons, "; "), maxReason)
	return out
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func first(a, b *float64) *float64 {
	if a != nil {
		return a
	}
	return b
}

// printable cuts s to at most n octets of printable ASCII: reasons come from foreign servers and end on terminals.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s[:min(len(s), n)])
	return strings.TrimSpace(s)
}
