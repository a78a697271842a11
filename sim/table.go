package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/coredns-farm/farm/measured"
	"github.com/coredns-farm/farm/sim/world"
)

// columns are the heads of the tables, after the policy.
var columns = []string{"p99 max/mean", "mean max/mean", ">90 %", ">100 %", "request p99", "refused", "failed", "DNS q/s"}

// cells are a row's, under columns.
func (r *row) cells() []string {
	return []string{
		r.p99.text(2), r.mean.text(3), percent(r.over90, 1), percent(r.over100, 1), fmt.Sprintf("%.0f ms", r.requestP99),
		percent(r.refused, 3), percent(r.failed, 3), fmt.Sprintf("%.1f", r.dnsQPS),
	}
}

// text is a figure with its spread, if it has one.
func (f figure) text(digits int) string {
	if f.least == f.most {
		return fmt.Sprintf("%.*f", digits, f.value)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, f.value, digits, f.least, digits, f.most)
}

func percent(part float64, digits int) string { return fmt.Sprintf("%.*f %%", digits, part*100) }

// writeTable writes a table for each scenario. What is in brackets is the least and the most over the seeds.
func writeTable(w io.Writer, rows []row) error {
	for i, some := range byScenario(rows) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		s := some[0].scenario
		fmt.Fprintf(w, "%s  %s  (seeds: %d)\n", s.Name, s.Title, some[0].seeds)
		// Numbers stand to the right; the policies are made equally long, and so stand to the left.
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "%-*s\t%s\t\n", policyWidth, "policy", strings.Join(columns, "\t"))
		for _, r := range some {
			fmt.Fprintf(t, "%-*s\t%s\t\n", policyWidth, r.policy, strings.Join(r.cells(), "\t"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// policyWidth is that of the longest policy, with a number of addresses.
const policyWidth = len("weighted+right:8")

// byScenario cuts rows where the scenario changes.
func byScenario(rows []row) [][]row {
	var cut [][]row
	var last *world.Scenario
	for i := range rows {
		if rows[i].scenario != last {
			last = rows[i].scenario
			cut = append(cut, nil)
		}
		cut[len(cut)-1] = append(cut[len(cut)-1], rows[i])
	}
	return cut
}

// object is a row in JSON. Parts are of 1.
type object struct {
	Scenario   string  `json:"scenario"`
	Policy     string  `json:"policy"`
	Seeds      int     `json:"seeds"`
	P99Ratio   float64 `json:"p99_ratio"`
	MeanRatio  float64 `json:"mean_ratio"`
	Over90     float64 `json:"over90"`
	Over100    float64 `json:"over100"`
	RequestP99 float64 `json:"request_p99_ms"`
	Refused    float64 `json:"refused"`
	Failed     float64 `json:"failed"`
	DNSQPS     float64 `json:"dns_qps"`
}

// writeJSON writes an array with an object for each row.
func writeJSON(w io.Writer, rows []row) error {
	all := make([]object, len(rows))
	for i, r := range rows {
		all[i] = object{r.scenario.Name, r.policy, r.seeds, r.p99.value, r.mean.value, r.over90, r.over100, r.requestP99,
			r.refused, r.failed, r.dnsQPS}
	}
	return measured.JSON(w, all)
}
