package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// namedTest is how docs/reliability.md names a test: FOLDER.TestName (farm is the repository's root), or FOLDER.TestName/one of its cases.
var namedTest = regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)(?:/([^`]+))?`")

// TestReliabilityNamesTests: every test that the page names exists, and every fault that is tested is on the page.
func TestReliabilityNamesTests(t *testing.T) {
	page, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]string)
	named := namedTest.FindAllStringSubmatch(string(page), -1)
	if len(named) < 50 {
		t.Fatalf("Expected the page to name tests, got %d", len(named))
	}
	for _, m := range named {
		folder, name, part := m[1], m[2], m[3]
		if sources[folder] == "" {
			sources[folder] = testsOf(t, folder)
		}
		if !strings.Contains(sources[folder], "\nfunc "+name+"(t *testing.T)") {
			t.Errorf("Expected %s in %s", name, folder)
		}
		if part != "" && !strings.Contains(sources[folder], strconv.Quote(part)) {
			t.Errorf("Expected the case %q of %s in %s", part, name, folder)
		}
	}
	var all []string
	for _, f := range faults {
		all = append(all, "test.TestFailStatic/"+f.name)
	}
	for _, f := range rareFaults {
		all = append(all, "test.TestRareFaults/"+f.name)
	}
	for _, a := range attacks {
		all = append(all, "test.TestHostileQueries/"+a.name)
	}
	for _, name := range all {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("Expected docs/reliability.md to say what %s shows", name)
		}
	}
}

// testsOf returns the test files of a folder.
func testsOf(t *testing.T, folder string) string {
	t.Helper()
	if folder == "farm" {
		folder = "."
	}
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
