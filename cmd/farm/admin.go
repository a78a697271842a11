package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

// adminWords say what each admin state does.
var adminWords = []struct {
	state       steer.AdminState
	short, long string
}{
	{steer.Ready, "Put servers back into service", `Put servers back into service, whoever took them out.

A server whose agent has left has no machine behind it, as far as anybody knows. If it
was drained or in maint as well, ready takes that back, and its agent brings it into
service when it reports; if it was not, ready puts it into service without an agent.
With --all, servers that have left stay so.

A server that failback holds behind those that took over is used again at once.`},
	{steer.Drain, "Give servers fewer clients, then none", `Give servers fewer clients and then none, over the drain time of their service. A
drained server is still answered as a last resort, when no other is left.`},
	{steer.Maint, "Take servers out at once", `Take servers out at once. A server in maint is given to nobody, whatever else has
failed. Clients that were given it before may use it until their answers' TTL ends.`},
}

// scope is how an admin command names its servers.
type scope struct {
	all        bool // every server of the service
	everywhere bool // the servers in every service
	wait       bool
}

func (a *app) adminCommands() []*cobra.Command {
	var list []*cobra.Command
	for _, w := range adminWords {
		list = append(list, a.adminCommand(w.state, w.short, w.long))
	}
	return list
}

func (a *app) adminCommand(state steer.AdminState, short, long string) *cobra.Command {
	var s scope
	name := string(state)
	c := &cobra.Command{
		Use:   name + " SERVICE SERVER... | SERVICE --all | --everywhere SERVER...",
		Short: short,
		Long:  long,
		Example: fmt.Sprintf("  farm %s www.example.org web1 web2\n  farm %s www.example.org --all\n  farm %s --everywhere web1",
			name, name, name),
		ValidArgsFunction: a.completeServer,
		Args:              func(_ *cobra.Command, args []string) error { return s.check(args) },
		RunE: func(_ *cobra.Command, args []string) error {
			return a.admin(state, &s, args)
		},
	}
	c.Flags().BoolVar(&s.all, "all", false, "every server of the service")
	c.Flags().BoolVar(&s.everywhere, "everywhere", false, "the servers named, in every service that has them")
	if state == steer.Drain {
		c.Flags().BoolVar(&s.wait, "wait", false, "return when the servers are drained")
	}
	return c
}

// check says whether arguments and flags name servers in one way.
func (s *scope) check(args []string) error {
	switch {
	case s.all && s.everywhere:
		return usagef("flags --all and --everywhere: expected one of them")
	case s.everywhere && len(args) == 0:
		return usagef("arguments: expected SERVER... after --everywhere")
	case s.everywhere:
		return nil
	case s.all && len(args) != 1:
		return usagef("arguments: expected one SERVICE with --all, and no servers")
	case len(args) == 0:
		return usagef("arguments: expected SERVICE SERVER..., SERVICE --all, or --everywhere SERVER...")
	case len(args) == 1 && !s.all:
		return usagef("arguments: expected SERVER... after %s, or --all for every server of it", args[0])
	}
	return nil
}

// place is one server of one service.
type place struct{ service, id string }

// places returns the servers that are named. All of them must be there, or none is.
func (w *world) places(s *scope, args []string) ([]place, error) {
	if s.everywhere {
		return w.everywhere(args)
	}
	f, err := w.farm(fqdn(args[0]))
	if err != nil {
		return nil, err
	}
	var list []place
	for _, v := range f.Servers {
		if s.all {
			list = append(list, place{f.Service.Name, v.ID})
		}
	}
	for _, id := range lower(args[1:]) {
		if _, err := w.server(f, id); err != nil {
			return nil, err
		}
		list = append(list, place{f.Service.Name, id})
	}
	if list == nil {
		return nil, notFoundf("%s has no servers", f.Service.Name)
	}
	return list, nil
}

func (w *world) everywhere(ids []string) ([]place, error) {
	var list []place
	var known []string
	for _, id := range lower(ids) {
		before := len(list)
		for _, f := range w.snap.Farms() {
			if f.ByID(id) >= 0 {
				list = append(list, place{f.Service.Name, id})
			}
			for _, s := range f.Servers {
				known = append(known, s.ID)
			}
		}
		if len(list) == before {
			slices.Sort(known)
			return nil, notFoundf("no server %s in any service%s", id, didYouMean(id, slices.Compact(known)))
		}
	}
	return list, nil
}

func (a *app) admin(state steer.AdminState, s *scope, args []string) error {
	var places []place
	err := a.visit(func(ctx context.Context, db *store.Client, w *world) error {
		var err error
		if places, err = w.places(s, args); err != nil {
			return err
		}
		list, err := w.setAll(ctx, db, state, places, !s.all)
		if said := a.printDone(list); err == nil {
			err = said
		}
		w.warnOfNone(a.err, state, places)
		return err
	})
	if err != nil || !s.wait {
		return err
	}
	return a.awaitDrained(places)
}

