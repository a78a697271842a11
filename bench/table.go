package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/coredns-farm/farm/measured"
)

// write writes results in the form that was asked for.
func write(w io.Writer, form string, results any, table func(io.Writer) error) error {
	if form == "table" {
		return table(w)
	}
	return measured.JSON(w, results)
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

var freshHead = []string{"servers", "reports/s", "queries/s", "p50", "p99", "max", "samples", "cores busy"}

func freshLines(results []freshness) (lines [][]string) {
	for _, r := range results {
		load := "idle"
		if r.Queries > 0 {
			load = thousands(float64(r.Queries))
		}
		lines = append(lines, []string{thousands(float64(r.Servers)), thousands(r.Reports), load,
			fmt.Sprintf("%.2f ms", r.P50), fmt.Sprintf("%.2f ms", r.P99), fmt.Sprintf("%.2f ms", r.Max), fmt.Sprint(r.Samples), fmt.Sprintf("%.1f", r.Busy)})
	}
	return lines
}

var replicaHead = []string{"services", "servers", "heap a server", "resident", "start", "complete read", "CPU a report", "reports/s a core", "CPU a query"}

// replicaLines are what a replica takes.
func replicaLines(results []scale) (lines [][]string) {
	for _, r := range results {
		lines = append(lines, []string{thousands(float64(r.Services)), thousands(float64(r.Servers)),
			r.octets(r.Heap), fmt.Sprintf("%.0f MiB", r.Resident/mebi), fmt.Sprintf("%.2f s", r.Start), fmt.Sprintf("%.2f s", r.Resync),
			fmt.Sprintf("%.1f us", r.ReplicaCost), thousands(1e6 / r.ReplicaCost), fmt.Sprintf("%.1f us", r.QueryCost)})
	}
	return lines
}

var redisHead = []string{"services", "servers", "memory a server", "streams", "commands a report", "CPU a report", "reports/s a core"}

// redisLines are what Redis takes.
func redisLines(results []scale) (lines [][]string) {
	for _, r := range results {
		lines = append(lines, []string{thousands(float64(r.Services)), thousands(float64(r.Servers)),
			r.octets(r.RedisOctets), fmt.Sprintf("%.1f MiB", r.StreamOctets/mebi), fmt.Sprintf("%.1f", r.Commands),
			fmt.Sprintf("%.1f us", r.RedisCost), thousands(1e6 / r.RedisCost)})
	}
	return lines
}

// octets shows what a server takes, unless there are so few that it is lost in what else a process takes.
func (s *scale) octets(x float64) string {
	if s.Servers < fewServers {
		return "-"
	}
	return fmt.Sprintf("%.0f B", x)
}

const fewServers = 1000

const mebi = 1 << 20

var fanoutHead = []string{"reports/s", "Redis: CPU to take a report", "to pass it on to a replica", "sent to a replica"}

func fanoutLines(results []fanout) (lines [][]string) {
	for _, r := range results {
		lines = append(lines, []string{thousands(r.Reports), fmt.Sprintf("%.1f us", r.Write), fmt.Sprintf("%.2f us", r.Pass), fmt.Sprintf("%.0f B", r.Octets)})
	}
	return lines
}

var demandHead = []string{"servers, replicas, interval", "reports/s", "Redis: cores to take them", "masters", "cores to pass them on", "followers",
	"out of Redis", "into a replica", "replica: cores", "heap", "start"}

func demandLines(m unitCosts) (lines [][]string) {
	for _, d := range deployments() {
		x := m.extrapolate(d)
		lines = append(lines, []string{
			fmt.Sprintf("%s, %s, %v", thousands(float64(d.servers)), thousands(float64(d.replicas)), d.interval),
			thousands(x.Reports), fmt.Sprintf("%.2f", x.WriteCores), fmt.Sprint(x.Masters), fmt.Sprintf("%.1f", x.PassCores), thousands(float64(x.Followers)),
			fmt.Sprintf("%.2f Gbit/s", x.Out*8/1e9), fmt.Sprintf("%.1f Mbit/s", x.In*8/1e6),
			fmt.Sprintf("%.2f", x.ApplyCores), fmt.Sprintf("%.2f GiB", x.Heap/mebi/1024), fmt.Sprintf("%.1f s", x.Start),
		})
	}
	return lines
}
