package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const serviceLong = `List, show, set and delete services: what clients look up, by name or by name and
type (_http._tcp.www.example.org), and how their servers are chosen.

A service may stand in a Corefile, in the database, or in both; then the database's
word holds, field by field.`

func (a *app) serviceCommand() *cobra.Command {
	c := &cobra.Command{Use: "service", Short: "List, show, set and delete services", Long: serviceLong}
	c.AddCommand(a.serviceList(), a.serviceShow(), a.serviceSet(), a.serviceDelete())
	return c
}

// serviceOf is a service as `farm service list` and `show` print it: every field filled in.
type serviceOf struct {
	Name string `json:"service"`
	steer.Service
	set     steer.Settings
	Servers int      `json:"servers"`
	In      []string `json:"in"` // where it stands: database, corefile
}

func (w *world) serviceOf(f *steer.Farm) serviceOf {
	s := serviceOf{Name: f.Service.Name, Service: f.Service, set: f.Settings, Servers: len(f.Servers), In: []string{}}
	if r := w.service(s.Name); r != nil {
		s.In = append(s.In, byDatabase)
	}
	if w.inCorefile(s.Name) {
		s.In = append(s.In, byCorefile)
	}
	return s
}

// inCorefile says whether a living replica has the service in its Corefile.
func (w *world) inCorefile(service string) bool {
	for i := range w.base.Services {
		if w.base.Services[i].Name == service {
			return true
		}
	}
	return false
}

func (a *app) serviceList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the services, with every setting filled in",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				list := []serviceOf{}
				for _, f := range w.snap.Farms() {
					list = append(list, w.serviceOf(f))
				}
				return a.print(list, serviceTable(list).write)
			})
		},
	}
}

func serviceTable(list []serviceOf) *table {
	t := newTable("SERVICE", "SERVERS", "POLICY", "ANSWERS", "TTL", "MAX TTL", "SOFT", "HARD", "SLOW START", "DRAIN", "STANDS IN")
	for i := range list {
		s := &list[i]
		t.add(s.Name, strconv.Itoa(s.Servers), string(s.Policy), numberOr(s.set.Answers), ttlOf(s.set.TTL), ttlOf(s.set.MaxTTL),
			percent(s.set.Soft), percent(s.set.Hard), spanOf(s.set.SlowStart), spanOf(s.set.Drain), strings.Join(s.In, ","))
	}
	return t
}

func ttlOf(s uint32) string { return spanOf(float64(s)) }

func (a *app) serviceShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show SERVICE",
		Short:             "Show one service, with every setting filled in",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeService,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				f, err := w.farm(fqdn(args[0]))
				if err != nil {
					return err
				}
				s := w.serviceOf(f)
				return a.print(s, s.write)
			})
		},
	}
}

// write shows a service, a setting a line.
func (s *serviceOf) write(w io.Writer) error {
	t := newTable("SETTING", "VALUE")
	t.add("service", s.Name)
	t.add("stands in", strings.Join(s.In, ","))
	t.add("servers", strconv.Itoa(s.Servers))
	settings(t, serviceFields, &s.Service)
	t.add("levels", listText(levelNames(s.Levels)))
	return t.write(w)
}

func (a *app) serviceSet() *cobra.Command {
	c := &cobra.Command{
		Use:   "set SERVICE [flags]",
		Short: "Create a service, or change the settings given",
		Long: `Create a service in the database, or change those of its settings that flags name.
A setting of "default", or an empty one, goes back to the Corefile's, or to the default.`,
		Example:           "  farm service set www.example.org --policy sticky --ttl 30s\n  farm service set www.example.org --soft 80% --fallback sorry.example.net",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeService,
		RunE: func(c *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				var old steer.Service
				r := w.service(fqdn(args[0]))
				existed := r != nil && r.Service != nil
				if existed {
					old = *r.Service
				}
				now := old
				now.Name = fqdn(args[0])
				if err := merge(c.Flags(), serviceFields, &now); err != nil {
					return err
				}
				if err := w.checkServiceName(now.Name, nil); err != nil {
					return err
				}
				if err := w.checkMaxTTL(&now); err != nil {
					return err
				}
				changes := changesOf(serviceFields, &old, &now)
				if err := w.refuseLoop(now.Name, &now, nil); err != nil {
					return err
				}
				if err := db.PutService(ctx, now); err != nil {
					return err
				}
				return a.printDone([]done{{Service: now.Name, Did: did(existed, changes), Changes: changes}})
			})
		},
	}
	bind(c.Flags(), serviceFields)
	must(c.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions(strings.Split(join(steer.Policies), ", "), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// checkMaxTTL refuses a longest TTL alone that is below the TTL which the service has from elsewhere: it would not hold.
func (w *world) checkMaxTTL(s *steer.Service) error {
	if s.MaxTTL == nil || s.TTL != nil {
		return nil // CheckService compares these.
	}
	if least := w.ttlBelow(s.Name); *s.MaxTTL < least {
		return refusedf("flag --max-ttl: %s: expected %s or more, the TTL of the service, or a lower --ttl beside it",
			spanOf(float64(*s.MaxTTL)), spanOf(float64(least)))
	}
	return nil
}

// ttlBelow is the TTL of a service for which the database has none: that of the Corefile, or the default.
func (w *world) ttlBelow(name string) uint32 {
	for _, spec := range w.base.Services {
		if spec.Name == name && spec.TTL != nil {
			return *spec.TTL
		}
	}
	if zone, _, _ := w.BlockOf(name); zone != nil && w.base.Defaults[zone.Name].TTL != nil {
		return *w.base.Defaults[zone.Name].TTL
	}
	return steer.Defaults.TTL
}

func (a *app) serviceDelete() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   "delete SERVICE",
		Short: "Delete a service with its servers, admin states and reports",
		Long: `Delete a service from the database, with its servers, admin states and reports.
Agents that still run register their servers again: stop them first.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeService,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				return a.deleteService(ctx, db, w, fqdn(args[0]), dry)
			})
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be deleted, and leave it")
	return c
}

func (a *app) deleteService(ctx context.Context, db *store.Client, w *world, name string, dry bool) error {
	r := w.service(name)
	if r == nil {
		if w.inCorefile(name) {
			return refusedf("%s stands in a Corefile: delete it there", name)
		}
		_, err := w.farm(name)
		return err
	}
	registered := 0
	for _, s := range r.Servers {
		if s.Server != nil {
			registered++
		}
	}
	d := done{Service: name, Did: "would be deleted", Note: fmt.Sprintf("with %s", count(registered, "server"))}
	if w.inCorefile(name) {
		d.Note += "; what stands in a Corefile stays"
	}
	if !dry {
		if _, err := db.DeleteService(ctx, name); err != nil {
			return err
		}
		d.Did = "deleted"
	}
	return a.printDone([]done{d})
}
