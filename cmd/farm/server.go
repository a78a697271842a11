package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const serverLong = `List, show, set and delete the servers of a service.

Agents register their servers by themselves. A server that is set here is an
operator's: what its agent says of it then no longer counts, only what it reports.
To give it back to its agent, delete it: an agent that runs registers it again.`

func (a *app) serverCommand() *cobra.Command {
	c := &cobra.Command{Use: "server", Short: "List, show, set and delete servers", Long: serverLong}
	c.AddCommand(a.serverList(), a.serverShow(), a.serverSet(), a.serverDelete())
	return c
}

// serverOf is a server as `farm server list` and `show` print it.
type serverOf struct {
	Service string `json:"service"`
	ID      string `json:"server"`
	steer.Server
	By    string `json:"by"`
	Admin string `json:"admin"`
}

func (w *world) serverOf(service string, s *steer.Server) serverOf {
	r := w.record(service, s.ID)
	return serverOf{service, s.ID, *s, registeredBy(r), string(r.Admin)}
}

func (a *app) serverList() *cobra.Command {
	return &cobra.Command{
		Use:               "list [SERVICE...]",
		Short:             "List the servers of services; of all if none is named",
		ValidArgsFunction: a.completeServices,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				farms, err := w.farms(args)
				if err != nil {
					return err
				}
				list := []serverOf{}
				for _, f := range farms {
					for _, s := range f.Servers {
						list = append(list, w.serverOf(f.Service.Name, s))
					}
				}
				return a.print(list, serverTable(list).write)
			})
		},
	}
}

func serverTable(list []serverOf) *table {
	t := newTable("SERVICE", "SERVER", "ADDRESSES", "PORT", "WEIGHT", "CAPACITY", "REGION", "PRIO", "SOFT", "HARD", "CLASSES", "ADMIN", "REGISTERED BY")
	for i := range list {
		s := &list[i]
		t.add(s.Service, s.ID, where(s.Addresses, s.Target), numberOr(int(s.Port)), known(s.Weight, quantity),
			said(s.Capacity, quantity), s.Region, strconv.Itoa(int(s.Priority)), known(s.Soft, percent),
			said(s.Hard, percent), listText(s.Classes), s.Admin, s.By)
	}
	return t
}

func (a *app) serverShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show SERVICE SERVER",
		Short:             "Show one server",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeServer,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				f, err := w.farm(fqdn(args[0]))
				if err != nil {
					return err
				}
				i, err := w.server(f, strings.ToLower(args[1]))
				if err != nil {
					return err
				}
				s := w.serverOf(f.Service.Name, f.Servers[i])
				return a.print(s, s.write)
			})
		},
	}
}

// write shows a server, a setting a line.
func (s *serverOf) write(w io.Writer) error {
	t := newTable("SETTING", "VALUE")
	t.add("service", s.Service)
	t.add("server", s.ID)
	t.add("registered by", s.By)
	t.add("admin", s.Admin)
	settings(t, serverFields, &s.Server)
	return t.write(w)
}

func (a *app) serverSet() *cobra.Command {
	c := &cobra.Command{
		Use:   "set SERVICE SERVER [flags]",
		Short: "Register a server, or change the settings given",
		Long: `Register a server in the database, or change those of its settings that flags name.
A setting of "default", or an empty one, is absent again. A server that stands in a
Corefile only is taken into the database with what the Corefile says of it.`,
		Example:           "  farm server set www.example.org web1 --address 192.0.2.1 --address 2001:db8::1 --capacity 500\n  farm server set www.example.org web1 --weight 2",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeServer,
		RunE: func(c *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				service, id := fqdn(args[0]), strings.ToLower(args[1])
				old, existed := w.standing(service, id)
				now := old
				now.ID = id
				if err := merge(c.Flags(), serverFields, &now); err != nil {
					return err
				}
				if err := w.checkHost(service, &now); err != nil {
					return err
				}
				if err := w.refuseLoop(service, nil, &now); err != nil {
					return err
				}
				return a.setServer(ctx, db, service, old, now, existed, w.record(service, id))
			})
		},
	}
	bind(c.Flags(), serverFields)
	return c
}

