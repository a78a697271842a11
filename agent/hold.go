package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// promiser is a collector whose configuration says what its samples hold: names of numbers, or health. What is promised
// and absent is unknown, also before it was ever said.
type promiser interface{ promises() []string }

// heldSample is what a source said last, for the time in which it says nothing.
type heldSample struct {
	known   bool // whether the source has said all of its health and drain once
	health  Health
	drain   bool
	at      time.Time // of health and drain
	numbers map[string]heldNumber
	speaks  bool // whether it ever said anything about health or drain
}

type heldNumber struct {
	value float64
	at    time.Time
}

// holdPolicy is what a source's silence means.
type holdPolicy struct {
	health  time.Duration // for how long its last health stands
	numbers time.Duration // for how long its last shares stand: as long as a report does
	unknown Health        // what its health counts as after that; empty is what it was, at best degraded
}

// hold completes a sample with what the source said before and cannot say now. Silence must not make a server look better:
// a server that was down stays down, and a lower number of another source does not step in for a higher one.
func (h *heldSample) hold(s *Sample, failed bool, promised []string, policy holdPolicy, now time.Time) {
	h.holdHealth(s, failed, promised, policy, now)
	for _, name := range numberNames {
		h.holdNumber(s, name, failed, promised, policy.numbers, now)
	}
	s.composeUtilization()
}

func (h *heldSample) holdHealth(s *Sample, failed bool, promised []string, policy holdPolicy, now time.Time) {
	if !failed && !s.lacks("health") && !s.lacks("drain") {
		h.known, h.health, h.drain, h.at = true, s.Health, s.Drain, now
		h.speaks = h.speaks || s.Health != "" || s.Drain
		return
	}
	if !h.speaks && policy.unknown == "" && !slices.Contains(promised, "health") {
		return // it says numbers only
	}
	age := now.Sub(h.at)
	if h.known && age <= policy.health {
		s.Health, s.Drain = worse(s.Health, h.health), s.Drain || h.drain
		if h.health != "" {
			s.explain(fmt.Sprintf("health %s, %v old", h.health, age.Round(time.Second)))
		}
		return
	}
	s.unknownHealth = true
	if policy.unknown != "" {
		s.Health = worse(s.Health, policy.unknown)
	} else {
		s.Health, s.Drain = worse(s.Health, worse(h.health, Degraded)), s.Drain || h.drain
	}
	s.explain("health unknown, counts as " + string(s.Health))
}

// holdNumber fills in a share that the source said before. Rates, counts and latency are not filled in: they are for
// people, and for what is learned from several of them at once.
func (h *heldSample) holdNumber(s *Sample, name string, failed bool, promised []string, keep time.Duration, now time.Time) {
	p := s.number(name)
	if name == "utilization" && len(s.counts) > 0 {
		return // it is made of others
	}
	if *p != nil {
		if h.numbers == nil {
			h.numbers = make(map[string]heldNumber)
		}
		h.numbers[name] = heldNumber{**p, now}
		return
	}
	before, said := h.numbers[name]
	if !said && !slices.Contains(promised, name) {
		return
	}
	share := isShare(name)
	if !failed && !s.lacks(name) {
		if !share {
			return // a source may well have no latency to speak of
		}
		s.explain(name + " is not said any more")
	}
	age := now.Sub(before.at)
	if !share || !said || age > keep {
		s.missing = append(s.missing, name)
		return
	}
	*p = new(before.value)
	s.explain(fmt.Sprintf("%s %.2f, %v old", name, before.value, age.Round(time.Second)))
}

// isShare says whether a number is one that a utilization can be made of.
func isShare(name string) bool { return name == "utilization" || name == "cpu" || name == "mem" }

// composeUtilization makes the utilization of the numbers that count, if all of them are known; else of those that are,
// and utilization is missing.
func (s *Sample) composeUtilization() {
	if len(s.counts) == 0 {
		return
	}
	whole := true
	for _, name := range s.counts {
		v := *s.number(name)
		s.Utilization, whole = larger(s.Utilization, v), whole && v != nil
	}
	if !whole {
		s.missing = append(s.missing, "utilization")
	}
}

// misses says whether a number is not known that was said before, or should have been.
func (s *Sample) misses(name string) bool { return slices.Contains(s.missing, name) }

// lacks says whether the source named something as absent.
func (s *Sample) lacks(what string) bool {
	return slices.ContainsFunc(s.Absent, func(a absence) bool { return a.what == what })
}

// explain adds to the reason.
func (s *Sample) explain(text string) {
	s.Reason = strings.TrimPrefix(s.Reason+"; "+text, "; ")
}

// worse returns the worse of two health states.
func worse(a, b Health) Health {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// dropUnknown leaves the utilization out of a merged sample when a number is missing that it is made of. CPU and memory go
// with it: a reader would take the larger of them instead. What is known is said only if that alone is busy: from the
// soft limit on. The rest could be anything above it.
func (s *Sample) dropUnknown(soft float64) {
	if !s.misses("utilization") && (s.Utilization != nil || !s.misses("cpu") && !s.misses("mem")) {
		return
	}
	known := s.Utilization
	if known == nil {
		known = larger(s.CPU, s.Mem)
	}
	why := "utilization is known in part"
	if known == nil || *known < soft {
		why = "utilization unknown"
		s.Utilization, s.CPU, s.Mem = nil, nil, nil
	}
	s.Reason = printable(strings.TrimSuffix(why+"; "+s.Reason, "; "), maxReason)
}
