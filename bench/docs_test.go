package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/measured"
)

// sample is a whole measurement that took no time.
func sample() *everything {
	all := &everything{rounds: 3, seconds: 2, machine: "2 cores"}
	for i := range rows {
		r := result{row: &rows[i], rounds: 3, queries: 1000, octets: 100, qps: figure{3e4, 2e4, 4e4}}
		r.cpu = figure{float64(20 + i), 20, 40}
		r.ratio = figure{1 + float64(i)/10, .9, 2.5}
		if r.row.name == "gdnsd" {
			r = result{row: &rows[i], absent: "gdnsd is not installed"}
		}
		all.rows = append(all.rows, r)
	}
	for i, name := range []string{base, headline} {
		of := spent{row: &row{name: name}, cpu: figure{20, 19, 21}}
		for k := range of.kinds {
			of.kinds[k] = figure{float64(i + k), float64(i + k), float64(i + k)}
		}
		all.spent = append(all.spent, of)
	}
	all.fresh = []freshness{
		{Servers: 1, Samples: 200, P50: .4, P99: 5, Max: 6},
		{Servers: 10_000, Reports: 5000, Queries: 10_000, Busy: 1.9, Samples: 200, P50: 4, P99: 15, Max: 16},
	}
	for _, f := range sizes {
		all.scale.Sizes = append(all.scale.Sizes, scale{
			Services: f.services, Servers: f.servers, Heap: 900, Resident: 2e8, Start: 1.2, Resync: 1, Reports: 9000,
			ReplicaCost: 20, RedisCost: 60, RedisOctets: 470, Commands: 10, StreamOctets: 5e6, QueryCost: 25,
		})
	}
	all.scale.Fanout = []fanout{{500, 140, 24, 460}, {3000, 80, 3, 450}}
	for _, b := range budgets {
		all.budgets = append(all.budgets, kept{b, figure{b.most / 2, b.most / 2, b.most}})
	}
	return all
}

var empty = "# A page\n" + readme.Begin + "\nold\n" + readme.End + "\nrest\n"

var pages = []measured.Section{scalePage, readme}

func TestPublish(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if err := os.WriteFile(filepath.Join(root, page.File), []byte(empty), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := sample()
	if err := publish(root, all); err != nil {
		t.Fatal(err)
	}
	docs, scale, front := read(t, root, docsFile), read(t, root, scalePage.File), read(t, root, readme.File)
	for _, odd := range []string{"NaN", "Inf", "<no value>", "%!", "{{", "<nil>"} {
		if strings.Contains(docs+scale+front, odd) {
			t.Errorf("Expected no %q in\n%s\n%s\n%s", odd, docs, scale, front)
		}
	}
	for _, want := range []string{"(`farm-predict`)", "absent: gdnsd is not installed", "| growing stacks | 1.0 | 2.0 |", "(performance.svg)", "<= 600 ns", "**no**"} {
		if !strings.Contains(docs, want) {
			t.Errorf("Expected %q in\n%s", want, docs)
		}
	}
	for text, want := range map[string]string{scale: "| 1,000,000, 1,000, 10s |", front: "`policy predict` | 1.30 (0.90-2.50) |"} {
		if strings.Contains(text, "old") || !strings.HasSuffix(text, readme.End+"\nrest\n") || !strings.Contains(text, want) {
			t.Errorf("Expected what is measured to be replaced, with %s, and the rest to stay, got\n%s", want, text)
		}
	}
	wellFormed(t, read(t, root, docsPlot))
}

func read(t *testing.T, root, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
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

func TestDocsElsewhere(t *testing.T) {
	if err := writeDocs(context.Background(), nil, t.TempDir(), 1, 1); err == nil || !strings.Contains(err.Error(), "expected the root of the repository") {
		t.Errorf("Expected an error that says where to run it, got %v", err)
	}
}

// TestLines: the pages have the lines between which the command writes.
func TestLines(t *testing.T) {
	for _, page := range pages {
		if _, err := page.With("..", ""); err != nil {
			t.Error(err)
		}
	}
}

// TestJSON: an object a row, with the names that scripts go by.
func TestJSON(t *testing.T) {
	all := sample()
	var out bytes.Buffer
	if err := write(&out, "json", all.rows, nil); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("Expected an object a row, got %d", len(got))
	}
	for _, key := range []string{"name", "cpu_us_per_query", "ratio_to_whoami", "qps", "lost"} {
		if _, ok := got[0][key]; !ok {
			t.Errorf("Expected the key %s, got %v", key, got[0])
		}
	}
	for _, object := range got {
		if _, absent := object["absent"]; absent != (object["name"] == "gdnsd") {
			t.Errorf("Expected only what is absent to say so, got %v", object)
		}
	}
}
