package store

import (
	"slices"

	"github.com/coredns-farm/farm/steer"
)

// checkLevels says what is wrong with the levels of a service.
func checkLevels(levels []steer.Level) error {
	if len(levels) > steer.MaxLevels {
		return bad("count", "%d levels: expected at most %d", len(levels), steer.MaxLevels)
	}
	for i := range levels {
		l := &levels[i]
		if err := CheckLevel(l); err != nil {
			return err
		}
		for _, o := range levels[:i] {
			if o.Name == l.Name || o.Rank == l.Rank {
				return bad("range", "levels %s and %s: expected different names and ranks", o.Name, l.Name)
			}
		}
	}
	return nil
}

// Bounds of a level's figures.
const (
	maxLevelName = 32
	maxRate      = 1 << 31 // kbit/s
	maxDSCP      = 63
	maxLoss      = 10
	minDuration  = 10     // s: what is over before an element has answered is no grant
	maxDuration  = 86_400 // s
	maxProfile   = 256
)

// CheckLevel says what is wrong with a level, nil if nothing is.
func CheckLevel(l *steer.Level) error {
	if !isID(l.Name) || len(l.Name) > maxLevelName || len(l.Name) > 1 && l.Name[:2] == "r-" {
		return bad("name", "level %q: expected at most %d lower-case letters, digits and inner hyphens, and not r- in front", clip(l.Name), maxLevelName)
	}
	if l.Rank == 0 {
		return bad("range", "level %s: rank: expected 1 to 255", l.Name)
	}
	for _, part := range []struct {
		name string
		is   float64
	}{{"unit", l.Unit}, {"share", l.Share}, {"keep", l.Keep}} {
		if !within(part.is, 0, 1) {
			return bad("range", "level %s: %s %v: expected 0 to 1", l.Name, part.name, part.is)
		}
	}
	if !within(l.Ceiling, 0, maxLimit) {
		return bad("range", "level %s: ceiling %v: expected 0 to %d", l.Name, l.Ceiling, maxLimit)
	}
	if l.Unit > 0 && l.Share > 0 && l.Unit > l.Share {
		return bad("range", "level %s: unit %v, share %v: expected that one grant fits", l.Name, l.Unit, l.Share)
	}
	if err := checkNetwork(l); err != nil {
		return err
	}
	return checkClasses("level "+l.Name, l.Classes)
}

// checkNetwork checks what a level asks of the network, and what of it is required.
func checkNetwork(l *steer.Level) error {
	if l.Up > maxRate || l.Down > maxRate || l.DSCP > maxDSCP || l.Loss > maxLoss {
		return bad("range", "level %s: up %d, down %d, dscp %d, loss %d: expected at most %d kbit/s, %d and %d",
			l.Name, l.Up, l.Down, l.DSCP, l.Loss, maxRate, maxDSCP, maxLoss)
	}
	if l.Duration != 0 && (l.Duration < minDuration || l.Duration > maxDuration) {
		return bad("range", "level %s: duration %d: expected %d to %d s", l.Name, l.Duration, minDuration, maxDuration)
	}
	if len(l.Profile) > maxProfile || !printable(l.Profile) || l.Element != "" && !isID(l.Element) {
		return bad("name", "level %s: expected a printable profile, and an element of lower-case letters, digits and hyphens", l.Name)
	}
	switch l.Requires {
	case "", steer.RequiresNone, steer.RequiresServer, steer.RequiresNetwork, steer.RequiresBoth:
	default:
		return bad("range", "level %s: requires %q: expected none, server, network or both", l.Name, clip(string(l.Requires)))
	}
	if l.Needs(steer.RequiresServer) && !l.OnServer() {
		return bad("range", "level %s: requires the server's part: expected a unit above 0", l.Name)
	}
	if l.Needs(steer.RequiresNetwork) && !l.OnNetwork() {
		return bad("range", "level %s: requires the network's part: expected up, down, delay, dscp or profile", l.Name)
	}
	return nil
}

// checkClasses checks the names of classes.
func checkClasses(what string, classes []string) error {
	if len(classes) > steer.MaxClasses {
		return bad("count", "%s: %d classes: expected at most %d", what, len(classes), steer.MaxClasses)
	}
	for i, c := range classes {
		if !isID(c) || slices.Contains(classes[:i], c) {
			return bad("name", "%s: class %q: expected lower-case letters, digits and inner hyphens, each once", what, clip(c))
		}
	}
	return nil
}
