package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fixture lays out a directory of files from testdata, and says how to replace one.
func fixture(t *testing.T, from string) (dir string, put func(name, text string)) {
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
		t.Fatal(err)
	}
	return dir, func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readings collects from a host, two seconds apart.
type readings struct {
	t   *testing.T
	h   *hostCollector
	now time.Time
}

func newReadings(t *testing.T, cfg Host) *readings {
	t.Helper()
	h, err := newHost(&cfg)
	wantError(t, err, "")
	return &readings{t, h, epoch}
}

func (r *readings) want(sample string) {
	r.t.Helper()
	s, err := r.h.collect(soon(r.t), r.now)
	wantError(r.t, err, "")
	if s.composeUtilization(); s.misses("utilization") {
		s.Utilization = nil
	}
	wantSample(r.t, s, strings.ReplaceAll(sample, "DIR", r.h.cgroup.dir))
	r.now = r.now.Add(2 * time.Second)
}

const firstReading = "(cpu: first reading)"

func TestHostOfTheMachine(t *testing.T) {
	for _, cgroup := range []string{"testdata/cgroup/unlimited", t.TempDir()} {
		proc, put := fixture(t, "proc")
		r := newReadings(t, Host{Proc: proc, Cgroup: cgroup})
		// Memory does not stand in for CPU.
		r.want("mem=0.25 " + firstReading)

		later, err := os.ReadFile("testdata/proc2/stat")
		wantError(t, err, "")
		put("stat", string(later))
		// 400 user, 100 system, 50 irq, 50 softirq, 200 stolen; 200 idle; guest time is user time already.
		r.want("utilization=0.8 cpu=0.8 mem=0.25")
		r.want("mem=0.25 (cpu: no tick since the last reading)")
	}
}

// At 100 % no idle tick passes. In floating seconds 1851.22 + 9.87 differs from itself by what is lost in rounding.
func TestHostAtFullCPU(t *testing.T) {
	proc, put := fixture(t, "proc")
	r := newReadings(t, Host{Proc: proc, Cgroup: t.TempDir()})
	stat := func(user, idle, iowait int) {
		put("stat", fmt.Sprintf("cpu  %d 0 0 %d %d 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nctxt 1\n", user, idle, iowait))
	}
	stat(100, 185122, 987)
	r.want("mem=0.25 " + firstReading)
	for user := 300; user < 5000; user += 200 {
		stat(user, 185122, 987)
		r.want("utilization=1 cpu=1 mem=0.25")
	}
	stat(5000, 185122+100, 987)
	r.want("utilization=0.5 cpu=0.5 mem=0.25")
	stat(5200, 185122+100+9, 987-10) // idle and iowait are rounded apart from each other
	r.want("utilization=1 cpu=1 mem=0.25")
}

func TestHostInACgroup(t *testing.T) {
	dir, put := fixture(t, "cgroup/limited")
	r := newReadings(t, Host{Proc: "testdata/proc", Cgroup: dir})
	r.want("mem=0.6 " + firstReading)

	put("cpu.stat", "usage_usec 4500000\n") // 1.5 s of 1.5 CPUs in 2 s
	r.want("utilization=0.6 cpu=0.5 mem=0.6")

	put("cpu.stat", "usage_usec 100\n")
	r.want("mem=0.6 (cpu: DIR: cpu.stat went back; the cgroup was made again)")

	put("memory.max", "nonsense\n")
	put("cpu.stat", "usage_usec 3000100\n")
	r.want(`cpu=1 (mem: DIR: memory.max: strconv.ParseUint: parsing "nonsense": invalid syntax)`)

	put("cpu.max", "lots\n")
	put("memory.max", "0\n")
	r.want(`(cpu: DIR: cpu.max: "lots\n", expected a quota and a period) (mem: DIR: memory.max: 0, expected more)`)

	put("cpu.max", "150000 100000\n")
	put("memory.max", "max\n")
	r.want("mem=0.25 " + firstReading)
	put("cpu.stat", "usage_usec 3300100\n")
	r.want("utilization=0.25 cpu=0.1 mem=0.25")

	// Burst lets a period use what earlier ones left, and is no limit of its own.
	put("cpu.max.burst", "100000\n")
	put("cpu.stat", "usage_usec 6600100\n")
	r.want("utilization=1.1 cpu=1.1 mem=0.25")

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.want("(cpu: cgroup: stat DIR: no such file or directory) (mem: cgroup: stat DIR: no such file or directory)")
}

