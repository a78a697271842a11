package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/template"

	"github.com/coredns-farm/farm/measured"
	"github.com/coredns-farm/farm/sim/world"
)

//go:embed docs.tmpl examples/*.yaml
var files embed.FS

// What is written, from the root of the repository.
const (
	docsFile  = "docs/steering.md"
	docsPlots = "docs/steering" // a folder
)

// readme is the README's table.
var readme = measured.Section{
	File: "README.md", Begin: "<!-- steering: go run ./sim -docs writes this -->", End: "<!-- /steering -->",
}

// goal is what predict is to reach in a scenario, at most: p99 and mean of max/mean, and p99 with answers and loads shared.
type goal struct{ P99, Mean, Shared float64 }

var goals = map[string]goal{
	"S1": {1.40, 1.13, 1.30}, "S2": {1.60, 1.15, 1.35}, "S3": {1.40, 1.14, 1.30}, "S4": {1.20, 1.09, 1.18},
	"S5": {1.65, 1.15, 1.60}, "S6": {1.45, 1.14, 1.35}, "S7": {1.60, 1.17, 1.45}, "S8": {2.30, 1.55, 1.80},
}

// hard are the examples that are open problems, and what to compare in each.
var hard = []struct {
	file     string
	policies []string
}{
	{"long-ttl", []string{"ideal", "sticky", "headroom", "predict", "predict+shared"}},
	{"restart", []string{"ideal", "sticky", "headroom", "predict"}},
	{"one-address", []string{"ideal", "sticky", "headroom:1", "predict:1", "predict+shared:1"}},
}

// writeDocs runs everything and writes what is published of it, below root.
func writeDocs(ctx context.Context, root string, seeds int, stderr io.Writer) error {
	if _, err := readme.With(root, ""); err != nil {
		return err // now, and not after minutes
	}
	scenarios, err := world.BuiltIn()
	if err != nil {
		return err
	}
	policies, err := choosePolicies("all")
	if err != nil {
		return err
	}
	rows, err := simulate(ctx, batch{scenarios, policies, seeds, 1}, stderr)
	if err != nil {
		return err
	}
	open, err := simulateHard(ctx, seeds, stderr)
	if err != nil {
		return err
	}
	farms, err := world.Farms()
	if err != nil {
		return err
	}
	compared, err := compareFarms(ctx, farms, 1, stderr)
	if err != nil {
		return err
	}
	return publish(root, rows, open, compared)
}

// simulateHard runs the open problems.
func simulateHard(ctx context.Context, seeds int, stderr io.Writer) ([]row, error) {
	var rows []row
	for _, h := range hard {
		s, err := example(h.file)
		if err != nil {
			return nil, err
		}
		some, err := simulate(ctx, batch{[]world.Scenario{s}, h.policies, seeds, 1}, stderr)
		if err != nil {
			return nil, err
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

func example(name string) (world.Scenario, error) {
	text, err := files.ReadFile("examples/" + name + ".yaml")
	if err != nil {
		return world.Scenario{}, err
	}
	return world.Parse(name, text)
}

// publish writes the docs, their plots, and the README's table.
func publish(root string, rows, open []row, farms []world.Comparison) error {
	text, err := render(rows, open, farms)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", docsFile, err)
	}
	front, err := readme.With(root, matrix(rows, func(r *row) float64 { return r.p99.value }))
	if err != nil {
		return err
	}
	if err := writePlots(filepath.Join(root, docsPlots), rows); err != nil {
		return err
	}
	if err := measured.Replace(filepath.Join(root, docsFile), text); err != nil {
		return err
	}
	return measured.Replace(filepath.Join(root, readme.File), front)
}

// render fills the template.
func render(rows, open []row, farms []world.Comparison) ([]byte, error) {
	if len(rows) == 0 {
		return nil, errors.New("expected results")
	}
	text, err := files.ReadFile("docs.tmpl")
	if err != nil {
		return nil, err
	}
	t, err := template.New("steering").Option("missingkey=error").Funcs(helpers).Parse(string(text))
	if err != nil {
		return nil, err
	}
	farm, err := files.ReadFile("examples/farm.yaml")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Seeds": rows[0].seeds, "Base": world.Base, "Policies": world.Policies(), "Example": string(farm),
		"P99":   matrix(rows, func(r *row) float64 { return r.p99.value }),
		"Mean":  matrix(rows, func(r *row) float64 { return r.mean.value }),
		"Goals": goalTable(rows), "Results": byScenario(rows), "Open": byScenario(open),
		"Farms": farmTable(farms), "Tolerance": fmt.Sprintf("%.0f %%", 100*(world.Tolerance-1)),
	})
	return b.Bytes(), err
}

var helpers = template.FuncMap{
	"scenario": func(rows []row) *world.Scenario { return rows[0].scenario },
	"table":    scenarioTable,
	"plot":     func(rows []row) string { return filepath.Base(docsPlots) + "/" + plotName(rows[0].scenario) },
	"percent":  func(part float64) string { return fmt.Sprintf("%.4g %%", part*100) },
}
