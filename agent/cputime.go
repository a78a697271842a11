package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// cpuTimes are the ticks that all CPUs have spent since the machine started, by /proc/stat. They are integers: at 100 % no
// idle tick passes, and a difference of sums in floating seconds would then be a rounding error of either sign.
type cpuTimes struct {
	busy [busyKinds]uint64
	idle uint64 // idle and iowait: the kernel moves ticks between the two
	cpus int    // how many CPUs are online; 0 is not known
}

// What a CPU is busy with. Stolen time counts: it cannot be had. The kernel counts guest time in user, and the time of nice
// guests in nice, so that they count once here.
const (
	userTime = iota
	niceTime
	systemTime
	irqTime
	softirqTime
	stealTime
	busyKinds
)

// busyNames are the kinds of busy time as the kernel's documentation names them.
var busyNames = [busyKinds]string{"user", "nice", "system", "irq", "softirq", "steal"}

// maxStat bounds how much of /proc/stat is read, in octets: a line for each CPU.
const maxStat = 1 << 20

// readCPUTimes reads the lines of /proc/stat about CPUs, which come first.
func readCPUTimes(path string) (*cpuTimes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := parseCPUTimes(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func parseCPUTimes(r io.Reader) (*cpuTimes, error) {
	lines := bufio.NewScanner(io.LimitReader(r, maxStat))
	if !lines.Scan() {
		return nil, errors.Join(errors.New("empty, expected a line about the CPUs"), lines.Err())
	}
	t, err := parseCPULine(lines.Text())
	if err != nil {
		return nil, err
	}
	for lines.Scan() && strings.HasPrefix(lines.Text(), "cpu") {
		t.cpus++
	}
	return t, lines.Err()
}

// The columns of the line about all CPUs, after its name. Kernels before 2.6.11 end before steal.
const (
	columnIdle    = 3
	columnIOWait  = 4
	columnIRQ     = 5
	columnSteal   = 7
	leastCPUTimes = 4
)

func parseCPULine(line string) (*cpuTimes, error) {
	fields := strings.Fields(line)
	if len(fields) <= leastCPUTimes || fields[0] != "cpu" {
		return nil, fmt.Errorf("line %.80q, expected cpu and its ticks", line)
	}
	t := new(cpuTimes)
	for column, field := range fields[1:] {
		// Of 60 bits, so that sums do not overflow.
		ticks, err := strconv.ParseUint(field, 10, 60)
		switch {
		case column > columnSteal:
			return t, nil // guest times
		case err != nil:
			return nil, fmt.Errorf("line %.80q: %w", line, err)
		case column < columnIdle:
			t.busy[userTime+column] = ticks
		case column <= columnIOWait:
			t.idle += ticks
		default:
			t.busy[irqTime+column-columnIRQ] = ticks
		}
	}
	return t, nil
}

// errNoTick is no fault: two readings may be closer together than ticks are.
var errNoTick = errors.New("no tick since the last reading")

// backlash is by how many ticks a counter may go back without a reason: the kernel rounds each of its parts, and moves
// time from one to the other. Beyond that it says nothing, as after a CPU was taken offline or a machine was moved.
const backlash = 2

// busyShare returns the share of time between two readings in which the CPUs were busy, 0 to 1.
func busyShare(a, b *cpuTimes) (float64, error) {
	if a.cpus != b.cpus {
		return 0, fmt.Errorf("CPUs online were %d and are %d, expected the same between two readings", a.cpus, b.cpus)
	}
	idle, err := ticksBetween("idle and iowait", a.idle, b.idle)
	if err != nil {
		return 0, err
	}
	var busy uint64
	for kind, name := range busyNames {
		ticks, err := ticksBetween(name, a.busy[kind], b.busy[kind])
		if err != nil {
			return 0, err
		}
		busy += ticks
	}
	if busy+idle == 0 {
		return 0, errNoTick
	}
	return float64(busy) / float64(busy+idle), nil
}

func ticksBetween(name string, a, b uint64) (uint64, error) {
	switch {
	case b >= a:
		return b - a, nil
	case a-b <= backlash:
		return 0, nil
	}
	return 0, fmt.Errorf("%s went back by %d ticks", name, a-b)
}
