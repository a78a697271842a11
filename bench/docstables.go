package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/coredns-farm/farm/measured"
)

// compareDocs is the table of the name servers.
func compareDocs(results []result) string {
	var lines [][]string
	for i := range results {
		name := results[i].row.title + " (`" + results[i].row.name + "`)"
		lines = append(lines, results[i].cells(name))
	}
	return measured.Markdown(append([]string{"name server"}, compareHead[1:]...), lines)
}

// summarised are the rows of the README's summary.
var summarised = []string{base, headline, "farm-handle-label", "file", "file-loadbalance", "gdnsd", "powerdns"}

// readmeSection is the README's summary.
func readmeSection(all *everything) string {
	var lines [][]string
	for _, name := range summarised {
		for _, r := range all.rows {
			if r.row.name == name && r.absent == "" {
				lines = append(lines, []string{r.row.title, r.ratio.text(2)})
			}
		}
	}
	var slowest freshness
	for _, f := range all.fresh {
		if f.P99 >= slowest.P99 {
			slowest = f
		}
	}
	least := all.fresh[0]
	return fmt.Sprintf("\n%d rounds.\n\n%s\nAnswers follow a report within %.1f ms (p99) with %s server and nobody asking, and within %.0f ms with %s servers, "+
		"%s reports/s\nand %s, all of it on the same %d cores.\n\n", all.rounds, measured.Markdown([]string{"name server", "CPU a query, ratio"}, lines),
		least.P99, thousands(float64(least.Servers)), slowest.P99, thousands(float64(slowest.Servers)), thousands(slowest.Reports), slowest.load(), runtime.NumCPU())
}

// budgetDocs sets what was measured beside what it may take.
func budgetDocs(all *everything) string {
	var lines [][]string
	add := func(what, most, took string, met bool) {
		word := "yes"
		if !met {
			word = "**no**"
		}
		lines = append(lines, []string{what, "<= " + most, took, word})
	}
	for _, k := range all.budgets {
		add(k.What, quantity(k.most, k.show), figureIn(k.took, k.show), k.met())
	}
	for _, r := range all.rows {
		if r.row.name == headline {
			add("processor time a query, `farm` over `whoami`, at saturation", "1.05", r.ratio.text(2), r.ratio.Median <= 1.05)
		}
	}
	for _, f := range all.fresh {
		what := fmt.Sprintf("from a report to the answers that follow, p99, %s servers, %s", thousands(float64(f.Servers)), f.load())
		add(what, "10 ms", fmt.Sprintf("%.1f ms", f.P99), f.P99 <= 10)
	}
	for _, s := range all.scale.Sizes {
		if s.Servers == 100_000 {
			add(fmt.Sprintf("start, 100,000 servers, services: %s", thousands(float64(s.Services))), "2 s", fmt.Sprintf("%.2f s", s.Start), s.Start <= 2)
		}
	}
	return measured.Markdown([]string{"what", "budget", "measured", "met"}, lines)
}

func (f freshness) load() string {
	if f.Queries == 0 {
		return "idle"
	}
	return thousands(float64(f.Queries)) + " queries/s"
}

func quantity(x float64, unit string) string {
	return strings.TrimSpace(thousands(x) + " " + unit)
}

// figureIn shows three digits, which is more than these figures are good for.
func figureIn(f figure, unit string) string {
	digits := 0
	if f.Median > 0 {
		digits = max(0, 2-int(math.Floor(math.Log10(f.Median))))
	}
	return strings.TrimSpace(f.text(digits) + " " + unit)
}

// thousands writes a whole number as people read it.
func thousands(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	var parts []string
	for len(text) > 3 {
		parts, text = append(parts, text[len(text)-3:]), text[:len(text)-3]
	}
	parts = append(parts, text)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

// machine says what this was measured on.
func machine() string {
	model := runtime.GOARCH
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
			model = cpus[0].ModelName
		}
	}
	system := runtime.GOOS
	if text, err := os.ReadFile("/etc/os-release"); err == nil {
		_, rest, _ := strings.Cut(string(text), `PRETTY_NAME="`)
		if name, _, ok := strings.Cut(rest, `"`); ok {
			system = name
		}
	}
	return fmt.Sprintf("%d cores (%s), %s, %s", runtime.NumCPU(), model, system, runtime.Version())
}

// scaleSection is what is measured of large farms, and what follows for larger ones.
func scaleSection(all *everything) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %g s for each figure that takes time.\n", all.machine, all.seconds)
	sizes := all.scale.Sizes
	b.WriteString("\nA replica:\n\n" + measured.Markdown(replicaHead, replicaLines(sizes)))
	b.WriteString("\nRedis, with one replica that follows:\n\n" + measured.Markdown(redisHead, redisLines(sizes)))
	fmt.Fprintf(&b, "\nRedis, passing reports on to %d replicas:\n\n%s", fanoutReplicas, measured.Markdown(fanoutHead, fanoutLines(all.scale.Fanout)))
	m := measuredBy(sizes, all.scale.Fanout)
	fmt.Fprintf(&b, `
Extrapolated, from what is the last line of each table above. Of Redis: %.1f us a report to take it, %.2f us and %.0f octets a
report and replica to pass it on, %.0f octets a server. Of a replica: %.1f us a report, %.0f octets a server.

`, m.write, m.pass, m.octets, m.stored, m.apply, m.heap)
	b.WriteString(measured.Markdown(demandHead, demandLines(m)))
	return b.String()
}
