package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// resolver is what the answer was fitted to, under predict.
type resolver struct {
	Known    bool     `json:"known"`          // whether any replica knows its load; else it is taken for an average one
	Unit     string   `json:"unit"`           // of loads: requests/s, or servers (of weight 1) where no capacity is known
	Load     float64  `json:"load"`           // behind it
	Spread   float64  `json:"spread"`         // standard deviation of that
	Size     float64  `json:"size"`           // what it is taken for, in doubt
	Part     float64  `json:"part"`           // of the load of the service
	Live     bool     `json:"live"`           // whether it still gives out its last answer
	Asked    int64    `json:"asked"`          // ms since 1970; 0 if no replica tells
	Servers  []string `json:"servers"`        // its last answer
	Why      string   `json:"why"`            // why the answer carries as many addresses as it does
	Replicas int      `json:"learned_from"`   // replicas that have told what they know, within the last seconds
	Damaged  int      `json:"learned_broken"` // those of them that could not be read
}

// learned is what a replica would take over that starts now: what the others tell of the resolvers of a service.
func (w *world) learned(f *steer.Farm) (l *steer.Learned, told, damaged int) {
	if f.Service.Policy != steer.Predict {
		return nil, 0, 0
	}
	l = steer.NewLearned(0, 0)
	for _, s := range w.Learned {
		if s.Service != f.Service.Name {
			continue
		}
		told++
		if l.Merge(f, s.Loads, w.Now) != nil {
			damaged++
		}
	}
	l.Tick([]*steer.Farm{f}, w.Now)
	return l, told, damaged
}

// resolverOf returns nil where the pick was not made by prediction.
func resolverOf(f *steer.Farm, e *steer.Explanation, told, damaged int) *resolver {
	in := e.Resolver
	if in == nil {
		return nil
	}
	r := &resolver{
		Unit: loadUnit(f), Known: in.Known, Load: in.Load, Spread: in.Spread, Size: in.Size, Part: in.Part, Live: in.Live, Asked: in.Asked,
		Servers: []string{}, Why: in.Why, Replicas: told, Damaged: damaged,
	}
	for _, s := range in.Servers {
		r.Servers = append(r.Servers, e.Candidates[s].Server.ID)
	}
	return r
}

// The units of loads.
const (
	unitRequests = "requests/s"
	unitServers  = "servers"
)

func loadUnit(f *steer.Farm) string {
	if f.CapacityInRequests() {
		return unitRequests
	}
	return unitServers
}

// formatLoad shows a load with its unit.
func (r *resolver) formatLoad(x float64) string {
	if r.Unit == unitServers {
		return percent(x) + " of a server"
	}
	return quantity(x) + " requests/s"
}

// write shows it in two lines.
func (r *resolver) write(w io.Writer, answers int) {
	what := "not known to any replica, taken for one of the average ones"
	if r.Known {
		what = fmt.Sprintf("%s behind it, give or take %s, %s of the load",
			r.formatLoad(r.Load), r.formatLoad(r.Spread), share(r.Part))
	}
	fmt.Fprintf(w, "resolver: %s; counted as %s\n", what, r.formatLoad(r.Size))
	if len(r.Servers) > 0 {
		fmt.Fprintf(w, "its last answer: %s\n", strings.Join(r.Servers, ", "))
	}
	from := count(r.Replicas, "replica")
	if r.Damaged > 0 {
		from += fmt.Sprintf(", %d of them not readable", r.Damaged)
	}
	fmt.Fprintf(w, "%s %s; loads from %s\n", count(answers, "server"), r.Why, from)
}
