package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// The forms below are what `farm status -o json` prints. They are an interface: fields are added, never changed. An
// absent number is not known; times are seconds.

// statusOf is all of it.
type statusOf struct {
	Database string          `json:"database"`
	Services []serviceStatus `json:"services"`
	Replicas []replicaStatus `json:"replicas"`
	Bad      []badStatus     `json:"bad_records"`
}

type serviceStatus struct {
	Name     string         `json:"service"`
	Policy   steer.Policy   `json:"policy"`
	Rung     string         `json:"rung"`
	Open     int            `json:"open"`
	MeanUtil *float64       `json:"utilization,omitempty"`
	TTL      uint32         `json:"ttl"`
	Note     string         `json:"note,omitempty"`
	Servers  []serverStatus `json:"servers"`
	Levels   []levelStatus  `json:"levels,omitempty"` // the highest first
}

type serverStatus struct {
	ID        string       `json:"server"`
	Gate      string       `json:"gate"`
	Admin     string       `json:"admin"`
	Health    steer.Health `json:"health,omitempty"`
	Util      *float64     `json:"utilization,omitempty"`
	RPS       *float64     `json:"rps,omitempty"`
	EPS       *float64     `json:"eps,omitempty"`
	InFlight  *float64     `json:"in_flight,omitempty"`
	Latency   *float64     `json:"latency,omitempty"`
	Capacity  *float64     `json:"capacity,omitempty"`
	Share     float64      `json:"share"`
	LeaseLeft *float64     `json:"lease_left,omitempty"`
	Region    string       `json:"region,omitempty"`
	Priority  uint16       `json:"priority"`
	Weight    *float64     `json:"weight,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Target    string       `json:"target,omitempty"`
	Port      uint16       `json:"port,omitempty"`
	By        string       `json:"by"`
	Reporters []string     `json:"reporters,omitempty"`
	Agent     string       `json:"agent"` // none, reports, silent, stopped or swept
	Note      string       `json:"note,omitempty"`
	Reserved  float64      `json:"reserved,omitempty"` // part that grants have reserved
}

func (s *serverStatus) addNote(text string) {
	if s.Note != "" && text != "" {
		s.Note += "; "
	}
	s.Note += text
}

type replicaStatus struct {
	Name     string   `json:"replica"`
	Version  string   `json:"version,omitempty"`
	State    string   `json:"state"`
	Up       float64  `json:"up"`
	Lag      uint64   `json:"lag"`
	Services int      `json:"services"`
	Servers  int      `json:"servers"`
	Orphans  int      `json:"orphans,omitempty"` // servers that the database has lost, and that are still served
	Served   []string `json:"served,omitempty"`  // some of them, as SERVICE SERVER
	Rejects  uint64   `json:"rejects"`
}

type badStatus struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
	SeenBy string `json:"seen_by,omitempty"`
}

// write shows the status as tables, one for servers, one for levels, one for replicas, and what is wrong below them.
func (s *statusOf) write(w io.Writer, wide bool) error {
	if len(s.Services) == 0 {
		fmt.Fprintf(w, "no services in %s\n", s.Database)
	} else if err := s.serverTable(wide).write(w); err != nil {
		return err
	}
	if levels := s.levelTable(wide); len(levels.rows) > 0 {
		fmt.Fprintln(w)
		if err := levels.write(w); err != nil {
			return err
		}
	}
	if len(s.Replicas) > 0 {
		fmt.Fprintln(w)
		if err := s.replicaTable().write(w); err != nil {
			return err
		}
	}
	for _, line := range s.notes() {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func (s *statusOf) serverTable(wide bool) *table {
	header := []string{"SERVICE", "SERVER", "STATE", "ADMIN", "HEALTH", "UTIL", "RPS", "CAPACITY", "SHARE", "LEASE", "REGION", "PRIO", "AGENT", "REPORTED BY"}
	if wide {
		header = append(header, "WEIGHT", "EPS", "IN FLIGHT", "LATENCY", "PORT", "REGISTERED BY", "ADDRESSES")
	}
	t := newTable(header...)
	for i := range s.Services {
		sv := &s.Services[i]
		if len(sv.Servers) == 0 {
			t.add(slices.Concat([]string{sv.Name, "(no servers)"}, make([]string, len(header)-2))...)
		}
		for j := range sv.Servers {
			t.add(sv.Servers[j].cells(sv.Name, wide)...)
		}
	}
	return t
}

func (v *serverStatus) cells(service string, wide bool) []string {
	cells := []string{
		service, v.ID, v.Gate, v.Admin, string(v.Health), known(v.Util, percent), known(v.RPS, quantity),
		known(v.Capacity, quantity), share(v.Share), known(v.LeaseLeft, leaseText), v.Region, strconv.Itoa(int(v.Priority)), v.Agent,
		strings.Join(v.Reporters, ","),
	}
	if !wide {
		return cells
	}
	return append(cells, known(v.Weight, quantity), known(v.EPS, quantity), known(v.InFlight, quantity), known(v.Latency, spanOf),
		numberOr(int(v.Port)), v.By, where(v.Addresses, v.Target))
}

func (s *statusOf) replicaTable() *table {
	t := newTable("REPLICA", "STATE", "UP", "LAG", "SERVICES", "SERVERS", "REJECTS", "VERSION")
	for _, r := range s.Replicas {
		t.add(r.Name, r.State, spanOf(r.Up), strconv.FormatUint(r.Lag, 10), strconv.Itoa(r.Services),
			strconv.Itoa(r.Servers), strconv.FormatUint(r.Rejects, 10), r.Version)
	}
	return t
}

// notes are lines about what is not as it should be.
func (s *statusOf) notes() []string {
	var lines []string
	for _, sv := range s.Services {
		if sv.Note != "" {
			lines = append(lines, sv.Name+": "+sv.Note)
		}
		if sv.Rung != steer.Normal.String() {
			lines = append(lines, fmt.Sprintf("%s: no server is open: answers come from rung %s", sv.Name, sv.Rung))
		}
		for _, v := range sv.Servers {
			if v.Note != "" {
				lines = append(lines, fmt.Sprintf("%s %s: %s", sv.Name, v.ID, v.Note))
			}
		}
	}
	for _, r := range s.Replicas {
		if r.Orphans > 0 {
			lines = append(lines, fmt.Sprintf("%s: still serves %s that the database has lost", r.Name, count(r.Orphans, "server"))+r.served())
		}
	}
	for _, b := range s.Bad {
		line := fmt.Sprintf("bad record: %s: %s", b.Key, b.Detail)
		if b.SeenBy != "" {
			line += " (rejected by " + b.SeenBy + ")"
		}
		lines = append(lines, line)
	}
	if lines != nil {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// served names orphans of a replica, and how many more there are.
func (r *replicaStatus) served() string {
	if len(r.Served) == 0 {
		return ""
	}
	names := ": " + strings.Join(r.Served, ", ")
	if more := r.Orphans - len(r.Served); more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}

// where is where a server serves.
func where(addresses []netip.Addr, target string) string {
	if target != "" {
		return target
	}
	words := make([]string, len(addresses))
	for i, a := range addresses {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

// known shows a number; nil is not known.
func known(x *float64, show func(float64) string) string {
	if x == nil {
		return ""
	}
	return show(*x)
}

func numberOr(n int) string {
	if n == 0 {
		return none
	}
	return strconv.Itoa(n)
}

// leaseText shows what is left of a lease, in seconds.
func leaseText(left float64) string {
	if left <= 0 {
		return "ran out"
	}
	return span(seconds(left).Round(100 * time.Millisecond))
}
