package main

import (
	"math"

	"github.com/coredns-farm/farm/steer"

	"github.com/spf13/pflag"
)

// field is one thing that a record says: a flag, and a line when the record is shown.
type field[R any] struct {
	flag  string
	usage string
	value func(*R) *value
}

// maxUtilization bounds the limits: a utilization above one is possible, ten times as much is a mistake.
const maxUtilization = 10

// The kinds of numbers that several fields are.
func serviceTTL(p *uint32) *value { return ttl(p, fromZero, steer.MaxTTL) }
func ramp(p *float64) *value      { return duration(p, fromZero, steer.MaxRamp) }
func softLimit(p *float64) *value { return part(p, fromZero, maxUtilization) }
func hardLimit(p *float64) *value { return part(p, aboveZero, maxUtilization) }
func failback(p *float64) *value  { return durationOr(p, "manual", steer.ByHand, steer.MaxRamp) }
func levelPart(p *float64) *value { return part(p, aboveZero, 1) }
func weight(p *float64) *value    { return number(p, fromZero, steer.MaxWeight) }
func capacity(p *float64) *value  { return number(p, aboveZero, steer.MaxRate) }

var serviceFields = []field[steer.Service]{
	{"policy", "how servers are chosen: " + join(steer.Policies),
		func(s *steer.Service) *value { return oneOf(&s.Policy, "name", steer.Policies) }},
	{"answers", "how many addresses an answer carries (by default as the policy says)",
		func(s *steer.Service) *value {
			return absentIfZero(&s.Answers, func(p *int) *value { return whole(p, 1, steer.MaxAnswers) })
		}},
	{"ttl", "TTL of answers while servers change (default " + ttlOf(steer.Defaults.TTL) + ")",
		func(s *steer.Service) *value { return optional(&s.TTL, serviceTTL) }},
	{"max-ttl", "TTL of answers while nothing changes (by default the same)",
		func(s *steer.Service) *value { return optional(&s.MaxTTL, serviceTTL) }},
	{"soft", "utilization above which a server is given to fewer clients (default " + percent(steer.Defaults.Soft) + ")",
		func(s *steer.Service) *value { return optional(&s.Soft, softLimit) }},
	{"hard", "utilization from which a server is given to nobody (default " + percent(steer.Defaults.Hard) + ")",
		func(s *steer.Service) *value { return absentIfZero(&s.Hard, hardLimit) }},
	{"slow-start", "time in which a joining server comes up to its full share; 0 is at once (default " + spanOf(steer.Defaults.SlowStart) + ")",
		func(s *steer.Service) *value { return optional(&s.SlowStart, ramp) }},
	{"drain", "time in which a draining server goes down to nothing; 0 is at once (default " + spanOf(steer.Defaults.Drain) + ")",
		func(s *steer.Service) *value { return optional(&s.Drain, ramp) }},
	{"failback", "time for which a server that comes back leaves its clients to those that took over, or manual: until farm ready (default 0s)",
		func(s *steer.Service) *value { return optional(&s.Failback, failback) }},
	{"fallback", "name to answer with when no server is left; may be repeated",
		func(s *steer.Service) *value { return list(&s.Fallback, "name", parseName) }},
	{"alpn", "protocol for HTTPS and SVCB records, such as h2; may be repeated",
		func(s *steer.Service) *value { return list(&s.ALPN, "protocol", parseWord) }},
	{"flatten", "answer with the addresses of names, not with a CNAME (by default as the Corefile says)",
		func(s *steer.Service) *value { return yesOrNo(&s.Flatten) }},
}

var serverFields = []field[steer.Server]{
	{"address", "where it serves: an IP address; may be repeated",
		func(s *steer.Server) *value { return list(&s.Addresses, "address", parseAddress) }},
	{"target", "a name instead of addresses, answered as a CNAME",
		func(s *steer.Server) *value { return name(&s.Target) }},
	{"port", "port for SRV, HTTPS and SVCB records",
		func(s *steer.Server) *value {
			return absentIfZero(&s.Port, func(p *uint16) *value { return whole(p, 1, 65535) })
		}},
	{"weight", "share under policy weighted, and capacity where none is known (default 1); 0, under every policy: standby, no share while another server is open",
		func(s *steer.Server) *value { return optional(&s.Weight, weight) }},
	{"capacity", "requests a second that it can serve",
		func(s *steer.Server) *value { return absentIfZero(&s.Capacity, capacity) }},
	{"region", "where it stands: a region of the Corefile",
		func(s *steer.Server) *value { return word(&s.Region) }},
	{"priority", "servers of a lower priority are used first (default 0)",
		func(s *steer.Server) *value { return orZero(whole(&s.Priority, 0, 65535)) }},
	{"class", "a class that it is of, which levels of service may ask for; may be repeated",
		func(s *steer.Server) *value { return list(&s.Classes, "name", parseLabel) }},
	{"soft", "utilization above which it is given to fewer clients (by default the service's)",
		func(s *steer.Server) *value { return optional(&s.Soft, softLimit) }},
	{"hard", "utilization from which it is given to nobody (by default the service's)",
		func(s *steer.Server) *value { return absentIfZero(&s.Hard, hardLimit) }},
}