// A limit that comes, changes or goes costs one reading, which nothing could be said of; the usage of before is known.
func TestHostLimitChanges(t *testing.T) {
	dir, put := fixture(t, "cgroup/unlimited")
	put("cpu.stat", "usage_usec 300000000\n")
	proc, putProc := fixture(t, "proc")
	r := newReadings(t, Host{Proc: proc, Cgroup: dir, Counts: []string{"cpu"}})
	r.want("mem=0.25 " + firstReading)
	putProc("stat", "cpu  1100 0 500 8100 500 0 0 0 0 0\ncpu0 1 1 1 1\n")
	r.want("utilization=0.5 cpu=0.5 mem=0.25")

	put("cpu.max", "100000 100000\n")
	r.want("mem=0.25 (cpu: DIR: cpu.max changed from all CPUs to 1)")
	put("cpu.stat", "usage_usec 300200000\n")
	r.want("utilization=0.1 cpu=0.1 mem=0.25")

	put("cpu.max", "50000 100000\n")
	put("cpu.stat", "usage_usec 302000000\n")
	r.want("mem=0.25 (cpu: DIR: cpu.max changed from 1 CPUs to 0.5)")
	put("cpu.stat", "usage_usec 302500000\n")
	r.want("utilization=0.5 cpu=0.5 mem=0.25")

	put("cpu.max", "max 100000\n")
	putProc("stat", "cpu  9100 0 500 8100 500 0 0 0 0 0\ncpu0 1 1 1 1\n")
	r.want("mem=0.25 (cpu: DIR: cpu.max changed from 0.5 CPUs to all)")
	putProc("stat", "cpu  9150 0 500 8250 500 0 0 0 0 0\ncpu0 1 1 1 1\n")
	r.want("utilization=0.25 cpu=0.25 mem=0.25")
}

// Each limit counts against what uses it: that of a parent against all of its children.
func TestHostAncestors(t *testing.T) {
	dir, put := fixture(t, "cgroup/unlimited")
	usage := func(leaf, parent int) {
		put("cpu.stat", "usage_usec 9000000\n")
		put("pod/cpu.stat", fmt.Sprintf("usage_usec %d\n", parent))
		put("pod/web/cpu.stat", fmt.Sprintf("usage_usec %d\n", leaf))
	}
	put("pod/cpu.max", "50000 100000\n")
	put("pod/memory.max", "1200000\n")
	put("pod/memory.current", "900000\n")
	put("pod/web/cpu.max", "max 100000\n")
	put("pod/web/memory.max", "max\n")
	usage(1000000, 2000000)
	r := newReadings(t, Host{Proc: "testdata/proc", Cgroup: dir + "/pod/web/"})
	r.want("mem=0.75 " + firstReading)
	usage(1100000, 2800000)
	r.want("utilization=0.8 cpu=0.8 mem=0.75")

	// The nearest to its end counts, wherever it is.
	put("pod/web/memory.max", "1000000\n")
	put("pod/web/memory.current", "800000\n")
	put("pod/web/cpu.max", "10000 100000\n")
	r.want("mem=0.8 (cpu: DIR: cpu.max changed from all CPUs to 0.1)")
	usage(1280000, 2980000)
	r.want("utilization=0.9 cpu=0.9 mem=0.8")
}

// A limit above what the machine has is none: the machine is the scarcer.
func TestHostLimitAboveTheMachine(t *testing.T) {
	dir, put := fixture(t, "cgroup/limited")
	put("cpu.max", "400000 100000\n")
	put("memory.max", "32000000000\n")
	put("cpu.stat", "usage_usec 0\n")
	proc, putProc := fixture(t, "proc")
	r := newReadings(t, Host{Proc: proc, Cgroup: dir})
	r.want("mem=0.25 " + firstReading)
	put("cpu.stat", "usage_usec 2000000\n")
	putProc("stat", "cpu  1190 0 500 8010 500 0 0 0 0 0\ncpu0 1 1 1 1\n")
	r.want("utilization=0.95 cpu=0.95 mem=0.25")
}

func TestHostCounts(t *testing.T) {
	r := newReadings(t, Host{Proc: "testdata/proc", Cgroup: t.TempDir(), Counts: []string{"mem"}})
	r.want("utilization=0.25 mem=0.25 " + firstReading)
}

