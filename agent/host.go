package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/procfs"

	"github.com/coredns-farm/farm/suggest"
)

// Host is the collector of the machine's CPU and memory. Where a cgroup sets a limit, the utilisation is against that
// limit; where it does not, against the machine.
type Host struct {
	Proc   string   `yaml:"proc"`   // where procfs is mounted; default /proc
	Cgroup string   `yaml:"cgroup"` // directory of the cgroup v2 whose limits count; default /sys/fs/cgroup, which limits a container
	Counts []string `yaml:"counts"` // which of cpu and mem make the utilisation; default both
}

const (
	defaultProc   = "/proc"
	defaultCgroup = "/sys/fs/cgroup"
)

func (h *Host) validate() error {
	for _, c := range h.Counts {
		if c != "cpu" && c != "mem" {
			return fmt.Errorf("counts: %q, expected cpu or mem", suggest.Shown(c))
		}
	}
	return nil
}

// hostCollector turns two readings of the CPUs into a share. Memory needs one.
type hostCollector struct {
	stat   string // path of /proc/stat
	proc   procfs.FS
	cgroup *cgroup // nil if there are no cgroups
	counts []string
	last   *cpuReading // nil before the first one
}

func newHost(cfg *Host) (*hostCollector, error) {
	proc, counts := cfg.Proc, cfg.Counts
	if proc == "" {
		proc = defaultProc
	}
	if len(counts) == 0 {
		counts = []string{"cpu", "mem"}
	}
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	h := &hostCollector{stat: filepath.Join(proc, "stat"), proc: fs, counts: counts}
	switch _, err := os.Stat(defaultCgroup); {
	case cfg.Cgroup != "":
		h.cgroup = &cgroup{filepath.Clean(cfg.Cgroup)}
	case err == nil:
		h.cgroup = &cgroup{defaultCgroup}
	}
	return h, nil
}

// notice says what an operator may have expected otherwise. It is logged once.
func (h *hostCollector) notice() string {
	if h.cgroup == nil {
		return "no cgroups are mounted: CPU and memory are the machine's"
	}
	if !isGroup(h.cgroup.dir) {
		return fmt.Sprintf("%s is no cgroup of version 2, the only one whose limits are read: CPU and memory are the machine's", h.cgroup.dir)
	}
	return ""
}

// promises are the numbers that this collector says with each sample.
func (h *hostCollector) promises() []string { return []string{"cpu", "mem"} }

// collect says what it can read; what it cannot is absent. The utilization is made of what counts once it is known for
// how long the last reading of what is absent stands.
func (h *hostCollector) collect(_ context.Context, now time.Time) (Sample, error) {
	s := Sample{counts: h.counts}
	if cpu, err := h.cpu(now); err == nil {
		s.CPU = &cpu
	} else {
		early := errors.Is(err, errNoReading) || errors.Is(err, errNoTick)
		s.Absent = append(s.Absent, absence{what: "cpu", why: err.Error(), early: early})
	}
	if mem, err := h.mem(); err == nil {
		s.Mem = &mem
	} else {
		s.lack("mem", err.Error())
	}
	return s, nil
}

// cpuReading is one look at the CPUs. Everything is read each time, also what does not count now: limits come and go.
type cpuReading struct {
	at         time.Time
	machine    *cpuTimes
	machineErr error // why machine is nil
	groups     []cpuGroup
}

var errNoReading = errors.New("first reading")

// cpu returns the share of CPU used since the last reading. A reading that fails is not compared with.
func (h *hostCollector) cpu(now time.Time) (float64, error) {
	groups, err := h.cgroup.cpu()
	if err != nil {
		h.last = nil
		return 0, err
	}
	next := &cpuReading{at: now, groups: groups}
	next.machine, next.machineErr = readCPUTimes(h.stat)
	last := h.last
	if last == nil {
		h.last = next
		return 0, errNoReading
	}
	share, err := cpuShare(last, next)
	if !errors.Is(err, errNoTick) {
		h.last = next
	}
	return share, err
}

// cpuShare returns the share of the CPUs used between two readings: of the limit that is nearest to its end, and of the
// machine if no limit is below what the machine has.
func cpuShare(a, b *cpuReading) (float64, error) {
	share, limit, err := limitedShare(a, b)
	if err != nil {
		return 0, err
	}
	if limit > 0 && (b.machine == nil || limit <= float64(b.machine.cpus)) {
		return share, nil
	}
	machine, err := machineShare(a, b)
	if limit > 0 && err != nil {
		return share, nil
	}
	return max(share, machine), err
}

func machineShare(a, b *cpuReading) (float64, error) {
	if err := errors.Join(b.machineErr); err != nil {
		return 0, err
	}
	if a.machine == nil {
		return 0, errNoReading
	}
	return busyShare(a.machine, b.machine)
}

// limitedShare returns the largest share that was used of a limit of the hierarchy, and the least limit, 0 if there is
// none. Between two readings with different limits nothing can be said: part of the time was under each.
func limitedShare(a, b *cpuReading) (share, least float64, err error) {
	if len(a.groups) != len(b.groups) {
		return 0, 0, fmt.Errorf("the cgroup was %d deep and is %d, expected the same between two readings", len(a.groups), len(b.groups))
	}
	elapsed := b.at.Sub(a.at)
	for i, g := range b.groups {
		before := a.groups[i]
		if before.limit != g.limit {
			return 0, 0, fmt.Errorf("%s: cpu.max changed from %s CPUs to %s", g.dir, showLimit(before.limit), showLimit(g.limit))
		}
		if g.limit == 0 {
			continue
		}
		if g.usage < before.usage {
			return 0, 0, fmt.Errorf("%s: cpu.stat went back; the cgroup was made again", g.dir)
		}
		if elapsed <= 0 {
			return 0, 0, errNoTick
		}
		share = max(share, (g.usage-before.usage).Seconds()/elapsed.Seconds()/g.limit)
		if least == 0 || g.limit < least {
			least = g.limit
		}
	}
	return share, least, nil
}

func showLimit(cpus float64) string {
	if cpus == 0 {
		return "all"
	}
	return fmt.Sprintf("%g", cpus)
}

// mem returns the share of memory that is in use: of the limit that is nearest to its end, and of the machine if no limit
// is below what the machine has.
func (h *hostCollector) mem() (float64, error) {
	share, limit, err := h.cgroup.memory()
	if err != nil {
		return 0, err
	}
	total, available, err := h.machineMemory()
	if limit > 0 && (err != nil || limit <= total) {
		return share, nil
	}
	if err != nil {
		return 0, err
	}
	return max(share, 1-min(1, float64(available)/float64(total))), nil
}

// machineMemory returns the machine's memory, and what of it a new allocation could have, in octets.
func (h *hostCollector) machineMemory() (total, available uint64, err error) {
	m, err := h.proc.Meminfo()
	if err != nil {
		return 0, 0, err
	}
	if m.MemTotalBytes == nil || m.MemAvailableBytes == nil || *m.MemTotalBytes == 0 {
		return 0, 0, errors.New("meminfo: no MemTotal or MemAvailable")
	}
	return *m.MemTotalBytes, *m.MemAvailableBytes, nil
}
