package main

import (
	"fmt"
	"io"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const reportLong = `Write one report on a server by hand, to try things out, or from a script that is
its agent. The server must be registered (farm server set, or an agent). The report
stands for the server's life until its lease runs out: report again before that.`

const reportExample = `  farm report www.example.org web1 --utilization 40% --rps 100
  farm report www.example.org web1 --health down --reason "disk full" --lease 1m
  farm report www.example.org web1 --reporter probe1 --health down`

// reportNumbers are the measurements of a report, as flags.
var reportNumbers = []struct {
	flag, kind, usage string
	most              float64
	at                func(*store.Report) **float64
}{
	{"utilization", "part", "utilisation of its scarcest resource: 40% or 0.4", 1000, func(r *store.Report) **float64 { return &r.Utilization }},
	{"cpu", "part", "utilisation of its processors", 1000, func(r *store.Report) **float64 { return &r.CPU }},
	{"mem", "part", "utilisation of its memory", 1000, func(r *store.Report) **float64 { return &r.Mem }},
	{"rps", "n", "requests a second", steer.MaxRate, func(r *store.Report) **float64 { return &r.RPS }},
	{"eps", "n", "errors a second", steer.MaxRate, func(r *store.Report) **float64 { return &r.EPS }},
	{"in-flight", "n", "requests or connections being served", steer.MaxRate, func(r *store.Report) **float64 { return &r.InFlight }},
}

// The lease of a report by hand: long enough to look at what it does.
const handLease = 30

func (a *app) reportCommand() *cobra.Command {
	r := store.Report{Lease: handLease}
	var latency float64
	c := &cobra.Command{
		Use:               "report SERVICE SERVER [flags]",
		Short:             "Write one report on a server by hand",
		Long:              reportLong,
		Example:           reportExample,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeServer,
		RunE: func(c *cobra.Command, args []string) error {
			r.Service, r.ID = fqdn(args[0]), args[1]
			if c.Flags().Changed("latency") {
				r.Latency = &latency
			}
			return a.report(r)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	for _, n := range reportNumbers {
		f.Var(measurement(n.at(&r), n.kind, n.most), n.flag, n.usage)
	}
	f.Var(duration(&latency, 86_400), "latency", "time that a request takes, such as 20ms")
	f.Var(oneOf(&r.Health, "state", healths), "health", "up, degraded (half the share) or down (default up)")
	f.Var(word(&r.Reason), "reason", "why it is not up; for people")
	f.Var(duration(&r.Lease, steer.MaxLease), "lease", "how long the report stands for the server's life (default 30s)")
	f.Var(word(&r.Reporter), "reporter", "report as a prober of this id, of the server's health")
	must(c.RegisterFlagCompletionFunc("health", cobra.FixedCompletions([]string{"up", "degraded", "down"}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

var healths = []steer.Health{steer.Up, steer.Degraded, steer.Down}

// measurement is a number flag that tells nothing said from zero.
func measurement(p **float64, kind string, most float64) *value {
	return &value{kind: kind, set: func(s string) error {
		x := new(float64)
		err := number(x, kind, 0, most).set(s)
		*p = x
		return err
	}}
}

// reported is what `farm report -o json` prints.
type reported struct {
	Service  string  `json:"service"`
	Server   string  `json:"server"`
	Reporter string  `json:"reporter,omitempty"`
	Revision uint64  `json:"revision"`
	Lease    float64 `json:"lease"`
}

func (a *app) report(r store.Report) error {
	ctx, cancel := a.within()
	defer cancel()
	db, err := a.dial()
	if err != nil {
		return err
	}
	defer db.Close()
	reply, err := db.Report(ctx, r)
	if err != nil {
		return fromDatabase(err)
	}
	switch reply.Outcome {
	case store.Unknown:
		return notFoundf("no server %s is registered with %s; farm server set %s %s --address ADDRESS registers it", r.ID, r.Service, r.Service, r.ID)
	case store.Claimed:
		return refusedf("%s of %s is claimed by agent %s; stop that agent first", r.ID, r.Service, reply.Agent)
	case store.Stale:
		return refusedf("%s of %s: a later report stands", r.ID, r.Service)
	}
	done := reported{r.Service, r.ID, r.Reporter, reply.Rev, r.Lease}
	return a.print(done, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s: reported, stands for %s\n", r.Service, r.ID, span(seconds(r.Lease)))
		return err
	})
}
