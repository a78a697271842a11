package qos

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// Needs is what a client needs of a level, in figures. A zero figure is not needed.
type Needs struct {
	Up       uint32 // kbit/s from the client, at least
	Down     uint32 // kbit/s to the client, at least
	Delay    uint16 // ms, at most
	Jitter   uint16 // ms, at most
	Loss     uint8  // 10^-Loss, at most
	Duration uint32 // s; how long, which chooses no level
}

// ParseNeeds reads the text form: letters with numbers, hyphens between them, such as d20-n8000. The letters are d for
// delay, j jitter, l loss, n down, t duration, u up; each stands at most once, and no number begins with 0.
func ParseNeeds(s string) (Needs, error) {
	n, ok := parseNeeds(s)
	if !ok {
		return Needs{}, fmt.Errorf("needs: expected letters of d, j, l, n, t, u with their numbers, such as d20-n8000")
	}
	return n, nil
}

func parseNeeds(s string) (n Needs, ok bool) {
	for more := true; more; {
		var word string
		word, s, more = strings.Cut(s, "-")
		if !n.take(word) {
			return n, false
		}
	}
	return n, true
}

// take reads one letter with its number.
func (n *Needs) take(word string) bool {
	if len(word) < 2 || len(word) > 11 || word[1] == '0' {
		return false
	}
	x, ok := decimal(word[1:])
	if !ok {
		return false
	}
	switch word[0] {
	case 'd':
		return fill(&n.Delay, x)
	case 'j':
		return fill(&n.Jitter, x)
	case 'l':
		return fill(&n.Loss, x)
	case 'n':
		return fill(&n.Down, x)
	case 't':
		return fill(&n.Duration, x)
	case 'u':
		return fill(&n.Up, x)
	}
	return false
}

// fill sets a figure that is not set yet, if x fits in.
func fill[T uint8 | uint16 | uint32](figure *T, x uint64) bool {
	if *figure != 0 || x > uint64(^T(0)) {
		return false
	}
	*figure = T(x)
	return true
}

// decimal reads at most ten digits.
func decimal(s string) (x uint64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		x = 10*x + uint64(s[i]-'0')
	}
	return x, true
}

// String returns the text form; of no needs it is empty.
func (n Needs) String() string { return string(n.appendTo(nil)) }

func (n *Needs) appendTo(b []byte) []byte {
	start := len(b)
	for i, x := range []uint32{uint32(n.Delay), uint32(n.Jitter), uint32(n.Loss), n.Down, n.Duration, n.Up} {
		if x == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, '-')
		}
		b = strconv.AppendUint(append(b, "djlntu"[i]), uint64(x), 10)
	}
	return b
}

// Cheapest returns the level of the lowest rank that satisfies the needs, nil if none does. A figure of 0 in a level
// promises nothing.
func Cheapest(levels []steer.Level, n Needs) *steer.Level {
	var best *steer.Level
	for i := range levels {
		if l := &levels[i]; n.within(l) && (best == nil || l.Rank < best.Rank) {
			best = l
		}
	}
	return best
}

// within says whether the level promises all that is needed.
func (n *Needs) within(l *steer.Level) bool {
	return l.Up >= n.Up && l.Down >= n.Down && l.Loss >= n.Loss && inTime(l.Delay, n.Delay) && inTime(l.Jitter, n.Jitter)
}

// inTime compares times in ms, of which the shorter is the better.
func inTime(promised, needed uint16) bool { return needed == 0 || promised > 0 && promised <= needed }
