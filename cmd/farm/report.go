package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const reportLong = `Write one report on a server by hand, to try things out, or from a script that is
its agent. The report stands for the server's life until its lease runs out: report
again before that. (A script that reports every few seconds is better off with the
database's own: farm script report.)

It replaces the report before it: what is not said is unknown. 40% is 0.4; 40 would be
4000%.`

const reportExample = `  farm report www.example.org web1 --utilization 40% --rps 100
  farm report www.example.org web1 --health down --reason "disk full" --lease 1m
  farm report www.example.org web1 --reporter probe1 --health down`

// reportNumbers are the measurements of a report, as flags.
var reportNumbers = []struct {
	flag  string
	part  bool
	most  float64
	usage string
	at    func(*store.Report) **float64
}{
	{"utilization", true, 1000, "utilization of its scarcest resource: 40% or 0.4",
		func(r *store.Report) **float64 { return &r.Utilization }},
	{"cpu", true, 1000, "utilization of its processors",
		func(r *store.Report) **float64 { return &r.CPU }},
	{"mem", true, 1000, "utilization of its memory",
		func(r *store.Report) **float64 { return &r.Mem }},
	{"rps", false, steer.MaxRate, "requests a second",
		func(r *store.Report) **float64 { return &r.RPS }},
	{"eps", false, steer.MaxRate, "errors a second",
		func(r *store.Report) **float64 { return &r.EPS }},
	{"in-flight", false, steer.MaxRate, "requests or connections being served",
		func(r *store.Report) **float64 { return &r.InFlight }},
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
			r.Service, r.ID = fqdn(args[0]), strings.ToLower(args[1])
			if c.Flags().Changed("latency") {
				r.Latency = &latency
			}
			return a.report(r)
		},
	}
	f := c.Flags()
	f.SortFlags = false
	for _, n := range reportNumbers {
		f.Var(measurement(n.at(&r), n.part, n.most), n.flag, n.usage)
	}
	f.Var(absentIfZero(&latency, func(p *float64) *value { return duration(p, fromZero, 86_400) }), "latency", "time that a request takes, such as 20ms")
	f.Var(oneOf(&r.Health, "state", healths), "health", "up, degraded (half the share) or down (default up)")
	f.Var(word(&r.Reason), "reason", "why it is not up; for people")
	f.Var(duration(&r.Lease, fromZero, steer.MaxLease), "lease", "how long the report stands for the server's life")
	f.Var(label(&r.Reporter), "reporter", "report as a prober of this id, of the server's health")
	must(c.RegisterFlagCompletionFunc("health", cobra.FixedCompletions([]string{"up", "degraded", "down"}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

var healths = []steer.Health{steer.Up, steer.Degraded, steer.Down}

// measurement is a number flag that is absent until it is given.
func measurement(p **float64, isPart bool, most float64) *value {
	return optional(p, func(x *float64) *value {
		if isPart {
			return part(x, fromZero, most)
		}
		return number(x, fromZero, most)
	})
}

// reported is what `farm report -o json` prints.
type reported struct {
	Service  string  `json:"service"`
	Server   string  `json:"server"`
	Reporter string  `json:"reporter,omitempty"`
	Revision uint64  `json:"revision"`
	Lease    float64 `json:"lease"`
	Note     string  `json:"note,omitempty"`
}

func (a *app) report(r store.Report) error {
	return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
		f, err := w.farm(r.Service)
		if err != nil {
			return err
		}
		if _, err := w.server(f, r.ID); err != nil {
			return err
		}
		reply, err := db.Report(ctx, r)
		if err != nil {
			return err
		}
		if reply.Outcome != store.Accepted {
			return refusedf("report on %s of %s: the database said %s", r.ID, r.Service, reply.Outcome)
		}
		done := reported{r.Service, r.ID, r.Reporter, reply.Rev, r.Lease, w.reportNote(&r)}
		return a.print(done, done.write)
	})
}

// reportNote says what becomes of the report: the server's agent overrules it, or nothing follows it. From its first report
// on, a server counts as one with an agent.
func (w *world) reportNote(r *store.Report) string {
	before := w.record(r.Service, r.ID)
	last := before.Report
	switch {
	case r.Reporter != "":
		return ""
	case last != nil && leaseEnd(last) > w.Now && last.Agent != "":
		return "its agent runs, and overrules it with its next report"
	case last != nil && leaseEnd(last) > w.Now:
		return ""
	}
	note := "after " + spanOf(r.Lease) + " without another report it is silent"
	if before.Server == nil {
		note += "; \"farm server delete\" forgets the report"
	}
	return note
}

func (d reported) write(w io.Writer) error {
	line := fmt.Sprintf("%s %s: reported, stands for %s", d.Service, d.Server, spanOf(d.Lease))
	if d.Note != "" {
		line += "; " + d.Note
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
