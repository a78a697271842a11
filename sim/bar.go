package main

import (
	"io"
	"math"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// barPeriod is how often the bar is drawn: more is not seen.
const barPeriod = 100 * time.Millisecond

// bar shows on a terminal how far a batch is; elsewhere it shows nothing.
type bar struct{ shown *progressbar.ProgressBar }

// newBar makes the bar of a number of runs.
func newBar(w io.Writer, runs int) *bar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}
	return &bar{progressbar.NewOptions(runs*1000,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription("simulating"),
		progressbar.OptionSetWidth(40),
		progressbar.OptionThrottle(barPeriod),
		progressbar.OptionClearOnFinish())}
}

// of returns what a single run reports its progress to, or nil when nobody looks. Runs may report at the same time.
func (b *bar) of() func(part float64) {
	if b.shown == nil {
		return nil
	}
	last := 0
	return func(part float64) {
		now := thousandths(part)
		// A bar that cannot be drawn is no reason to stop.
		_ = b.shown.Add(now - last)
		last = now
	}
}

// finish takes the bar off the terminal.
func (b *bar) finish() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}

// thousandths is a part of 1, counted.
func thousandths(part float64) int { return int(math.Round(min(max(part, 0), 1) * 1000)) }
