package main

import (
	"github.com/coredns-farm/farm/steer"

	"github.com/spf13/pflag"
)

// field is one thing that a record says, as a flag: how the flag is read into a record, and how what was read gets
// into another.
type field[R any] struct {
	flag  string
	usage string
	value func(*R) *value
	copy  func(to, from *R)
}

// maxUtilisation bounds the limits: a utilisation above one is possible, ten times as much is a mistake.
const maxUtilisation = 10

var serviceFields = []field[steer.Service]{
	{"policy", "how servers are chosen: " + join(steer.Policies),
		func(s *steer.Service) *value { return oneOf(&s.Policy, "name", steer.Policies) },
		func(to, from *steer.Service) { to.Policy = from.Policy }},
	{"answers", "how many addresses an answer carries (by default as the policy says)",
		func(s *steer.Service) *value { return whole(&s.Answers, "n", steer.MaxAnswers) },
		func(to, from *steer.Service) { to.Answers = from.Answers }},
	{"ttl", "TTL of answers while servers change (default 20s)",
		func(s *steer.Service) *value { return ttl(&s.TTL, steer.MaxTTL) },
		func(to, from *steer.Service) { to.TTL = from.TTL }},
	{"max-ttl", "TTL of answers while nothing changes (by default the same)",
		func(s *steer.Service) *value { return ttl(&s.MaxTTL, steer.MaxTTL) },
		func(to, from *steer.Service) { to.MaxTTL = from.MaxTTL }},
	{"soft", "utilisation above which a server is given to fewer clients (default 90%)",
		func(s *steer.Service) *value { return number(&s.Soft, "part", 0, maxUtilisation) },
		func(to, from *steer.Service) { to.Soft = from.Soft }},
	{"hard", "utilisation from which a server is given to nobody (default 100%)",
		func(s *steer.Service) *value { return number(&s.Hard, "part", 0, maxUtilisation) },
		func(to, from *steer.Service) { to.Hard = from.Hard }},
	{"slow-start", "time in which a joining server comes up to its full share (default 1m)",
		func(s *steer.Service) *value { return duration(&s.SlowStart, steer.MaxRamp) },
		func(to, from *steer.Service) { to.SlowStart = from.SlowStart }},
	{"drain", "time in which a draining server goes down to nothing (default 30s)",
		func(s *steer.Service) *value { return duration(&s.Drain, steer.MaxRamp) },
		func(to, from *steer.Service) { to.Drain = from.Drain }},
	{"fallback", "name to answer with when no server is left; may be repeated",
		func(s *steer.Service) *value { return list(&s.Fallback, "name", parseName) },
		func(to, from *steer.Service) { to.Fallback = from.Fallback }},
	{"alpn", "protocol for HTTPS and SVCB records, such as h2; may be repeated",
		func(s *steer.Service) *value { return list(&s.ALPN, "protocol", parseWord) },
		func(to, from *steer.Service) { to.ALPN = from.ALPN }},
}

var serverFields = []field[steer.Server]{
	{"address", "where it serves: an IP address; may be repeated",
		func(s *steer.Server) *value { return list(&s.Addresses, "address", parseAddress) },
		func(to, from *steer.Server) { to.Addresses = from.Addresses }},
	{"target", "a name instead of addresses, answered as a CNAME",
		func(s *steer.Server) *value { return name(&s.Target) },
		func(to, from *steer.Server) { to.Target = from.Target }},
	{"port", "port for SRV, HTTPS and SVCB records",
		func(s *steer.Server) *value { return whole(&s.Port, "n", 65535) },
		func(to, from *steer.Server) { to.Port = from.Port }},
	{"weight", "share under policy weighted, and capacity where none is known (default 1)",
		func(s *steer.Server) *value { return number(&s.Weight, "n", 0, steer.MaxWeight) },
		func(to, from *steer.Server) { to.Weight = from.Weight }},
	{"capacity", "requests a second that it can serve",
		func(s *steer.Server) *value { return number(&s.Capacity, "n", 0, steer.MaxRate) },
		func(to, from *steer.Server) { to.Capacity = from.Capacity }},
	{"region", "where it stands: a region of the Corefile",
		func(s *steer.Server) *value { return word(&s.Region) },
		func(to, from *steer.Server) { to.Region = from.Region }},
	{"priority", "servers of a lower priority are used first",
		func(s *steer.Server) *value { return whole(&s.Priority, "n", 65535) },
		func(to, from *steer.Server) { to.Priority = from.Priority }},
	{"soft", "utilisation above which it is given to fewer clients (by default the service's)",
		func(s *steer.Server) *value { return number(&s.Soft, "part", 0, maxUtilisation) },
		func(to, from *steer.Server) { to.Soft = from.Soft }},
	{"hard", "utilisation from which it is given to nobody (by default the service's)",
		func(s *steer.Server) *value { return number(&s.Hard, "part", 0, maxUtilisation) },
		func(to, from *steer.Server) { to.Hard = from.Hard }},
}

// bind makes the flags of a record, which are read into said.
func bind[R any](flags *pflag.FlagSet, fields []field[R], said *R) {
	flags.SortFlags = false
	for _, f := range fields {
		flags.Var(f.value(said), f.flag, f.usage)
	}
}

// merge copies to a record what was said by flags, and tells whether any was.
func merge[R any](flags *pflag.FlagSet, fields []field[R], to, said *R) bool {
	any := false
	for _, f := range fields {
		if flags.Changed(f.flag) {
			f.copy(to, said)
			any = true
		}
	}
	return any
}