var levelFields = []field[steer.Level]{
	{"rank", "1 to 255, another one for each level of the service; higher is better",
		func(l *steer.Level) *value {
			return absentIfZero(&l.Rank, func(p *uint8) *value { return whole(p, 1, math.MaxUint8) })
		}},
	{"ceiling", "utilization from which a server takes none of its clients (by default the hard limit)",
		func(l *steer.Level) *value { return absentIfZero(&l.Ceiling, hardLimit) }},
	{"unit", "part of a server that one grant reserves",
		func(l *steer.Level) *value { return absentIfZero(&l.Unit, levelPart) }},
	{"share", "part of a server that its grants may take together (default all of it)",
		func(l *steer.Level) *value { return absentIfZero(&l.Share, levelPart) }},
	{"keep", "part of a server that is kept free of lower levels and of best effort",
		func(l *steer.Level) *value { return absentIfZero(&l.Keep, levelPart) }},
	{"class", "a class of servers that may serve it; may be repeated (default every server)",
		func(l *steer.Level) *value { return list(&l.Classes, "name", parseLabel) }},
	{"up", "rate guaranteed from the client, in bit/s: 500k, 8M or 1.5G",
		func(l *steer.Level) *value { return absentIfZero(&l.Up, rate) }},
	{"down", "rate guaranteed to the client, in bit/s",
		func(l *steer.Level) *value { return absentIfZero(&l.Down, rate) }},
	{"delay", "delay that is promised at most, such as 20ms",
		func(l *steer.Level) *value { return absentIfZero(&l.Delay, milliseconds) }},
	{"jitter", "jitter that is promised at most",
		func(l *steer.Level) *value { return absentIfZero(&l.Jitter, milliseconds) }},
	{"loss", "loss that is promised at most, as the n of 10^-n",
		func(l *steer.Level) *value {
			return absentIfZero(&l.Loss, func(p *uint8) *value { return whole(p, 1, 10) })
		}},
	{"dscp", "code point that the element marks with: 0 to 63, or a name such as EF, AF41 or CS5",
		func(l *steer.Level) *value { return absentIfZero(&l.DSCP, codePoint) }},
	{"profile", "the operator's QoS profile, where the element is one of CAMARA",
		func(l *steer.Level) *value { return word(&l.Profile) }},
	{"element", "element that grants it, by its name at the broker (default the broker's only one)",
		func(l *steer.Level) *value { return label(&l.Element) }},
	{"requires", "what a grant stands with alone: none, server, network or both (default none)",
		func(l *steer.Level) *value { return oneOf(&l.Requires, "part", requirements) }},
	{"duration", "how long a grant stands (default " + spanOf(steer.DefaultDuration) + ")",
		func(l *steer.Level) *value {
			return absentIfZero(&l.Duration, func(p *uint32) *value { return ttl(p, aboveZero, 86_400) })
		}},
	{"handle", "a subnet alone entitles nobody to it",
		func(l *steer.Level) *value { return yes(&l.Handle) }},
	{"refuse", "who asks for it without being entitled is refused; else given the best that it may have",
		func(l *steer.Level) *value { return yes(&l.Refuse) }},
}

var requirements = []steer.Requires{steer.RequiresNone, steer.RequiresServer, steer.RequiresNetwork, steer.RequiresBoth}

// bind makes the flags of a record. What they are given is checked, and kept for merge.
func bind[R any](flags *pflag.FlagSet, fields []field[R]) {
	flags.SortFlags = false
	scratch := new(R)
	for _, f := range fields {
		v := f.value(scratch)
		made := flags.VarPF(v, f.flag, "", f.usage)
		if v.kind == "bool" {
			made.NoOptDefVal = "true"
		}
	}
}

// merge sets in a record what the flags were given, and leaves the rest.
func merge[R any](flags *pflag.FlagSet, fields []field[R], to *R) error {
	for _, f := range fields {
		v := f.value(to)
		for _, s := range flags.Lookup(f.flag).Value.(*value).given {
			if err := v.Set(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// settings adds what a record says to a table, a setting a row.
func settings[R any](t *table, fields []field[R], r *R) {
	for _, f := range fields {
		t.add(f.flag, f.value(r).String())
	}
}

// changesOf compares two records.
func changesOf[R any](fields []field[R], from, to *R) []change {
	var list []change
	for _, f := range fields {
		if a, b := f.value(from).String(), f.value(to).String(); a != b {
			list = append(list, change{f.flag, a, b})
		}
	}
	return list
}
