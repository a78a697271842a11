package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/coredns-farm/farm/measured"
	"github.com/coredns-farm/farm/sim/world"
)

const usage = `Simulates how well policies steer: a farm of servers, resolvers that cache, clients behind them.

  go run ./sim                                           all scenarios and policies, five seeds: some minutes
  go run ./sim -scenario S2 -policy headroom,predict     a part of it
  go run ./sim -scenario FILE.yaml -plots DIR            a farm of your own, with plots
  go run ./sim -matrix                                   predict beside headroom and right weights in many odd farms
  go run ./sim -list                                     what there is

A policy's name may be followed by the number of addresses an answer is to carry: headroom:3.
docs/steering.md says what is measured, and explains the keys of a scenario file.

`

// options is what the command line says.
type options struct {
	scenarios, policies string
	seeds, first        int
	output, plots       string
	docs, list, matrix  bool
}

// maxSeeds bounds how often anything is run.
const maxSeeds = 1000

// maxFirst bounds the first seed; it is a name for a stream of chance and nothing more.
const maxFirst = 1 << 30

// run is the command: it returns the exit code. Results go to stdout, all else to stderr.
func run(args []string, stdout, stderr io.Writer) int {
	return measured.Run("sim", stderr, func() (measured.Execute, error) {
		o, err := parseOptions(args, stderr)
		return func(ctx context.Context) error { return o.execute(ctx, stdout, stderr) }, err
	})
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.scenarios, "scenario", "all", "`names` of scenarios, or YAML files, with commas")
	f.StringVar(&o.policies, "policy", "all", "`names` of policies, with commas")
	f.IntVar(&o.seeds, "seeds", 5, "how many `times` to run each, with other traffic each time")
	f.IntVar(&o.first, "first", 1, "the first `seed`; those after it follow")
	f.StringVar(&o.output, "o", "table", "`form` of the output: table or json")
	f.StringVar(&o.plots, "plots", "", "a `directory` to draw each scenario into, as SVG")
	f.BoolVar(&o.docs, "docs", false, "run everything, and write docs/steering.md, its plots, and the README's table")
	f.BoolVar(&o.matrix, "matrix", false, "compare predict with headroom and right weights in the farms that -scenario names; all is all farms")
	f.BoolVar(&o.list, "list", false, "list scenarios, farms and policies")
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return o, o.check(f)
}

func (o *options) check(f *flag.FlagSet) error {
	switch {
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.first < 1 || o.first > maxFirst:
		return fmt.Errorf("-first %d: expected 1 to %d", o.first, maxFirst)
	case o.seeds < 1 || o.seeds > maxSeeds:
		return fmt.Errorf("-seeds %d: expected 1 to %d", o.seeds, maxSeeds)
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("-o %s: expected table or json", o.output)
	case o.docs && (o.scenarios != "all" || o.policies != "all"):
		return errors.New("-docs runs everything: expected neither -scenario nor -policy")
	case o.matrix && (given(f, "policy") || given(f, "seeds") || given(f, "o") || o.docs || o.plots != ""):
		return errors.New("-matrix: expected no other options than -scenario and -first")
	}
	return nil
}

// given reports whether an option is on the command line.
func given(f *flag.FlagSet, name string) bool {
	found := false
	f.Visit(func(g *flag.Flag) { found = found || g.Name == name })
	return found
}

func (o *options) execute(ctx context.Context, stdout, stderr io.Writer) error {
	if o.list {
		return list(stdout)
	}
	if o.docs {
		return writeDocs(ctx, ".", o.seeds, stderr)
	}
	if o.matrix {
		return o.compare(ctx, stdout, stderr)
	}
	scenarios, err := chooseScenarios(o.scenarios)
	if err != nil {
		return measured.Misused(err)
	}
	policies, err := choosePolicies(o.policies)
	if err != nil {
		return measured.Misused(err)
	}
	rows, err := simulate(ctx, batch{scenarios, policies, o.seeds, o.first}, stderr)
	if err != nil {
		return err
	}
	if o.plots != "" {
		if err := writePlots(o.plots, rows); err != nil {
			return err
		}
	}
	if o.output == "json" {
		return writeJSON(stdout, rows)
	}
	return writeTable(stdout, rows)
}

// compare prints the table of -matrix.
func (o *options) compare(ctx context.Context, stdout, stderr io.Writer) error {
	names := o.scenarios
	if names == "all" {
		names = "farms"
	}
	farms, err := chooseScenarios(names)
	if err != nil {
		return measured.Misused(err)
	}
	all, err := compareFarms(ctx, farms, uint64(o.first), stderr)
	if err != nil {
		return err
	}
	return world.WriteComparisons(stdout, all)
}

func list(w io.Writer) error {
	scenarios, err := world.BuiltIn()
	if err != nil {
		return err
	}
	farms, err := world.Farms()
	if err != nil {
		return err
	}
	listScenarios(w, "scenarios", scenarios)
	listScenarios(w, "farms of -matrix", farms)
	fmt.Fprintln(w, "policies:")
	for _, p := range world.Policies() {
		fmt.Fprintf(w, "  %-30s %s\n", p.Name, p.Title)
	}
	return nil
}

func listScenarios(w io.Writer, what string, scenarios []world.Scenario) {
	fmt.Fprintf(w, "%s:\n", what)
	for _, s := range scenarios {
		fmt.Fprintf(w, "  %-30s %s\n", s.Name, s.Title)
	}
}
