package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// write writes results in the form that was asked for.
func write(w io.Writer, form string, results any, table func(io.Writer) error) error {
	if form == "table" {
		return table(w)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(results)
}

// aligned writes a table for a terminal: numbers stand to the right, the first column to the left.
func aligned(w io.Writer, head []string, lines [][]string) error {
	width := len(head[0])
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range append([][]string{head}, lines...) {
		fmt.Fprintf(t, "%-*s\t%s\t\n", width, l[0], strings.Join(l[1:], "\t"))
	}
	return t.Flush()
}

// markdown is a table for a page.
func markdown(head []string, lines [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)-1))
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(l, " | "))
	}
	return b.String()
}

var compareHead = []string{"", "CPU us/query", "ratio to whoami", "queries/s", "octets", "lost", "failed"}

// cells are a result's, under compareHead.
func (r *result) cells(name string) []string {
	if r.absent != "" {
		return []string{name, "absent: " + r.absent, "", "", "", "", ""}
	}
	return []string{name, r.cpu.text(1), r.ratio.text(2), r.qps.text(0), fmt.Sprint(r.octets),
		fmt.Sprintf("%d of %d", r.lost, r.queries), fmt.Sprint(r.failed)}
}

func compareTable(w io.Writer, results []result) error {
	var lines [][]string
	for i := range results {
		lines = append(lines, results[i].cells(results[i].row.name))
	}
	return aligned(w, compareHead, lines)
}

// MarshalJSON implements json.Marshaler: an object a row.
func (r result) MarshalJSON() ([]byte, error) {
	if r.absent != "" {
		return json.Marshal(struct {
			Name   string `json:"name"`
			Absent string `json:"absent"`
		}{r.row.name, r.absent})
	}
	return json.Marshal(struct {
		Name    string  `json:"name"`
		CPU     float64 `json:"cpu_us_per_query"`
		Ratio   float64 `json:"ratio_to_whoami"`
		QPS     float64 `json:"qps"`
		Lost    int     `json:"lost"`
		Failed  int     `json:"failed"`
		Queries int     `json:"queries"`
		Octets  int     `json:"response_octets"`
		Rounds  int     `json:"rounds"`
		CPUOf   figure  `json:"cpu_spread"`
		RatioOf figure  `json:"ratio_spread"`
		QPSOf   figure  `json:"qps_spread"`
	}{r.row.name, r.cpu.Median, r.ratio.Median, r.qps.Median, r.lost, r.failed, r.queries, r.octets, r.rounds, r.cpu, r.ratio, r.qps})
}

var freshHead = []string{"servers", "reports/s", "queries/s", "p50", "p99", "max", "samples"}

func freshLines(results []freshness) (lines [][]string) {
	for _, r := range results {
		load := "idle"
		if r.Queries > 0 {
			load = fmt.Sprint(r.Queries)
		}
		lines = append(lines, []string{fmt.Sprint(r.Servers), fmt.Sprintf("%.0f", r.Reports), load,
			fmt.Sprintf("%.2f ms", r.P50), fmt.Sprintf("%.2f ms", r.P99), fmt.Sprintf("%.2f ms", r.Max), fmt.Sprint(r.Samples)})
	}
	return lines
}

var scaleHead = []string{"services", "servers", "heap/server", "resident", "start", "resync", "replica/report", "redis/report",
	"reports/s", "redis/server", "streams", "commands", "CPU/query"}

func scaleLines(results []scale) (lines [][]string) {
	for _, r := range results {
		lines = append(lines, []string{fmt.Sprint(r.Services), fmt.Sprint(r.Servers), fmt.Sprintf("%.0f B", r.Heap),
			fmt.Sprintf("%.0f MiB", r.Resident/mebi), fmt.Sprintf("%.2f s", r.Start), fmt.Sprintf("%.2f s", r.Resync),
			fmt.Sprintf("%.1f us", r.ReplicaCost), fmt.Sprintf("%.1f us", r.RedisCost), fmt.Sprintf("%.0f", r.Reports),
			fmt.Sprintf("%.0f B", r.RedisOctets), fmt.Sprintf("%.0f MiB", r.StreamOctets/mebi), fmt.Sprintf("%.1f", r.Commands),
			fmt.Sprintf("%.1f us", r.QueryCost)})
	}
	return lines
}

const mebi = 1 << 20
