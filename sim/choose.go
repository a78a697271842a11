package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/sim/world"
)

// maxFile bounds what is read of a scenario file, in octets.
const maxFile = 1 << 20

// scenarioName is what a scenario may be called: plots are files of that name.
var scenarioName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// chooseScenarios reads a list with commas: names of built-in scenarios, all of them, names of farms, farms for all of them,
// or YAML files.
func chooseScenarios(list string) ([]world.Scenario, error) {
	builtIn, err := world.BuiltIn()
	if err != nil {
		return nil, err
	}
	var chosen []world.Scenario
	for _, item := range strings.Split(list, ",") {
		some, err := chooseScenario(item, builtIn)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, some...)
	}
	seen := make(map[string]bool)
	for _, s := range chosen {
		if seen[s.Name] {
			return nil, fmt.Errorf("scenario %s is there twice: expected a name for each", s.Name)
		}
		seen[s.Name] = true
	}
	return chosen, nil
}

func chooseScenario(item string, builtIn []world.Scenario) ([]world.Scenario, error) {
	switch item {
	case "all":
		return builtIn, nil
	case "farms":
		return world.Farms()
	}
	if ext := filepath.Ext(item); ext == ".yaml" || ext == ".yml" {
		s, err := readScenario(item)
		return []world.Scenario{s}, err
	}
	if s := findScenario(item, builtIn); s != nil {
		return s, nil
	}
	farms, err := world.Farms()
	if err != nil {
		return nil, err
	}
	if s := findScenario(item, farms); s != nil {
		return s, nil
	}
	var names []string
	for _, s := range builtIn {
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("unknown scenario %q: expected all, a file that ends in .yaml, or one of %s; or farms, or one of the farms of -list",
		item, strings.Join(names, ", "))
}

// findScenario returns the one scenario of that name, or nil.
func findScenario(name string, among []world.Scenario) []world.Scenario {
	for i := range among {
		if among[i].Name == name {
			return among[i : i+1]
		}
	}
	return nil
}

func readScenario(file string) (world.Scenario, error) {
	f, err := os.Open(file)
	if err != nil {
		return world.Scenario{}, fmt.Errorf("cannot read the scenario: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return world.Scenario{}, fmt.Errorf("cannot read the scenario: %w", err)
	}
	if len(text) > maxFile {
		return world.Scenario{}, fmt.Errorf("%s: expected at most %d octets", file, maxFile)
	}
	base := filepath.Base(file)
	s, err := world.Parse(strings.TrimSuffix(base, filepath.Ext(base)), text)
	if err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	if !scenarioName.MatchString(s.Name) {
		return s, fmt.Errorf("%s: name %q: expected up to 64 letters, digits, dots, hyphens and underscores", file, s.Name)
	}
	return s, nil
}

// choosePolicies reads a list with commas: names of policies, or all.
func choosePolicies(list string) ([]string, error) {
	var known, chosen []string
	for _, p := range world.Policies() {
		known = append(known, p.Name)
	}
	for _, item := range strings.Split(list, ",") {
		name, _, _ := strings.Cut(item, ":")
		switch {
		case item == "all":
			chosen = append(chosen, known...)
		case slices.Contains(known, name):
			chosen = append(chosen, item)
		default:
			return nil, fmt.Errorf("unknown policy %q: expected all, or some of %s", name, strings.Join(known, ", "))
		}
	}
	for i, p := range chosen {
		if slices.Contains(chosen[:i], p) {
			return nil, fmt.Errorf("policy %s is there twice", p)
		}
	}
	return chosen, nil
}
