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
	Reason      string    // why the health is what it is
	Drain       bool      // whether the source asks for the server to be drained
	Absent      []absence // what the source should have said and could not

	counts        []string // the numbers that make the utilization, if it is not a number of its own
	missing       []string // numbers that are not known, though they were said before or should have been
	unknownHealth bool     // whether the source has been silent about health for longer than its last one stands
}

// absence is something that is configured, and absent from a sample.
type absence struct {
	what string // the name of a number, or health or drain
	why  string
	// early marks a number that cannot be there yet, such as a rate at the first reading. It is not worth a warning.
	early bool
}

// lack records that something is absent.
func (s *Sample) lack(what, why string) {
	s.Absent = append(s.Absent, absence{what: what, why: why})
}

// maxReason bounds what a report says to people, in octets. A report as a whole is bounded by the store.
const maxReason = 200

// numberNames are the names that a report gives to the numbers of a sample, in the order in which they are mentioned.
var numberNames = []string{"utilization", "cpu", "mem", "rps", "eps", "in_flight", "latency"}

// number returns where s keeps a number, nil if there is no number of that name.
func (s *Sample) number(name string) **float64 {
	switch name {
	case "utilization":
		return &s.Utilization
	case "cpu":
		return &s.CPU
	case "mem":
		return &s.Mem
	case "rps":
		return &s.RPS
	case "eps":
		return &s.EPS
	case "in_flight":
		return &s.InFlight
	case "latency":
		return &s.Latency
	}
	return nil
}

// Bounds of what is believed. Past them a source is broken, and its word would break the picture of the whole farm.
const (
	maxShare   = 1e3  // utilisation, CPU, memory
	maxAmount  = 1e12 // rates and counts
	maxLatency = 3600 // seconds
)

// dropUnusable makes what cannot be meant absent, and leaves the rest: one wrong number says nothing against the others.
func (s *Sample) dropUnusable() {
	for _, name := range numberNames {
		p := s.number(name)
		if *p == nil {
			continue
		}
		if v, limit := **p, limitOf(name); math.IsNaN(v) || v < 0 || v > limit {
			s.lack(name, fmt.Sprintf("is %g, expected 0 to %g", v, limit))
			*p = nil
		}
	}
	if _, ok := severity[s.Health]; !ok {
		s.lack("health", fmt.Sprintf("is %.20q, expected up, degraded or down", s.Health))
		s.Health = ""
	}
}

// explainAbsent adds to the reason what is absent and why, under the name of the source.
func (s *Sample) explainAbsent(source string) {
	for i, a := range s.Absent {
		text := a.what + ": " + a.why
		if i == 0 {
			text = source + ": " + text
		}
		s.explain(text)
	}
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
// first source that says one is believed, since two sources may well count the same requests. While that one is missing, no
// other steps in: it may count something else.
func merge(samples []Sample) Sample {
	var out Sample
	var reasons []string
	for i := range samples {
		s := &samples[i]
		for _, name := range numberNames {
			from, to := *s.number(name), out.number(name)
			switch {
			case isShare(name):
				*to = larger(*to, from)
			case !out.misses(name):
				*to = first(*to, from)
			}
		}
		out.missing = append(out.missing, s.missing...)
		out.Health = worse(out.Health, s.Health)
		out.Drain = out.Drain || s.Drain
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
