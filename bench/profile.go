package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

// kind is what the processor does for a query.
type kind int

const (
	following  kind = iota // what the database says, in the background
	growing                // stacks of goroutines
	collecting             // garbage
	allocating
	sending // and receiving: system calls
	plugins // what the row is about: whoami, or farm
	messages
	server
	scheduling // and what fits nowhere else
	kinds
)

var kindNames = [kinds]string{
	"following the database", "growing stacks", "collecting garbage", "allocating", "receiving and sending",
	"the plugin", "DNS messages: unpacking, packing, sizes", "CoreDNS and its DNS server", "scheduling, and the rest of Go's runtime",
}

// marks tell a sample's kind. Those of a kind before messages hold wherever they stand in a stack, the first kind first;
// of the others, the one nearest to what was running does.
var marks = [kinds][]string{
	following:  {"github.com/coredns-farm/farm/store.", "github.com/redis/go-redis/"},
	growing:    {"runtime.newstack"},
	collecting: {"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart"},
	allocating: {"runtime.mallocgc"},
	sending:    {"internal/poll.(*FD)", "net.(*UDPConn)"},
	plugins:    {"github.com/coredns-farm/farm", "github.com/coredns/coredns/plugin/whoami"},
	messages:   {"github.com/miekg/dns.(*Msg)", "github.com/miekg/dns.Unpack", "github.com/miekg/dns.unpack", "github.com/miekg/dns.Pack", "github.com/miekg/dns.pack", "github.com/coredns/coredns/request."},
	server:     {"github.com/miekg/dns.", "github.com/coredns/coredns/"},
}

// kindOf finds the kind of a stack of functions, of which the first was running.
func kindOf(stack []string) kind {
	for k := following; k < plugins; k++ {
		for _, name := range stack {
			if marked(name, k) {
				return k
			}
		}
	}
	for _, name := range stack {
		for k := plugins; k < scheduling; k++ {
			if marked(name, k) {
				return k
			}
		}
	}
	return scheduling
}

func marked(name string, k kind) bool {
	for _, m := range marks[k] {
		if strings.HasPrefix(name, m) {
			return true
		}
	}
	return false
}

// sharesOf returns how much of a processor profile's time is of each kind.
func sharesOf(r io.Reader) (shares [kinds]float64, err error) {
	p, err := profile.Parse(r)
	if err != nil {
		return shares, err
	}
	sum := 0.0
	for _, s := range p.Sample {
		t := float64(s.Value[len(s.Value)-1]) // samples/count, cpu/nanoseconds
		shares[kindOf(stackOf(s))] += t
		sum += t
	}
	if sum == 0 {
		return shares, fmt.Errorf("expected a profile with samples")
	}
	for k := range shares {
		shares[k] /= sum
	}
	return shares, nil
}

func stackOf(s *profile.Sample) (names []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// spent is where the processor time of a row's queries goes.
type spent struct {
	row   *row
	cpu   figure        // microseconds a query in all, while it was profiled
	kinds [kinds]figure // microseconds a query
}

// profiledOf returns the rows that are profiled: those that were asked for and are a CoreDNS; if none was, the base and predict.
func profiledOf(chosen []*row, names string) (some []*row) {
	for _, r := range chosen {
		if r.peer == nil && (names != allRows || r.name == base || r.name == headline) {
			some = append(some, r)
		}
	}
	return some
}

// profileRows measures where the time goes, as compare measures how much it is.
func profileRows(ctx context.Context, l *lab, chosen []*row, rounds int, seconds float64) ([]spent, error) {
	took := make([][kinds + 1][]float64, len(chosen)) // by row and kind; the last one is all of it
	err := inTurn(ctx, l, chosen, rounds, func(s *stage, i int) error {
		cpu, shares, err := s.profile(ctx, chosen[i], seconds)
		for k, share := range shares {
			took[i][k] = append(took[i][k], share*cpu)
		}
		took[i][kinds] = append(took[i][kinds], cpu)
		return err
	})
	if err != nil {
		return nil, err
	}
	all := make([]spent, len(chosen))
	for i := range all {
		all[i] = spent{row: chosen[i], cpu: figureOf(took[i][kinds])}
		for k := range kinds {
			all[i].kinds[k] = figureOf(took[i][k])
		}
	}
	return all, nil
}

// profile measures one row once: microseconds of processor time a query, and the shares of it.
func (s *stage) profile(ctx context.Context, r *row, seconds float64) (cpu float64, shares [kinds]float64, err error) {
	port, err := s.freePort()
	if err != nil {
		return 0, shares, err
	}
	profiled := *r
	profiled.corefile += "\npprof " + local(port)
	p, ask, err := s.warm(ctx, &profiled, seconds)
	if err != nil {
		return 0, shares, err
	}
	defer s.stop(p)
	ended := make(chan error, 1)
	go func() { ended <- fetchShares(ctx, port, seconds, &shares) }()
	var o outcome
	took, err := p.cost(func() (err error) { o, err = dnsperf(ctx, ask); return })
	if e := <-ended; err == nil {
		err = e
	}
	return float64(took.Microseconds()) / float64(max(o.completed, 1)), shares, err
}

// fetchShares profiles a CoreDNS for a time.
func fetchShares(ctx context.Context, port int, seconds float64, into *[kinds]float64) error {
	body, err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", local(port), max(1, int(seconds))))
	if err != nil {
		return err
	}
	defer body.Close()
	*into, err = sharesOf(body)
	return err
}

// profileHead and profileLines are a line a kind and a column a row.
func profileHead(all []spent) []string {
	head := []string{"us/query"}
	for i := range all {
		head = append(head, all[i].row.name)
	}
	return head
}

func profileLines(all []spent) (lines [][]string) {
	for k := range kinds {
		line := []string{kindNames[k]}
		for i := range all {
			line = append(line, all[i].kinds[k].text(1))
		}
		lines = append(lines, line)
	}
	line := []string{"all"}
	for i := range all {
		line = append(line, all[i].cpu.text(1))
	}
	return append(lines, line)
}

// MarshalJSON implements json.Marshaler: an object a row.
func (s spent) MarshalJSON() ([]byte, error) {
	by := make(map[string]figure, kinds)
	for k, f := range s.kinds {
		by[kindNames[k]] = f
	}
	return json.Marshal(struct {
		Name string            `json:"name"`
		CPU  figure            `json:"cpu_us_per_query"`
		By   map[string]figure `json:"by"`
	}{s.row.name, s.cpu, by})
}
