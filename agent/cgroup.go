package agent

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// readCPULimit returns how many CPUs the cgroup may use, 0 if it is not limited.
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

// parseCPUMax parses cpu.max, "QUOTA PERIOD" in microseconds or "max PERIOD", into CPUs; 0 is no limit.
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

// readCPUUsage returns the CPU time that the cgroup has used.
func readCPUUsage(dir string) (time.Duration, error) {
	b, err := readSmall(dir, "cpu.stat")
	if err != nil {
		return 0, err
	}
	usec, ok := statValue(string(b), "usage_usec")
	if !ok || usec > uint64(1<<63-1)/uint64(time.Microsecond) {
		return 0, fmt.Errorf("cpu.stat: no usable usage_usec")
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// readMemory returns the share of its limit that the cgroup uses, nil if it is not limited. File pages that nobody has
// used of late do not count: the kernel takes them back first.
func readMemory(dir string) (*float64, error) {
	limit, err := readNumber(dir, "memory.max")
	if err != nil || limit == nil || *limit == 0 {
		return nil, err
	}
	current, err := readNumber(dir, "memory.current")
	if err != nil {
		return nil, err
	}
	if current == nil {
		return nil, fmt.Errorf("memory.current: expected a number")
	}
	b, err := readSmall(dir, "memory.stat")
	if err != nil {
		return nil, err
	}
	idle, _ := statValue(string(b), "inactive_file")
	return new(float64(*current-min(idle, *current)) / float64(*limit)), nil
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