// checkHost refuses a server whose name in DNS is another service's with other addresses.
func (w *world) checkHost(service string, s *steer.Server) error {
	if err := w.checkServiceName(service, s); err != nil {
		return err
	}
	if rival := w.snap.HostRival(service, s); rival != "" {
		return refusedf("%s is a name of %s, with other addresses: choose another id than %s", steer.HostName(service, s.ID), rival, s.ID)
	}
	return nil
}

// checkServiceName refuses a new service that is called like another one's server, unless its own server, if any is given, is at the
// same addresses: the server's name would be answered with the addresses of the service.
func (w *world) checkServiceName(service string, s *steer.Server) error {
	match, f, i := w.snap.Find(service)
	if match != steer.ServerMatch || s != nil && steer.SameHost(f.Servers[i], s) {
		return nil
	}
	return refusedf("%s is the name of server %s of %s: choose another name", service, f.Servers[i].ID, f.Service.Name)
}

// standing returns what the database, or else a Corefile, says of a server.
func (w *world) standing(service, id string) (steer.Server, bool) {
	if f := w.snap.Farm(service); f != nil {
		if i := f.ByID(id); i >= 0 {
			return *f.Servers[i], true
		}
	}
	return steer.Server{}, false
}

func (a *app) setServer(ctx context.Context, db *store.Client, service string, old, now steer.Server, existed bool, r *store.ServerRecord) error {
	changes := changesOf(serverFields, &old, &now)
	if existed && len(changes) == 0 {
		return a.printDone([]done{{Service: service, Server: now.ID, Did: did(existed, changes)}})
	}
	if _, err := db.PutServer(ctx, service, now, store.ByOperator); err != nil {
		return err
	}
	d := done{Service: service, Server: now.ID, Did: did(existed, changes), Changes: changes}
	switch {
	case r.Left != "":
		d.Note = "its agent has left: out of service until one reports, or farm ready"
	case r.By == store.ByAgent:
		d.Note = "it was its agent's until now"
	}
	return a.printDone([]done{d})
}

func (a *app) serverDelete() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   "delete SERVICE SERVER...",
		Short: "Delete servers with their admin states and reports",
		Long: `Delete servers from the database, with their admin states and reports. An agent
that still runs registers its server again: stop it first. Of a server that stands in
a Corefile, what was reported is forgotten: it serves as one that never had an agent.`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeServer,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				return a.deleteServers(ctx, db, w, fqdn(args[0]), lower(args[1:]), dry)
			})
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be deleted, and leave it")
	return c
}

// deleteServers deletes all of them, or none if one is not there.
func (a *app) deleteServers(ctx context.Context, db *store.Client, w *world, service string, ids []string, dry bool) error {
	f, err := w.farm(service)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := w.server(f, id); err != nil {
			return err
		}
		if r := w.record(service, id); r.Server == nil && r.Report == nil && r.Left == "" {
			return refusedf("%s of %s stands in a Corefile: delete it there", id, service)
		}
	}
	var list []done
	for _, id := range ids {
		d := done{Service: service, Server: id, Did: "would be deleted"}
		if r := w.record(service, id); r.Report != nil && leaseEnd(r.Report) > w.Now && r.Report.Agent != "" {
			d.Note = "an agent reports for it, which registers it again while it runs"
		}
		if !dry {
			if _, err := db.DeleteServer(ctx, service, id); err != nil {
				return err
			}
			d.Did = "deleted"
		}
		if w.record(service, id).Server == nil {
			d.Note = "it stands in a Corefile: what was reported of it is forgotten"
		}
		list = append(list, d)
	}
	return a.printDone(list)
}
