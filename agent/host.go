package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/procfs"
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
			return fmt.Errorf("counts: %q, expected cpu or mem", c)
		}
	}
	return nil
}

// hostCollector turns two readings into a utilisation. Its fields are of the last reading.
type hostCollector struct {
	proc   procfs.FS
	cgroup string
	counts []string

	stat  procfs.CPUStat
	usage time.Duration // CPU time of the cgroup
	at    time.Time     // zero before the first reading
}

func newHost(cfg *Host) (*hostCollector, error) {
	proc, cgroup, counts := cfg.Proc, cfg.Cgroup, cfg.Counts
	if proc == "" {
		proc = defaultProc
	}
	if cgroup == "" {
		cgroup = defaultCgroup
	}
	if len(counts) == 0 {
		counts = []string{"cpu", "mem"}
	}
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	return &hostCollector{proc: fs, cgroup: cgroup, counts: counts}, nil
}

func (h *hostCollector) collect(_ context.Context, now time.Time) (Sample, error) {
	var s Sample
	var errCPU, errMem error
	s.CPU, errCPU = h.cpu(now)
	s.Mem, errMem = h.mem()
	for _, c := range h.counts {
		s.Utilization = larger(s.Utilization, *s.number(c))
	}
	if errCPU != nil && errMem != nil {
		return Sample{}, errors.Join(errCPU, errMem)
	}
	return s, nil
}

// cpu returns the share of CPU used since the last reading, nil at the first one.
func (h *hostCollector) cpu(now time.Time) (*float64, error) {
	limit, err := readCPULimit(h.cgroup)
	if err != nil {
		return nil, err
	}
	elapsed, first := now.Sub(h.at), h.at.IsZero()
	h.at = now
	if limit > 0 {
		return h.limitedCPU(limit, elapsed, first)
	}
	stat, err := h.proc.Stat()
	if err != nil {
		return nil, err
	}
	before := h.stat
	h.stat = stat.CPUTotal
	if first {
		return nil, nil
	}
	return busyShare(before, stat.CPUTotal), nil
}

func (h *hostCollector) limitedCPU(limit float64, elapsed time.Duration, first bool) (*float64, error) {
	usage, err := readCPUUsage(h.cgroup)
	if err != nil {
		return nil, err
	}
	used := usage - h.usage
	h.usage = usage
	if first || used < 0 || elapsed <= 0 {
		return nil, nil
	}
	return new(used.Seconds() / elapsed.Seconds() / limit), nil
}

// busyShare returns the share of time between two readings in which the CPUs did something, stolen time included: it is
// not there to be had. Guest time is part of user time.
func busyShare(a, b procfs.CPUStat) *float64 {
	idle := b.Idle + b.Iowait - a.Idle - a.Iowait
	busy := busyTime(b) - busyTime(a)
	// Idle and iowait are known to run backwards by a tick; a counter that does says nothing.
	if idle < 0 || busy < 0 || idle+busy == 0 {
		return nil
	}
	return new(busy / (idle + busy))
}

func busyTime(s procfs.CPUStat) float64 {
	return s.User + s.Nice + s.System + s.IRQ + s.SoftIRQ + s.Steal
}

// mem returns the share of memory that a new allocation cannot have.
func (h *hostCollector) mem() (*float64, error) {
	share, err := readMemory(h.cgroup)
	if share != nil || err != nil {
		return share, err
	}
	m, err := h.proc.Meminfo()
	if err != nil {
		return nil, err
	}
	if m.MemTotal == nil || m.MemAvailable == nil || *m.MemTotal == 0 {
		return nil, errors.New("meminfo: no MemTotal or MemAvailable")
	}
	return new(1 - min(1, float64(*m.MemAvailable)/float64(*m.MemTotal))), nil
}

// readSmall reads a control file of a cgroup. A file that is not there is empty: the root cgroup has no limits.
func readSmall(dir, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}
