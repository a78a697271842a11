package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// footprint is what a CoreDNS holds at one moment.
type footprint struct {
	resources
	heap     int // octets that are in use after a collection
	resident int // octets, from the kernel; the race detector's shadow is among them
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %.1f MiB of heap, %.0f MiB resident", f.goroutines, f.files,
		float64(f.heap)/(1<<20), float64(f.resident)/(1<<20))
}

// look measures a CoreDNS whose Corefile has pprof at a port.
func look(t *testing.T, c *coredns, pprof string) footprint {
	t.Helper()
	f := footprint{resources: usage(t, c, pprof), resident: resident(t, c.process)}
	profile := fetch(t, "http://127.0.0.1:"+pprof+"/debug/pprof/heap?gc=1&debug=1")
	f.heap = number(t, `(?m)^# HeapAlloc = (\d+)$`, profile)
	return f
}

// resident returns the memory of a process that is in RAM, peak the most that ever was.
func resident(t *testing.T, p *process) int { return status(t, p, "VmRSS") }
func peak(t *testing.T, p *process) int     { return status(t, p, "VmHWM") }

func status(t *testing.T, p *process, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return number(t, `(?m)^`+field+`:\s+(\d+) kB$`, text) << 10
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// number returns what the only group of an expression matches.
func number(t *testing.T, expr string, text []byte) int {
	t.Helper()
	m := regexp.MustCompile(expr).FindSubmatch(text)
	if m == nil {
		t.Fatalf("Expected %s in %.200s", expr, text)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
