package main

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const statusLong = `Show every service, or those named: the state of each server, what it reports, and
its share of the answers to clients of no region; then the replicas (CoreDNS
servers) that follow the database, and the records that no replica takes.

STATE is open, or why a server takes no part in normal answers: maint, down,
left (its agent has left), silent (its last report is older than its lease),
drained, full, standby (its weight is 0), or held (well again, and behind those that
took over, until failback).

ADMIN is what an operator or the server's agent asks for: ready, drain or maint.
UTIL and RPS are as last reported. LEASE is what is left of the last report's.

AGENT is what the server's own agent does. none: there never was one, and the server
is taken to live. reports. silent: the lease is over. stopped: the agent has ended.
swept: it was silent for an hour. A server whose agent stopped or was swept is out of
service until an agent reports again, or an operator runs "farm ready".

REPORTED BY names the server's own agent, and probers; hand is farm report,
replica a report that the database has lost.

CAPACITY and SHARE are those of a replica that has just started: what a replica
measures over time stands in its memory alone. What replicas remember of servers, and the
database has lost, is shown as well (of several replicas, what was heard last); a line
below the table names servers that are still served, and that the database has lost.

SERVICES and SERVERS of a replica are those of the database; its Corefile's come on
top. LAG counts changes that it has not yet taken. REJECTS counts records that it
refuses.

Services with levels of service, or with grants, come in a table of their own: how
many grants there are of each level, and what part of which servers they have
reserved (-o wide shows all of the servers, the others the fullest).`

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "status [SERVICE...]",
		Short:             "Show services, servers and replicas",
		Long:              statusLong,
		Example:           "  farm status\n  farm status www.example.org -o wide\n  farm status -o json | jq '.services[].servers[] | select(.gate != \"open\")'",
		ValidArgsFunction: a.completeServices,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				grants, err := w.grantsOf(ctx, db, args...)
				if err != nil {
					return err
				}
				s, err := w.status(args, grants)
				if err != nil {
					return err
				}
				s.Database = db.String()
				return a.print(s, func(out io.Writer) error { return s.write(out, a.wide()) })
			})
		},
	}
}

// status gathers what is known of the services named; of all if none is. The grants are theirs.
func (w *world) status(names []string, grants []qos.Grant) (*statusOf, error) {
	s := &statusOf{Services: []serviceStatus{}, Replicas: []replicaStatus{}, Bad: []badStatus{}}
	farms, err := w.farms(names)
	if err != nil {
		return nil, err
	}
	for _, f := range farms {
		sv := w.serviceStatus(f)
		sv.addGrants(f, grants)
		s.Services = append(s.Services, sv)
	}
	for i := range w.Nodes {
		s.Replicas = append(s.Replicas, w.replicaStatus(&w.Nodes[i]))
	}
	s.Bad = w.bad()
	return s, nil
}

func (w *world) serviceStatus(f *steer.Farm) serviceStatus {
	e := steer.Explain(f, nil, &steer.Query{Family: steer.AnyFamily})
	s := serviceStatus{
		Name: f.Service.Name, Policy: f.Service.Policy, Rung: e.Pick.Rung.String(), TTL: e.Pick.TTL,
		Note: w.serviceNote(f.Service.Name), Servers: []serverStatus{},
	}
	known := false
	for i := range e.Candidates {
		c := &e.Candidates[i]
		if c.State.Gate == steer.Open {
			s.Open++
			known = known || c.State.Known
		}
		s.Servers = append(s.Servers, w.serverStatus(f, c))
	}
	if known {
		s.MeanUtil = &f.MeanUtil
	}
	return s
}