// setAll sets the states one after the other, up to the first that fails, and returns what it did. Servers that have left
// are put into service without an agent only if they are named.
func (w *world) setAll(ctx context.Context, db *store.Client, state steer.AdminState, places []place, named bool) ([]done, error) {
	list := []done{}
	for _, p := range places {
		r := w.record(p.service, p.id)
		if state == steer.Ready && r.Left != "" && r.Admin == steer.Ready && !named {
			list = append(list, done{Service: p.service, Server: p.id, Did: "unchanged, left", Note: "name it to put it into service without an agent"})
			continue
		}
		if _, err := db.SetAdmin(ctx, p.service, p.id, state, store.ByOperator); err != nil {
			return list, err
		}
		d := done{Service: p.service, Server: p.id, Did: "unchanged, " + string(state)}
		if r.Admin != state {
			d.Did = "changed"
			d.Changes = []change{{"admin", string(r.Admin), string(state)}}
		}
		switch {
		case state == steer.Ready && r.Left != "":
			d = readyOfLeft(d, r)
		case state == steer.Ready:
			d = w.readyOfGate(d)
		}
		if state == steer.Drain && r.Admin == steer.Ready {
			d.Note = "will be drained in " + span(seconds(w.snap.Farm(p.service).Settings.Drain))
		}
		list = append(list, d)
	}
	return list, nil
}

// readyOfLeft describes what ready does to a server that has left.
func readyOfLeft(d done, r *store.ServerRecord) done {
	if r.Admin != steer.Ready {
		d.Note = "its agent has left: it is in service when one reports, or after another ready"
		return d
	}
	d.Did, d.Changes = "changed", []change{{"agent", r.Left, "none"}}
	d.Note = "in service without an agent"
	return d
}

// readyOfGate describes what ready changes, or why it cannot, by the gate that the server was at.
func (w *world) readyOfGate(d done) done {
	f := w.snap.Farm(d.Service)
	e := steer.Explain(f, nil, &steer.Query{Family: steer.AnyFamily})
	i := slices.IndexFunc(e.Candidates, func(c steer.Candidate) bool { return c.Server.ID == d.Server })
	if i < 0 {
		return d
	}
	switch e.Candidates[i].State.Gate {
	case steer.Held:
		d.Did, d.Note = "ready", "ends the hold of its tier"
	case steer.Silent:
		d.Note = "its agent is silent: it comes back when the agent reports"
	case steer.IsDown:
		d.Note = "it is down: it comes back when it is reported up"
	}
	return d
}

// warnOfNone tells when a service has no other open server than those that were just taken out.
func (w *world) warnOfNone(out io.Writer, state steer.AdminState, places []place) {
	if state == steer.Ready {
		return
	}
	taken := make(map[place]bool)
	var services []string
	for _, p := range places {
		taken[p] = true
		if !slices.Contains(services, p.service) {
			services = append(services, p.service)
		}
	}
	for _, name := range services {
		f := w.snap.Farm(name)
		left := false
		for i, s := range f.Servers {
			left = left || f.State[i].Gate == steer.Open && !taken[place{name, s.ID}]
		}
		if !left {
			fmt.Fprintf(out, "farm: warning: no other server of %s is open\n", name)
		}
	}
}

// awaitDrained returns when all of the servers get nobody any more. It looks again when the slowest should be drained.
func (a *app) awaitDrained(places []place) error {
	for {
		var left time.Duration
		var standing uint32
		err := a.visit(func(_ context.Context, _ *store.Client, w *world) error {
			var err error
			left, standing, err = w.undrained(places)
			return err
		})
		if err != nil {
			return err
		}
		if left == 0 {
			return a.sayDrained(standing)
		}
		time.Sleep(left)
	}
}

func (a *app) sayDrained(standing uint32) error {
	if a.output == "json" {
		return nil
	}
	_, err := fmt.Fprintf(a.out, "drained; answers given before may stand for another %s\n", ttlOf(standing))
	return err
}

// leastWait keeps a wait for a database whose clock runs unevenly from spinning.
const leastWait = 50 * time.Millisecond

// undrained returns how long the drains still take, 0 if they are over, and the largest TTL of the services.
func (w *world) undrained(places []place) (left time.Duration, standing uint32, err error) {
	for _, p := range places {
		f := w.snap.Farm(p.service)
		if f == nil || f.ByID(p.id) < 0 {
			continue // it has left
		}
		standing = max(standing, f.Settings.MaxTTL)
		if f.State[f.ByID(p.id)].Gate != steer.Open {
			continue
		}
		r := w.record(p.service, p.id)
		if r.Admin != steer.Drain {
			return 0, 0, refusedf("%s of %s is %s again: somebody else set it", p.id, p.service, r.Admin)
		}
		left = max(left, seconds(f.Settings.Drain)-w.ago(r.AdminSince), leastWait)
	}
	return left, standing, nil
}
