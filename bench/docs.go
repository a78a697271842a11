package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"text/template"

	"github.com/coredns-farm/farm/measured"
)

//go:embed docs.tmpl
var templates embed.FS

// What is written, from the root of the repository.
const (
	docsFile = "docs/performance.md"
	docsPlot = "docs/performance.svg"
)

// sectionOf is what is measured, on a page that says more.
func sectionOf(file string) measured.Section {
	return measured.Section{File: file, Begin: "<!-- measured: go run ./bench -docs writes this -->", End: "<!-- /measured -->"}
}

var scalePage, readme = sectionOf("docs/scale.md"), sectionOf("README.md")

// everything is what the docs are written from.
type everything struct {
	rounds  int
	seconds float64
	machine string
	rows    []result
	spent   []spent
	fresh   []freshness
	scale   scales
	budgets []kept
}

// scales is what is measured of large farms.
type scales struct {
	Sizes  []scale  `json:"sizes"`
	Fanout []fanout `json:"fanout"`
}

func measureScales(ctx context.Context, l *lab, seconds float64) (all scales, err error) {
	if all.Fanout, err = measureFanout(ctx, l, seconds); err != nil {
		return all, err
	}
	all.Sizes, err = measureScale(ctx, l, seconds)
	return all, err
}

// writeDocs measures everything and writes what is published of it, below root.
func writeDocs(ctx context.Context, l *lab, root string, rounds int, seconds float64) error {
	for _, page := range []measured.Section{scalePage, readme} {
		if _, err := page.With(root, ""); err != nil {
			return err // now, and not after minutes
		}
	}
	all := everything{rounds: rounds, seconds: seconds, machine: machine()}
	chosen, err := chooseRows(allRows)
	if err != nil {
		return err
	}
	if all.rows, err = compare(ctx, l, chosen, rounds, seconds); err != nil {
		return err
	}
	if all.spent, err = profileRows(ctx, l, profiledOf(chosen, allRows), rounds, seconds); err != nil {
		return err
	}
	if all.fresh, err = measureFreshness(ctx, l, freshFactor*seconds); err != nil {
		return err
	}
	if all.scale, err = measureScales(ctx, l, seconds); err != nil {
		return err
	}
	if all.budgets, err = measureBudgets(ctx, l, rounds); err != nil {
		return err
	}
	return publish(root, &all)
}

// freshFactor is how much longer freshness is measured: a hundredth of its samples is looked at.
const freshFactor = 2

// publish writes the docs and their plot.
func publish(root string, all *everything) error {
	text, err := render(all)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", docsFile, err)
	}
	svg, err := picture(all.rows)
	if err != nil {
		return fmt.Errorf("cannot draw %s: %w", docsPlot, err)
	}
	scale, err := scalePage.With(root, scaleSection(all))
	if err != nil {
		return err
	}
	front, err := readme.With(root, readmeSection(all))
	if err != nil {
		return err
	}
	for file, text := range map[string][]byte{docsFile: text, docsPlot: svg, scalePage.File: scale, readme.File: front} {
		if err := measured.Replace(filepath.Join(root, file), text); err != nil {
			return err
		}
	}
	return nil
}

// render fills the template.
func render(all *everything) ([]byte, error) {
	t, err := template.New("docs.tmpl").Option("missingkey=error").ParseFS(templates, "docs.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"Rounds": all.rounds, "Seconds": all.seconds, "FreshSeconds": freshFactor * all.seconds, "Machine": all.machine,
		"Services": stageFarm.services, "Servers": stageFarm.servers, "Load": freshLoad,
		"Compare": compareDocs(all.rows), "Profile": measured.Markdown(profileHead(all.spent), profileLines(all.spent)), "Fresh": measured.Markdown(freshHead, freshLines(all.fresh)), "Budgets": budgetDocs(all),
		"Plot": filepath.Base(docsPlot),
	})
	return b.Bytes(), err
}