func (w *world) serverStatus(f *steer.Farm, c *steer.Candidate) serverStatus {
	r := w.record(f.Service.Name, c.Server.ID)
	s := serverStatus{
		ID: c.Server.ID, Gate: c.State.Gate.String(), Admin: string(r.Admin), Share: c.Share,
		Region: c.Server.Region, Priority: c.Server.Priority, Weight: c.Server.Weight,
		Addresses: c.Server.Addresses, Target: c.Server.Target, Port: c.Server.Port, By: registeredBy(r),
		Note: w.note(f, c, r, nil),
	}
	s.addNote(w.hostNote(f, c.Server))
	if f.CapacityInRequests() {
		s.Capacity = &c.State.Capacity
	}
	if c.State.Known {
		s.Util = &c.State.Util
	}
	if r.Report != nil {
		s.RPS, s.EPS, s.InFlight, s.Latency = r.Report.RPS, r.Report.EPS, r.Report.InFlight, r.Report.Latency
		s.Health = r.Report.Health
		s.Reporters = append(s.Reporters, reporterOf(r))
	}
	s.Reporters = append(s.Reporters, slices.Sorted(maps.Keys(r.Probes))...)
	s.Agent = w.agent(r)
	if len(s.Reporters) > 0 {
		s.LeaseLeft = w.leaseLeft(r)
		s.Health = healthOf(c, s.Health, r.Report != nil || *s.LeaseLeft > 0)
	}
	return s
}

// reporterOf says who wrote a server's own report. One without an agent comes from farm report, or from a script.
func reporterOf(r *store.ServerRecord) string {
	switch {
	case r.Recalled:
		return "replica"
	case r.Report.Agent == "":
		return "hand" // the column is REPORTED BY
	}
	return store.ByAgent
}

// agent describes what the server's own agent does.
func (w *world) agent(r *store.ServerRecord) string {
	switch {
	case r.Left != "":
		return r.Left
	case r.Report == nil:
		return "none"
	case leaseEnd(r.Report) <= w.Now:
		return "silent"
	}
	return "reports"
}

// healthOf is what the server's own agent said last of its health, unless the probers have outvoted it. What is heard
// without a word on health comes from a living server.
func healthOf(c *steer.Candidate, own steer.Health, heard bool) steer.Health {
	switch {
	case c.State.Gate == steer.IsDown:
		return steer.Down
	case own == "" && heard:
		return steer.Up
	}
	return own
}

// leaseLeft is how long, in seconds, the last reports still stand for the server's life: those of its own agent, else
// of the probers. It is negative if they do not.
func (w *world) leaseLeft(r *store.ServerRecord) *float64 {
	end := int64(0)
	if r.Report != nil {
		end = leaseEnd(r.Report)
	} else {
		for _, p := range r.Probes {
			end = max(end, leaseEnd(&p))
		}
	}
	left := float64(end-w.Now) / 1000
	return &left
}

func leaseEnd(r *store.Report) int64 { return r.At + int64(r.Lease*1000) }

func (w *world) replicaStatus(n *store.Node) replicaStatus {
	s := replicaStatus{
		Name: n.Name, Version: n.Version, State: "synced", Up: w.ago(n.Since).Seconds(),
		Services: n.Services, Servers: n.Servers, Orphans: n.Orphans, Served: n.Served,
	}
	for _, sh := range n.Shards {
		s.Lag += sh.Behind
	}
	if isStale(n) {
		s.State = "stale"
	}
	for _, rejects := range n.Rejected {
		s.Rejects += rejects
	}
	return s
}

// isStale reports whether a replica does not follow all of the database.
func isStale(n *store.Node) bool {
	return slices.ContainsFunc(n.Shards[:], func(s store.ShardState) bool { return !s.Synced })
}

// bad lists the records that cannot be read now, and those that replicas rejected when they came.
func (w *world) bad() []badStatus {
	list := []badStatus{}
	seen := make(map[string]bool)
	for _, r := range w.Bad {
		list = append(list, badStatus{Key: r.Key, Reason: r.Reason, Detail: r.Detail})
		seen[r.Key+r.Detail] = true
	}
	for _, n := range w.Nodes {
		for _, r := range n.Rejects {
			if !seen[r.Key+r.Detail] {
				list = append(list, badStatus{r.Key, r.Reason, r.Detail, n.Name})
				seen[r.Key+r.Detail] = true
			}
		}
	}
	return list
}
