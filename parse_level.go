package farm

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

var levelProperties = map[string]property[*steer.Level]{
	"rank":     {read: readRank},
	"ceiling":  ofLevel("ceiling", maxUtilization, func(l *steer.Level) *float64 { return &l.Ceiling }),
	"unit":     ofLevel("unit", 1, func(l *steer.Level) *float64 { return &l.Unit }),
	"share":    ofLevel("share", 1, func(l *steer.Level) *float64 { return &l.Share }),
	"keep":     ofLevel("keep", 1, func(l *steer.Level) *float64 { return &l.Keep }),
	"classes":  {read: readClasses},
	"up":       rateOf("up", func(l *steer.Level) *uint32 { return &l.Up }),
	"down":     rateOf("down", func(l *steer.Level) *uint32 { return &l.Down }),
	"delay":    millisecondsOf("delay", func(l *steer.Level) *uint16 { return &l.Delay }),
	"jitter":   millisecondsOf("jitter", func(l *steer.Level) *uint16 { return &l.Jitter }),
	"loss":     {read: readLoss},
	"dscp":     {read: readDSCP},
	"profile":  wordOf("profile", func(l *steer.Level) *string { return &l.Profile }),
	"element":  wordOf("element", func(l *steer.Level) *string { return &l.Element }),
	"requires": {read: readRequires},
	"duration": {read: readLevelDuration},
	"handle":   flagOf("handle", func(l *steer.Level) *bool { return &l.Handle }),
	"refuse":   flagOf("refuse", func(l *steer.Level) *bool { return &l.Refuse }),
}

// readLevel reads: level NAME { ... }
func readLevel(p *parser, args []string, b *serviceBlock) error {
	if len(args) != 1 {
		return p.Err("level: expected one name")
	}
	l := steer.Level{Name: strings.ToLower(args[0])}
	if b.service.Level(l.Name) != nil {
		return p.Errf("level %s is given more than once", l.Name)
	}
	if err := readBlock(p, levelProperties, &l); err != nil {
		return err
	}
	if err := store.CheckLevel(&l); err != nil {
		return p.Errf("%v", err)
	}
	same := func(o steer.Level) bool { return o.Rank == l.Rank }
	if i := slices.IndexFunc(b.service.Levels, same); i >= 0 {
		return p.Errf("level %s: rank %d is that of level %s", l.Name, l.Rank, b.service.Levels[i].Name)
	}
	if len(b.service.Levels) == steer.MaxLevels {
		return p.Errf("level: expected at most %d levels", steer.MaxLevels)
	}
	b.service.Levels = append(b.service.Levels, l)
	slices.SortFunc(b.service.Levels, func(a, b steer.Level) int { return int(a.Rank) - int(b.Rank) })
	return nil
}

func readRank(p *parser, args []string, l *steer.Level) error {
	n, err := p.integer("rank", args, 1, math.MaxUint8)
	l.Rank = uint8(n)
	return err
}

func readClasses(p *parser, args []string, l *steer.Level) error {
	if len(args) == 0 {
		return p.Err("classes: expected the names of classes of servers")
	}
	l.Classes = lowerAll(args)
	return nil
}

func readLoss(p *parser, args []string, l *steer.Level) error {
	n, err := p.integer("loss", args, 1, 10)
	l.Loss = uint8(n)
	return err
}

// readRequires is checked with the level, which knows what it offers.
func readRequires(p *parser, args []string, l *steer.Level) error {
	if len(args) != 1 {
		return p.Err("requires: expected one of none, server, network, both")
	}
	l.Requires = steer.Requires(strings.ToLower(args[0]))
	return nil
}

func readLevelDuration(p *parser, args []string, l *steer.Level) error {
	d, err := p.duration("duration", args)
	if err == nil && d.Seconds() > math.MaxInt32 {
		return p.Errf("duration: expected a day at most, not %s", args[0])
	}
	l.Duration = uint32(d.Round(time.Second).Seconds())
	return err
}

func readDSCP(p *parser, args []string, l *steer.Level) error {
	if len(args) == 1 {
		if code, ok := qos.CodePoint(args[0]); ok {
			l.DSCP = code
			return nil
		}
		if n, err := strconv.ParseUint(args[0], 10, 6); err == nil {
			l.DSCP = uint8(n)
			return nil
		}
	}
	return p.Errf("dscp: expected a code point from 0 to 63, or its name as EF, AF41 or CS5, not %q", strings.Join(args, " "))
}

func ofLevel(name string, most float64, field func(*steer.Level) *float64) property[*steer.Level] {
	return property[*steer.Level]{read: func(p *parser, args []string, l *steer.Level) (err error) {
		*field(l), err = p.number(name, args, most)
		return err
	}}
}

func rateOf(name string, field func(*steer.Level) *uint32) property[*steer.Level] {
	return property[*steer.Level]{read: func(p *parser, args []string, l *steer.Level) (err error) {
		*field(l), err = p.rate(name, args)
		return err
	}}
}

func millisecondsOf(name string, field func(*steer.Level) *uint16) property[*steer.Level] {
	return property[*steer.Level]{read: func(p *parser, args []string, l *steer.Level) error {
		d, err := p.duration(name, args)
		if ms := d.Milliseconds(); err == nil && (ms < 1 || ms > math.MaxUint16) {
			return p.Errf("%s: expected 1ms to %dms, not %s", name, math.MaxUint16, args[0])
		}
		*field(l) = uint16(d.Milliseconds())
		return err
	}}
}

func wordOf(name string, field func(*steer.Level) *string) property[*steer.Level] {
	return property[*steer.Level]{read: func(p *parser, args []string, l *steer.Level) error {
		if len(args) != 1 {
			return p.Errf("%s: expected one name", name)
		}
		*field(l) = args[0]
		return nil
	}}
}

func flagOf(name string, field func(*steer.Level) *bool) property[*steer.Level] {
	return property[*steer.Level]{read: func(p *parser, args []string, l *steer.Level) error {
		if len(args) > 0 {
			return p.Errf("%s: expected no argument, not %q", name, args[0])
		}
		*field(l) = true
		return nil
	}}
}

// rate reads a rate in bit/s, as 500k, 8M or 1.5G, and returns it in kbit/s.
func (p *parser) rate(name string, args []string) (uint32, error) {
	units := map[byte]float64{'k': 1, 'M': 1e3, 'G': 1e6}
	if len(args) == 1 && len(args[0]) > 1 {
		last := len(args[0]) - 1
		x, err := strconv.ParseFloat(args[0][:last], 64)
		kbit := x * units[args[0][last]]
		if err == nil && kbit >= 1 && kbit <= math.MaxInt32 {
			return uint32(math.Round(kbit)), nil
		}
	}
	return 0, p.Errf("%s: expected a rate in bit/s, as 500k, 8M or 1.5G, not %q", name, strings.Join(args, " "))
}
