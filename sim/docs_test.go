package main

import (
	"context"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/sim/world"
)

// tinyRows are the results of a run that takes no time.
func tinyRows(t *testing.T) []row {
	t.Helper()
	s, err := readScenario("testdata/tiny.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crash := s
	crash.Name = "crash"
	crash.Events = []world.Event{{Kind: world.Crash, At: 25, Until: 40}}
	rows, err := simulate(t.Context(), batch{[]world.Scenario{s, crash}, []string{"uniform", "headroom", "predict", "predict+shared"}, 2, 1}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestPublish(t *testing.T) {
	t.Parallel()
	root, rows := t.TempDir(), tinyRows(t)
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	front := "# farm\n" + readme.Begin + "\nold\n" + readme.End + "\nrest\n"
	if err := os.WriteFile(filepath.Join(root, readme.File), []byte(front), 0o600); err != nil {
		t.Fatal(err)
	}
	farm := world.Comparison{Farm: rows[0].scenario, Even: [len(world.Compared)]world.Evenness{{Mean: 1.3, P99: 2}, {Mean: 1.2, P99: 1.5}, {Mean: 1.1, P99: 1.8}}}
	if err := publish(root, rows, rows[:2], []world.Comparison{farm}); err != nil {
		t.Fatal(err)
	}
	docs, table := read(t, filepath.Join(root, docsFile)), read(t, filepath.Join(root, readme.File))
	for _, odd := range []string{"NaN", "Inf", "<no value>", "%!", "{{"} {
		if strings.Contains(docs, odd) {
			t.Errorf("Expected no %q in\n%s", odd, docs)
		}
	}
	if want := "\n" + matrix(rows, func(r *row) float64 { return r.p99.value }); !strings.Contains(docs, want) || !strings.Contains(table, want) {
		t.Errorf("Expected the table\n%sin\n%s", want, table)
	}
	if want := "two servers for a minute | 2.00 / 1.30 | 1.50 / 1.20 | 1.80 / 1.10 | 1.20 / 0.92 |"; !strings.Contains(docs, want) {
		t.Errorf("Expected %q in the docs", want)
	}
	if strings.Contains(table, "old") || !strings.HasSuffix(table, readme.End+"\nrest\n") {
		t.Errorf("Expected the table to be replaced and the rest to stay, got\n%s", table)
	}
	for _, name := range []string{"tiny.svg", "crash.svg"} {
		if !strings.Contains(docs, "(steering/"+name+")") {
			t.Errorf("Expected the docs to show %s", name)
		}
		wellFormed(t, read(t, filepath.Join(root, docsPlots, name)))
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeys: the docs explain every key of a scenario file, and their example can be read.
func TestKeys(t *testing.T) {
	text, err := files.ReadFile("docs.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []any{world.Scenario{}, world.ServerGroup{}, world.TTLMix{}, world.Event{},
		world.Reports{}, world.HandWritten{}, world.Elsewhere{}, world.LoadPoint{}} {
		typ := reflect.TypeOf(of)
		for i := range typ.NumField() {
			if key := typ.Field(i).Tag.Get("yaml"); key != ",inline" && !strings.Contains(string(text), "`"+key+"`") {
				t.Errorf("Expected `%s` to be explained", key)
			}
		}
	}
	if _, err := example("farm"); err != nil {
		t.Error(err)
	}
}

func TestDocsElsewhere(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := writeDocs(context.Background(), root, 1, io.Discard); err == nil || !strings.Contains(err.Error(), "expected the root of the repository") {
		t.Errorf("Expected an error that says where to run it, got %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, readme.File), []byte("# farm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeDocs(context.Background(), root, 1, io.Discard); err == nil || !strings.Contains(err.Error(), readme.Begin) {
		t.Errorf("Expected an error that names the lines, got %v", err)
	}
}

// TestPublished: the README's table and the docs are of one run.
func TestPublished(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, "../"+readme.File), readme.Begin+"\n")
	table, _, found := strings.Cut(rest, readme.End)
	if !found || !strings.Contains(read(t, "../"+docsFile), "\n"+table) {
		t.Errorf("Expected %s to have the README's table: go run ./sim -docs writes both", docsFile)
	}
}
