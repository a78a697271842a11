package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/measured"
	"github.com/coredns-farm/farm/sim/world"
)

// matrix is a table of one number: policies down, scenarios across.
func matrix(rows []row, get func(*row) float64) string {
	head := []string{"policy"}
	var lines [][]string
	for _, some := range byScenario(rows) {
		head = append(head, some[0].scenario.Name)
		for i := range some {
			if len(lines) <= i {
				lines = append(lines, []string{title(some[i].policy)})
			}
			lines[i] = append(lines[i], fmt.Sprintf("%.2f", get(&some[i])))
		}
	}
	return measured.Markdown(head, lines)
}

// title is a policy's name for people, with what is to be typed.
func title(policy string) string {
	name, count, given := strings.Cut(policy, ":")
	all := world.Policies()
	i := slices.IndexFunc(all, func(p world.Policy) bool { return p.Name == name })
	text := all[i].Title
	if given {
		text += ", addresses: " + count
	}
	if strings.HasPrefix(name, "predict") {
		return "**" + text + "**"
	}
	return text
}

// scenarioTable is all that was measured in one scenario.
func scenarioTable(rows []row) string {
	var lines [][]string
	for i := range rows {
		lines = append(lines, append([]string{title(rows[i].policy)}, rows[i].cells()...))
	}
	return measured.Markdown(append([]string{"policy"}, columns...), lines)
}

// goalTable sets what predict reached beside what it was to reach.
func goalTable(rows []row) string {
	var lines [][]string
	for _, some := range byScenario(rows) {
		g, known := goals[some[0].scenario.Name]
		if !known {
			continue
		}
		alone, shared := find(some, "predict"), find(some, "predict+shared")
		lines = append(lines, []string{some[0].scenario.Name,
			fmt.Sprintf("%.2f", alone.p99.value), fmt.Sprintf("%.2f", g.P99),
			fmt.Sprintf("%.3f", alone.mean.value), fmt.Sprintf("%.2f", g.Mean),
			fmt.Sprintf("%.2f", shared.p99.value), fmt.Sprintf("%.2f", g.Shared),
			percent(alone.failed, 3)})
	}
	return measured.Markdown([]string{"", "p99", "goal", "mean", "goal", "p99, shared", "goal", "failed requests"}, lines)
}

// farmTable is predict beside the policies that it is compared with, in many farms.
func farmTable(all []world.Comparison) string {
	var lines [][]string
	for i := range all {
		c := &all[i]
		line := []string{c.Farm.Title}
		for _, e := range c.Even {
			line = append(line, e.String())
		}
		lines = append(lines, append(line, c.Harm().String()))
	}
	return measured.Markdown([]string{"farm", "headroom", "weights right", "predict", "predict over the better"}, lines)
}

// find returns the row of a policy, or an empty one.
func find(rows []row, policy string) *row {
	for i := range rows {
		if rows[i].policy == policy {
			return &rows[i]
		}
	}
	return &row{}
}
