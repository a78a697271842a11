package store

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/coredns-farm/farm/steer"
)

// Report is what an agent says of a server now. Its JSON form is what the database holds; a nil number is not known.
type Report struct {
	Service  string `json:"-"` // lower-case FQDN
	ID       string `json:"-"` // of the server
	Reporter string `json:"-"` // empty is the server's own agent; else the name of the prober that speaks of it

	Utilization *float64     `json:"utilization,omitempty"` // of the scarcest resource, 1 is full; absent: the larger of CPU and Mem
	CPU         *float64     `json:"cpu,omitempty"`         // utilisation
	Mem         *float64     `json:"mem,omitempty"`         // utilisation
	RPS         *float64     `json:"rps,omitempty"`         // requests a second
	EPS         *float64     `json:"eps,omitempty"`         // errors a second
	InFlight    *float64     `json:"in_flight,omitempty"`   // requests or connections being served
	Latency     *float64     `json:"latency,omitempty"`     // seconds a request
	Health      steer.Health `json:"health,omitempty"`      // empty is up
	Reason      string       `json:"reason,omitempty"`      // why it is not up; for people, at most 256 octets
	Lease       float64      `json:"lease"`                 // seconds for which the report stands; required
	Agent       string       `json:"agent,omitempty"`       // this run of the agent; with it goes Seq
	Seq         uint64       `json:"seq,omitempty"`         // 1 at the agent's start, then growing
	Well        int64        `json:"well,omitempty"`        // ms on Redis's clock, set by the database: since when it is well again; 0 is always
	At          int64        `json:"at,omitempty"`          // ms on Redis's clock; set by the database, not by agents
}

// Bounds of reports.
const (
	minLease   = 0.1
	maxUtil    = 1000
	maxLatency = 86_400
	maxReason  = 256
	maxAgent   = 64
	maxSeq     = 1 << 53 // Redis's scripts count in doubles
)

// Check says what is wrong with a report, nil if nothing is.
func (r *Report) Check() error {
	if err := CheckServiceName(r.Service); err != nil {
		return err
	}
	if err := CheckID(r.ID); err != nil {
		return err
	}
	if r.Reporter != "" && !isID(r.Reporter) {
		return fmt.Errorf("reporter: %w", CheckID(r.Reporter))
	}
	return r.check()
}

func (r *Report) check() error {
	for _, n := range []struct {
		name string
		val  *float64
		most float64
	}{
		{"utilization", r.Utilization, maxUtil}, {"cpu", r.CPU, maxUtil}, {"mem", r.Mem, maxUtil},
		{"rps", r.RPS, steer.MaxRate}, {"eps", r.EPS, steer.MaxRate}, {"in_flight", r.InFlight, steer.MaxRate},
		{"latency", r.Latency, maxLatency}, {"lease", &r.Lease, steer.MaxLease},
	} {
		if n.val != nil && !within(*n.val, 0, n.most) {
			return bad("range", "%s %v: expected 0 to %v", n.name, *n.val, n.most)
		}
	}
	if r.Lease < minLease {
		return bad("range", "lease %v: expected %v s or more", r.Lease, minLease)
	}
	return errors.Join(checkHealth(r.Health), r.checkWords())
}

func (r *Report) checkWords() error {
	if len(r.Reason) > maxReason || !utf8.ValidString(r.Reason) {
		return bad("size", "reason: expected at most %d octets of UTF-8", maxReason)
	}
	if len(r.Agent) > maxAgent || !utf8.ValidString(r.Agent) {
		return bad("size", "agent: expected at most %d octets of UTF-8", maxAgent)
	}
	if (r.Agent == "") != (r.Seq == 0) || r.Seq > maxSeq {
		return bad("range", "agent and seq: expected both or neither, seq from 1")
	}
	return nil
}

func checkHealth(h steer.Health) error {
	switch h {
	case "", steer.Up, steer.Degraded, steer.Down:
		return nil
	}
	return bad("range", "health %q: expected up, degraded or down", clip(string(h)))
}

// within is false for NaN.
func within(x, lo, hi float64) bool { return x >= lo && x <= hi && !math.IsInf(x, 0) }

// steer returns the report as decisions take it: absent numbers negative.
func (r *Report) steer() steer.Report {
	s := steer.Report{
		Utilization: numOr(r.Utilization), RPS: numOr(r.RPS), EPS: numOr(r.EPS),
		InFlight: numOr(r.InFlight), Latency: numOr(r.Latency),
		Health: r.Health, Reason: r.Reason, Lease: r.Lease,
	}
	if r.Utilization == nil {
		s.Utilization = max(numOr(r.CPU), numOr(r.Mem))
	}
	return s
}

func numOr(p *float64) float64 {
	if p == nil {
		return -1
	}
	return *p
}

// field is the report's field in the reports hash: the server, or server@reporter.
func (r *Report) field() string {
	if r.Reporter == "" {
		return r.ID
	}
	return r.ID + "@" + r.Reporter
}

// splitField is the inverse of field. It checks both names.
func splitField(field string) (id, reporter string, err error) {
	id, reporter, probed := strings.Cut(field, "@")
	if !isID(id) || probed && !isID(reporter) {
		return "", "", bad("name", "report of %q: expected ID or ID@REPORTER", clip(field))
	}
	return id, reporter, nil
}