func TestHostWithoutProc(t *testing.T) {
	proc, put := fixture(t, "proc")
	r := newReadings(t, Host{Proc: proc, Cgroup: t.TempDir()})
	put("stat", "intr 1\n")
	r.want("mem=0.25 " + firstReading)
	r.want(`mem=0.25 (cpu: ` + proc + `/stat: line "intr 1", expected cpu and its ticks)`)
}

func TestHostNotice(t *testing.T) {
	for _, tt := range []struct{ cgroup, want string }{
		{"testdata/cgroup/limited", ""},
		{"testdata/cgroup", "testdata/cgroup is no cgroup of version 2, the only one whose limits are read: CPU and memory are the machine's"},
	} {
		h, err := newHost(&Host{Cgroup: tt.cgroup})
		if wantError(t, err, ""); h.notice() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.cgroup, h.notice(), tt.want)
		}
	}
}

// The machine that runs the test has a procfs of its own.
func TestHostHere(t *testing.T) {
	h, err := newHost(&Host{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.collect(soon(t), time.Now())
	if err != nil || s.Mem == nil || s.lacks("mem") {
		t.Errorf("got %s, error %v", show(s), err)
	}
}

func TestBusyShare(t *testing.T) {
	const before = "cpu 1000 100 500 8000 500 30 40 50 60 70\ncpu0 1\ncpu1 1\n"
	for _, tt := range []struct{ name, after, want, err string }{
		{"no time passed", before, "", "no tick"},
		{"half", "cpu 1100 100 500 8050 550 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "0.5", ""},
		{"all", "cpu 1100 100 500 8000 500 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "1", ""},
		{"none", "cpu 1000 100 500 8100 500 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "0", ""},
		{"each kind", "cpu 1001 102 504 8001 500 38 56 82 60 70\ncpu0 1\ncpu1 1\n", "0.984375", ""},
		{"guests are in user and nice", "cpu 1010 110 500 8020 500 30 40 50 70 80\ncpu0 1\ncpu1 1\n", "0.5", ""},
		{"iowait became idle", "cpu 1100 100 500 8400 200 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "0.5", ""},
		{"a tick was rounded away", "cpu 1100 100 500 7999 499 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "1", ""},
		{"idle went back", "cpu 1100 100 500 7000 500 30 40 50 60 70\ncpu0 1\ncpu1 1\n", "", "idle and iowait went back by 1000 ticks"},
		{"steal went back, as after a migration", "cpu 1100 100 500 8000 500 30 40 5 60 70\ncpu0 1\ncpu1 1\n", "", "steal went back by 45 ticks"},
		{"a CPU was taken offline", "cpu 1100 100 500 8000 500 30 40 50 60 70\ncpu0 1\n", "", "CPUs online were 2 and are 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := parseCPUTimes(strings.NewReader(before))
			wantError(t, err, "")
			b, err := parseCPUTimes(strings.NewReader(tt.after))
			wantError(t, err, "")
			share, err := busyShare(a, b)
			if !wantError(t, err, tt.err) && fmt.Sprint(share) != tt.want {
				t.Errorf("got %v, want %s", share, tt.want)
			}
		})
	}
}

func TestParseCPUTimes(t *testing.T) {
	for _, tt := range []struct {
		in, want, err string
	}{
		{"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\ncpu1 1\nintr 3\ncpu2\n", "{[1 2 3 6 7 8] 9 2}", ""},
		{"cpu 1 2 3 4", "{[1 2 3 0 0 0] 4 0}", ""},
		{"cpu 1 2 3 4 5 6 7 8 x y z", "{[1 2 3 6 7 8] 9 0}", ""},
		{"", "", "empty"},
		{"cpu 1 2 3", "", "expected cpu and its ticks"},
		{"cpu0 1 2 3 4", "", "expected cpu and its ticks"},
		{"cpu 1 2 3 -4", "", "invalid syntax"},
		{"cpu 1 2 3 1152921504606846976", "", "out of range"},
		{"cpu " + strings.Repeat("1", 70_000), "", "too long"},
	} {
		got, err := parseCPUTimes(strings.NewReader(tt.in))
		if !wantError(t, err, tt.err) && fmt.Sprint(*got) != tt.want {
			t.Errorf("%.40q: got %v, want %s", tt.in, *got, tt.want)
		}
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
