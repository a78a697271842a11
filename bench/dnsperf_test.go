package main

import (
	"math"
	"testing"
)

const statistics = `DNS Performance Testing Tool
Version 2.10.0

[Status] Command line: dnsperf -s 127.0.0.1
[Status] Sending queries (to 127.0.0.1:10053)
[Status] Testing complete (time limit)

Statistics:

  Queries sent:         1003
  Queries completed:    1001 (99.80%)
  Queries lost:         2 (0.20%)

  Response codes:       NOERROR 990 (98.90%), SERVFAIL 11 (1.10%)
  Average packet size:  request 38, response 118
  Run time (s):         2.001000
  Queries per second:   500.249875

  Average Latency (s):  0.002710 (min 0.000041, max 0.027900)
`

func TestParseOutcome(t *testing.T) {
	got, err := parseOutcome(statistics)
	if err != nil {
		t.Fatal(err)
	}
	if want := (outcome{sent: 1003, completed: 1001, lost: 2, failed: 11, octets: 118, qps: 500.249875}); got != want {
		t.Errorf("Expected %+v, got %+v", want, got)
	}
	for _, text := range []string{"", "Queries completed: 10", "Queries sent: 1\nQueries completed: 2\nQueries per second: 1"} {
		if _, err := parseOutcome(text); err == nil {
			t.Errorf("Expected %q to be refused", text)
		}
	}
}

func FuzzParseOutcome(f *testing.F) {
	f.Add(statistics)
	f.Add("Queries sent: 9\nQueries completed: 9\nQueries per second: NaN")
	f.Add("Queries per second:")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOutcome(text)
		if err != nil {
			return
		}
		if o.completed < 1 || o.failed < 0 || o.lost < 0 || o.octets < 0 || o.completed > o.sent || math.IsNaN(o.qps) || math.IsInf(o.qps, 0) || o.qps <= 0 {
			t.Errorf("Expected figures that can be, got %+v", o)
		}
	})
}

func TestParseInfo(t *testing.T) {
	i := parseInfo("# Memory\r\nused_memory:1048576\r\ncmdstat_hget:calls=12,usec=3,usec_per_call=0.25\r\ncmdstat_evalsha:calls=4,usec=9\r\n")
	if got := i.number("used_memory"); got != 1<<20 {
		t.Errorf("Expected the memory, got %v", got)
	}
	if got := commands(info{}, i); got != 12 {
		t.Errorf("Expected the commands of scripts alone, got %v", got)
	}
}

func TestReadBenchmarks(t *testing.T) {
	took := make(map[string]map[string][]float64)
	readBenchmarks([]byte("goos: linux\nBenchmarkPredict/1000-2 \t 501654\t 438.9 ns/op\t 0 B/op\t 0 allocs/op\n"+
		"BenchmarkPredict/1000-2 \t 501654\t 440.1 ns/op\nBenchmarkOdd-2\nPASS\n"), took)
	got := took["BenchmarkPredict/1000"]
	if len(got["ns/op"]) != 2 || got["ns/op"][0] != 438.9 || len(got["allocs/op"]) != 1 || len(took) != 1 {
		t.Errorf("Expected two times and one number of allocations, got %v", took)
	}
}
