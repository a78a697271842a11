package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// fixture lays out a directory of files from testdata, and says how to replace one.
func fixture(t *testing.T, from string) (dir string, put func(name, text string)) {
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
		t.Fatal(err)
	}
	return dir, func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHostOfTheMachine(t *testing.T) {
	for _, cgroup := range []string{"testdata/cgroup/unlimited", t.TempDir()} {
		proc, put := fixture(t, "proc")
		h, err := newHost(&Host{Proc: proc, Cgroup: cgroup})
		if err != nil {
			t.Fatal(err)
		}
		s, err := h.collect(soon(t), epoch)
		wantError(t, err, "")
		wantSample(t, s, "utilization=0.25 mem=0.25")

		later, err := os.ReadFile("testdata/proc2/stat")
		wantError(t, err, "")
		put("stat", string(later))
		s, err = h.collect(soon(t), epoch.Add(10*time.Second))
		wantError(t, err, "")
		// 400 user, 100 system, 50 irq, 50 softirq, 200 stolen; 200 idle; guest time is user time already.
		wantSample(t, s, "utilization=0.8 cpu=0.8 mem=0.25")
	}
}

func TestHostInACgroup(t *testing.T) {
	dir, put := fixture(t, "cgroup/limited")
	h, err := newHost(&Host{Proc: "testdata/proc", Cgroup: dir})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.collect(soon(t), epoch)
	wantError(t, err, "")
	wantSample(t, s, "utilization=0.6 mem=0.6")

	put("cpu.stat", "usage_usec 4500000\n") // 1.5 s of 1.5 CPUs in 2 s
	s, err = h.collect(soon(t), epoch.Add(2*time.Second))
	wantError(t, err, "")
	wantSample(t, s, "utilization=0.6 cpu=0.5 mem=0.6")

	put("cpu.stat", "usage_usec 100\n") // the cgroup was made anew
	s, err = h.collect(soon(t), epoch.Add(4*time.Second))
	wantError(t, err, "")
	wantSample(t, s, "utilization=0.6 mem=0.6")

	put("memory.max", "nonsense\n")
	put("cpu.stat", "usage_usec 3000100\n")
	s, err = h.collect(soon(t), epoch.Add(6*time.Second))
	wantError(t, err, "")
	wantSample(t, s, "utilization=1 cpu=1")

	put("cpu.max", "lots\n")
	_, err = h.collect(soon(t), epoch.Add(8*time.Second))
	wantError(t, err, "cpu.max")
	wantError(t, err, "memory.max")
}

func TestHostCounts(t *testing.T) {
	h, err := newHost(&Host{Proc: "testdata/proc", Cgroup: t.TempDir(), Counts: []string{"cpu"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.collect(soon(t), epoch)
	wantError(t, err, "")
	wantSample(t, s, "mem=0.25")
}

// The machine that runs the test has a procfs of its own.
func TestHostHere(t *testing.T) {
	h, err := newHost(&Host{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.collect(soon(t), time.Now())
	if err != nil || s.Mem == nil || len(s.Absent) > 0 {
		t.Errorf("got %s, error %v", show(s), err)
	}
}

func TestBusyShare(t *testing.T) {
	busy := procfs.CPUStat{User: 10, Idle: 10}
	for _, tt := range []struct {
		name string
		a, b procfs.CPUStat
		want string
	}{
		{"no time passed", busy, busy, ""},
		{"idle ran backwards", busy, procfs.CPUStat{User: 12, Idle: 9}, ""},
		{"half", busy, procfs.CPUStat{User: 11, Idle: 11}, "cpu=0.5"},
		{"all", busy, procfs.CPUStat{User: 12, Idle: 10}, "cpu=1"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantSample(t, Sample{CPU: busyShare(tt.a, tt.b)}, tt.want) })
	}
}

func TestParseCPUMax(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want float64
		err  string
	}{
		{"max 100000\n", 0, ""},
		{"50000 100000\n", 0.5, ""},
		{"0 100000", 0, "above 0"},
		{"1 0", 0, "above 0"},
		{"", 0, "expected a quota"},
		{"x y", 0, "invalid syntax"},
		{"-1 100000", 0, "invalid syntax"},
	} {
		got, err := parseCPUMax(tt.in)
		if wantError(t, err, tt.err); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.in, got, tt.want)
		}
	}
}
