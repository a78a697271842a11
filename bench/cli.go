package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/measured"
)

const usage = `Measures farm beside its peers, on real processes: CoreDNS, Redis, dnsperf, gdnsd, PowerDNS.

  go run ./bench                 what an answer costs, and how many there are a second: about ten minutes
  go run ./bench profile         where the time of an answer goes: farm beside whoami
  go run ./bench freshness       how soon answers follow a report
  go run ./bench scale           what large farms take, and how many reports a core absorbs
  go run ./bench -docs           all of it, and writes docs/performance.md with its plot, docs/scale.md and the README's summary
  go run ./bench -list           what there is

scripts/bench-setup.sh installs what is needed. Nothing else should run on the machine meanwhile.

`

// options is what the command line says.
type options struct {
	command    string // one of actions
	output     string
	rows       string
	rounds     int
	seconds    float64
	docs, list bool
}

var actions = []string{"compare", "profile", "freshness", "scale"}

// Bounds of what may be asked for.
const (
	maxRounds  = 1000
	maxSeconds = 3600
)

// run is the command: it returns the exit code. Results go to stdout, all else to stderr.
func run(args []string, stdout, stderr io.Writer) int {
	return measured.Run("bench", stderr, func() (measured.Execute, error) {
		o, err := parseOptions(args, stderr)
		return func(ctx context.Context) error { return o.execute(ctx, stdout, stderr) }, err
	})
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{command: "compare"}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		o.command, args = args[0], args[1:]
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.output, "o", "table", "`form` of the output: table or json")
	f.StringVar(&o.rows, "rows", allRows, "`names` of name servers to compare, with commas; "+base+" is always among them")
	f.IntVar(&o.rounds, "rounds", 5, "how many `times` to measure each name server")
	f.Float64Var(&o.seconds, "seconds", 5, "how many `seconds` each measurement takes")
	f.BoolVar(&o.docs, "docs", false, "measure everything, and write docs/performance.md, its plot, docs/scale.md, and the summary in README.md")
	f.BoolVar(&o.list, "list", false, "list the name servers")
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
	case !slices.Contains(actions, o.command):
		return fmt.Errorf("command %q: expected one of %s", o.command, strings.Join(actions, ", "))
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("-o %s: expected table or json", o.output)
	case o.rounds < 1 || o.rounds > maxRounds:
		return fmt.Errorf("-rounds %d: expected 1 to %d", o.rounds, maxRounds)
	case !(o.seconds >= 0.1 && o.seconds <= maxSeconds):
		return fmt.Errorf("-seconds %v: expected 0.1 to %d", o.seconds, maxSeconds)
	case o.docs && (o.rows != allRows || o.command != "compare"):
		return errors.New("-docs measures everything: expected neither -rows nor a command")
	}
	return nil
}

func (o *options) execute(ctx context.Context, stdout, stderr io.Writer) error {
	if o.list {
		return list(stdout)
	}
	chosen, err := chooseRows(o.rows)
	if err != nil {
		return measured.Misused(err)
	}
	l, err := newLab(ctx, stderr)
	if err != nil {
		return err
	}
	defer l.close()
	if o.docs {
		return writeDocs(ctx, l, ".", o.rounds, o.seconds)
	}
	switch o.command {
	case "profile":
		results, err := profileRows(ctx, l, profiledOf(chosen, o.rows), o.rounds, o.seconds)
		if err != nil {
			return err
		}
		return write(stdout, o.output, results, func(w io.Writer) error { return aligned(w, profileHead(results), profileLines(results)) })
	case "freshness":
		results, err := measureFreshness(ctx, l, o.seconds)
		if err != nil {
			return err
		}
		return write(stdout, o.output, results, func(w io.Writer) error { return aligned(w, freshHead, freshLines(results)) })
	case "scale":
		results, err := measureScales(ctx, l, o.seconds)
		if err != nil {
			return err
		}
		return write(stdout, o.output, results, func(w io.Writer) error { return scaleTables(w, results) })
	}
	results, err := compare(ctx, l, chosen, o.rounds, o.seconds)
	if err != nil {
		return err
	}
	return write(stdout, o.output, results, func(w io.Writer) error { return compareTable(w, results) })
}

func scaleTables(w io.Writer, s scales) error {
	for _, t := range []struct {
		name  string
		head  []string
		lines [][]string
	}{
		{"a replica", replicaHead, replicaLines(s.Sizes)},
		{"Redis", redisHead, redisLines(s.Sizes)},
		{"passing reports on", fanoutHead, fanoutLines(s.Fanout)},
		{"extrapolated", demandHead, demandLines(measuredBy(s.Sizes, s.Fanout))},
	} {
		fmt.Fprintf(w, "\n%s:\n", t.name)
		if err := aligned(w, t.head, t.lines); err != nil {
			return err
		}
	}
	return nil
}

func list(w io.Writer) error {
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%-20s %s\n", r.name, strings.ReplaceAll(r.title, "`", "")); err != nil {
			return err
		}
	}
	return nil
}

// allRows stands for every row.
const allRows = "all"

// chooseRows returns the named rows in their order, the base first.
func chooseRows(names string) ([]*row, error) {
	wanted := strings.Split(names, ",")
	var chosen []*row
	for i := range rows {
		r := &rows[i]
		at := slices.Index(wanted, r.name)
		if at >= 0 {
			wanted = slices.Delete(wanted, at, at+1)
		}
		if at >= 0 || r.name == base || names == allRows {
			chosen = append(chosen, r)
		}
	}
	if names != allRows && len(wanted) > 0 {
		return nil, fmt.Errorf("-rows: no name server %q: -list shows them", wanted[0])
	}
	return chosen, nil
}
