package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed docs.tmpl
var templates embed.FS

// What is written, from the root of the repository.
const (
	docsFile   = "docs/performance.md"
	docsPlot   = "docs/performance.svg"
	scaleFile  = "docs/scale.md"
	readmeFile = "README.md"
)

// What is measured stands in docs/scale.md and README.md between these lines.
const (
	begin = "<!-- measured: go run ./bench -docs writes this -->"
	end   = "<!-- /measured -->"
)

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
	for _, file := range []string{scaleFile, readmeFile} {
		if _, err := with(root, file, ""); err != nil {
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
	scale, err := with(root, scaleFile, scaleSection(all))
	if err != nil {
		return err
	}
	readme, err := with(root, readmeFile, readmeSection(all))
	if err != nil {
		return err
	}
	for file, text := range map[string][]byte{docsFile: text, docsPlot: svg, scaleFile: scale, readmeFile: readme} {
		if err := replaceFile(filepath.Join(root, file), text); err != nil {
			return err
		}
	}
	return nil
}

// with returns a file as it is now, with the section between its lines.
func with(root, file, section string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, fmt.Errorf("cannot write the docs: expected the root of the repository here: %w", err)
	}
	head, rest, begun := strings.Cut(string(text), begin+"\n")
	_, tail, ended := strings.Cut(rest, end+"\n")
	if !begun || !ended {
		return nil, fmt.Errorf("%s: expected the line %q, and %q further down", file, begin, end)
	}
	return []byte(head + begin + "\n" + section + end + "\n" + tail), nil
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
		"Compare": compareDocs(all.rows), "Profile": markdown(profileHead(all.spent), profileLines(all.spent)), "Fresh": markdown(freshHead, freshLines(all.fresh)), "Budgets": budgetDocs(all),
		"Plot": filepath.Base(docsPlot),
	})
	return b.Bytes(), err
}
