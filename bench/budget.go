package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// budget is what something may take, and the Go benchmark that shows what it takes.
type budget struct {
	What  string
	most  float64
	unit  string // as the benchmark prints it
	bench string // its name, without the number of processors
	room  string // the package that it is in
	scale float64
	show  string // the unit of most
}

// budgets are those that Go benchmarks show. The others come from what is measured on processes.
var budgets = []budget{
	{"Decide, `predict`, 1,000 servers, 10,000 known resolvers, 3 addresses", 600, "ns/op", "BenchmarkPredict/1000", "./steer", 1, "ns"},
	{"the same: allocations", 0, "allocs/op", "BenchmarkPredict/1000", "./steer", 1, ""},
	{"ServeDNS of the plugin alone, A, 1,000 servers", 2, "ns/op", "BenchmarkServeDNS/predict/servers=1000", ".", 1e-3, "us"},
	{"the same: allocations", 4, "allocs/op", "BenchmarkServeDNS/predict/servers=1000", ".", 1, ""},
	{"apply one report, 100,000 servers in 1,000 services, amortised", 20, "ns/op", "BenchmarkApplyReport", "./store", 1e-3, "us"},
	{"memory a server in the replica, 100,000 servers", 1024, "B/server", "BenchmarkMemory", "./store", 1, "B"},
	{"a complete read of 100,000 servers from a real Redis", 2, "ns/op", "BenchmarkResync", "./store", 1e-9, "s"},
}

// kept is a budget with what was measured.
type kept struct {
	budget
	took figure
}

func (k kept) met() bool { return k.took.Median <= k.most }

// measureBudgets runs the benchmarks so many times.
func measureBudgets(ctx context.Context, l *lab, times int) ([]kept, error) {
	l.note("Go benchmarks")
	took := make(map[string]map[string][]float64) // by benchmark, by unit
	for _, room := range []string{"./steer", ".", "./store"} {
		var names []string
		for _, b := range budgets {
			if b.room == room {
				name, _, _ := strings.Cut(b.bench, "/")
				names = append(names, name)
			}
		}
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^("+strings.Join(names, "|")+")$",
			"-benchmem", "-count", strconv.Itoa(times), room).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w\n%s", room, err, out)
		}
		readBenchmarks(out, took)
	}
	var all []kept
	for _, b := range budgets {
		values := took[b.bench][b.unit]
		if len(values) == 0 {
			return nil, fmt.Errorf("expected %s of %s to print %s", b.bench, b.room, b.unit)
		}
		for i := range values {
			values[i] *= b.scale
		}
		all = append(all, kept{b, figureOf(values)})
	}
	return all, nil
}

// readBenchmarks takes the lines of benchmarks: NAME-PROCESSORS N and then pairs of a value and its unit.
func readBenchmarks(text []byte, into map[string]map[string][]float64) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := words[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if into[name] == nil {
			into[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(words); i += 2 {
			if x, err := strconv.ParseFloat(words[i], 64); err == nil {
				into[name][words[i+1]] = append(into[name][words[i+1]], x)
			}
		}
	}
}
