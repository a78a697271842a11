package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroup is the directory of a cgroup of version 2.
type cgroup struct{ dir string }

// cpuGroup is what a cgroup, or one above it, may use of the CPUs, and has used.
type cpuGroup struct {
	dir   string
	limit float64       // CPUs; 0 is no limit
	usage time.Duration // of all that is in it; -1 if it is not known and need not be
}

// maxDepth bounds how many cgroups above one are looked at. Real ones are a dozen deep at most.
const maxDepth = 64

// groupFiles are files that only the directory of a cgroup of version 2 has.
var groupFiles = []string{"cgroup.controllers", "cpu.max", "memory.max", "cpu.stat"}

// hierarchy returns the cgroup and those above it, as far up as can be seen: a container sees none above its own. It
// returns none if the directory is of no cgroup, and an error if there is no such directory: its limits are not known.
func (c *cgroup) hierarchy() ([]string, error) {
	if c == nil {
		return nil, nil
	}
	if _, err := os.Stat(c.dir); err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	var dirs []string
	dir := c.dir
	for range maxDepth {
		if !isGroup(dir) {
			break
		}
		dirs = append(dirs, dir)
		dir = filepath.Dir(dir)
	}
	return dirs, nil
}

func isGroup(dir string) bool {
	for _, name := range groupFiles {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// cpu reads the CPU limits of the hierarchy and what counts against each. Usage is read where there is no limit as well:
// one that is set later is compared with it.
func (c *cgroup) cpu() ([]cpuGroup, error) {
	dirs, err := c.hierarchy()
	if err != nil {
		return nil, err
	}
	var groups []cpuGroup
	for _, dir := range dirs {
		limit, err := readCPULimit(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		usage, err := readCPUUsage(dir)
		if err != nil && limit > 0 {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		groups = append(groups, cpuGroup{dir, limit, usage})
	}
	return groups, nil
}

// readCPULimit returns how many CPUs the cgroup may use, 0 if it is not limited. Without the file it is not: the root has
// none, and a controller that is off limits nothing.
func readCPULimit(dir string) (float64, error) {
	b, err := readSmall(dir, "cpu.max")
	if err != nil || b == nil {
		return 0, err
	}
	limit, err := parseCPUMax(string(b))
	if err != nil {
		return 0, fmt.Errorf("cpu.max: %w", err)
	}
	return limit, nil
}

// parseCPUMax parses cpu.max, "QUOTA PERIOD" in microseconds or "max PERIOD", into CPUs; 0 is no limit. A burst
// (cpu.max.burst) is no limit of its own: it borrows from later periods.
func parseCPUMax(s string) (float64, error) {
	f := strings.Fields(s)
	if len(f) != 2 {
		return 0, fmt.Errorf("%.40q, expected a quota and a period", s)
	}
	if f[0] == "max" {
		return 0, nil
	}
	quota, err := strconv.ParseUint(f[0], 10, 64)
	if err != nil {
		return 0, err
	}
	period, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0, err
	}
	if quota == 0 || period == 0 {
		return 0, fmt.Errorf("%.40q, expected numbers above 0", s)
	}
	return float64(quota) / float64(period), nil
}

// readCPUUsage returns the CPU time that the cgroup has used, with an error -1.
func readCPUUsage(dir string) (time.Duration, error) {
	b, err := readSmall(dir, "cpu.stat")
	if err != nil {
		return -1, err
	}
	usec, ok := statValue(string(b), "usage_usec")
	if !ok || usec > uint64(1<<63-1)/uint64(time.Microsecond) {
		return -1, errors.New("cpu.stat: no usable usage_usec")
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// memory returns the largest share that the hierarchy uses of a limit, and its least limit in octets; 0 is no limit.
func (c *cgroup) memory() (share float64, least uint64, err error) {
	dirs, err := c.hierarchy()
	if err != nil {
		return 0, 0, err
	}
	for _, dir := range dirs {
		used, limit, err := readMemory(dir)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", dir, err)
		}
		if limit == 0 {
			continue
		}
		share = max(share, float64(used)/float64(limit))
		if least == 0 || limit < least {
			least = limit
		}
	}
	return share, least, nil
}

// readMemory returns what a cgroup uses of its limit; a limit of 0 is none. File pages that have not been used of late do
// not count: the kernel takes them back first.
func readMemory(dir string) (used, limit uint64, err error) {
	most, err := readNumber(dir, "memory.max")
	if err != nil || most == nil {
		return 0, 0, err
	}
	if *most == 0 {
		return 0, 0, errors.New("memory.max: 0, expected more")
	}
	current, err := readNumber(dir, "memory.current")
	if err != nil {
		return 0, 0, err
	}
	if current == nil {
		return 0, 0, errors.New("memory.current: expected a number")
	}
	b, err := readSmall(dir, "memory.stat")
	if err != nil {
		return 0, 0, err
	}
	idle, _ := statValue(string(b), "inactive_file")
	return *current - min(idle, *current), *most, nil
}

// readNumber reads a file of one number; nil is "max", or no file.
func readNumber(dir, name string) (*uint64, error) {
	b, err := readSmall(dir, name)
	s := strings.TrimSpace(string(b))
	if err != nil || s == "" || s == "max" {
		return nil, err
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &n, nil
}

// maxControl bounds a control file of a cgroup, in octets. The largest, memory.stat, has 2 KiB.
const maxControl = 64 << 10

// readSmall reads a control file of a cgroup; a file that is not there is nil.
func readSmall(dir, name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxControl))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// statValue finds the value of key in lines of "KEY VALUE".
func statValue(s, key string) (uint64, bool) {
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == key {
			n, err := strconv.ParseUint(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
