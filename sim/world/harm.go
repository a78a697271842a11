package world

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

//go:embed farms.yaml
var farms []byte

// Farms returns the ordinary and odd farms in which predict is to do no harm.
func Farms() ([]Scenario, error) {
	var all []Scenario
	for _, text := range bytes.Split(farms, []byte("\n---\n")) {
		s, err := Parse(fmt.Sprintf("number %d of farms.yaml", len(all)+1), text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Compared are the policies that predict is compared with, and predict itself, which is the last.
var Compared = [...]string{"headroom", "weighted+right", "predict"}

// Tolerance is how much more uneven than the others predict may be: it makes up for chance.
const Tolerance = 1.05

// Evenness is max/mean utilization over the windows of several runs.
type Evenness struct{ Mean, P99 float64 }

// Comparison is how even one farm is under each of the policies in Compared.
type Comparison struct {
	Farm *Scenario
	Even [len(Compared)]Evenness
}

// Compare runs a farm under each of the policies in Compared, with the same traffic.
func Compare(s *Scenario, first uint64) (Comparison, error) {
	c := Comparison{Farm: s}
	for i, policy := range Compared {
		var ratios []float64
		for seed := range comparedSeeds(s) {
			r, err := Run(s, policy, first+seed, nil)
			if err != nil {
				return c, err
			}
			ratios = append(ratios, r.ratios(s)...)
		}
		c.Even[i] = evenness(ratios)
	}
	return c, nil
}

// So many seconds in all are measured of each farm, in so many runs at least.
const (
	comparedTime = 2200.0
	leastSeeds   = 3
)

func comparedSeeds(s *Scenario) uint64 {
	return uint64(max(math.Round(comparedTime/(s.Duration-s.From)), leastSeeds))
}

// ratios are those of the windows that are measured.
func (r *Result) ratios(s *Scenario) []float64 {
	var ratios []float64
	for _, sample := range r.Series {
		if sample.At > s.From {
			ratios = append(ratios, sample.Ratio)
		}
	}
	return ratios
}

func evenness(ratios []float64) Evenness {
	sum := 0.0
	for _, r := range ratios {
		sum += r
	}
	return Evenness{sum / float64(max(len(ratios), 1)), quantile(ratios, .99)}
}

// Harm is predict's mean and p99 relative to those of whichever other policy is better: above 1 predict is worse.
func (c *Comparison) Harm() Evenness {
	predict, best := c.Even[len(Compared)-1], c.Even[0]
	for _, e := range c.Even[:len(Compared)-1] {
		best.Mean, best.P99 = min(best.Mean, e.Mean), min(best.P99, e.P99)
	}
	return Evenness{predict.Mean / best.Mean, predict.P99 / best.P99}
}

// Harms reports whether predict is worse than another policy by more than the tolerance.
func (c *Comparison) Harms() bool {
	h := c.Harm()
	return h.Mean > Tolerance || h.P99 > Tolerance
}

// WriteComparisons writes a table with a line for each farm: p99 / mean of max/mean utilization under each policy, then the
// same of predict relative to the better of the others.
func WriteComparisons(w io.Writer, all []Comparison) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "farm\t%s\t%s\t%s\tharm\t\n", Compared[0], Compared[1], Compared[2])
	for i := range all {
		c, mark := &all[i], ""
		if c.Harms() {
			mark = "worse"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Farm.Name, c.Even[0], c.Even[1], c.Even[2], c.Harm(), mark)
	}
	return t.Flush()
}

func (e Evenness) String() string { return fmt.Sprintf("%.2f / %.2f", e.P99, e.Mean) }
