package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// prober is one way to ask a server whether it serves.
type prober interface {
	// probe returns nil if the server serves, errDrain if it serves and asks to be drained, else why it does not serve. It
	// may block until ctx ends.
	probe(ctx context.Context) error
}

// errDrain is the result of a probe that passes and asks for the server to be drained.
var errDrain = errors.New("asks to be drained")

// probing is one probe under way: a prober, its rhythm, and its verdict.
type probing struct {
	prober
	name              string
	interval, timeout time.Duration
	rise, fall        int
	self              *awareness
	log               *slog.Logger

	mu    sync.Mutex
	state hysteresis
	drain bool          // whether the last pass asked for it
	err   error         // why the last failure failed
	known chan struct{} // closed at the first result
}

// run probes until ctx ends, the first time after delay. Probes are spread by a tenth of the interval, so that many of
// them do not fall into step.
func (p *probing) run(ctx context.Context, delay time.Duration) {
	for sleep(ctx, delay) {
		p.once(ctx)
		delay = jitter(p.interval, rand.Float64())
	}
}

// jitter returns d, moved by up to a tenth to either side. Chance is 0 to 1.
func jitter(d time.Duration, chance float64) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*chance))
}

// sleep waits and says whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

func (p *probing) once(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, p.timeout)
	err := p.probe(bounded)
	cancel()
	if ctx.Err() != nil {
		return // cut off by the agent's own end, which says nothing of the server
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.state
	drain := errors.Is(err, errDrain)
	if drain {
		err = nil
	}
	if err == nil && drain != p.drain {
		p.drain = drain
		text := "probe no longer asks to drain the server"
		if drain {
			text = "probe asks to drain the server"
		}
		p.log.Info(text, "probe", p.name)
	}
	// An agent in doubt of itself takes longer to call another one down.
	p.state = before.next(err == nil, p.rise, p.fall+p.self.level())
	if err != nil {
		p.err = err
	}
	if !before.known {
		close(p.known)
	}
	if before.known && before.up == p.state.up {
		return
	}
	if p.state.up {
		p.log.Info("probe passes", "probe", p.name)
		return
	}
	p.log.Warn("probe fails", "probe", p.name, "error", err)
}

// sample returns the verdict, nothing before the first result.
func (p *probing) sample() Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.state.known:
		return Sample{}
	case p.state.up && p.drain:
		return Sample{Health: Up, Drain: true, Reason: p.name + ": " + errDrain.Error()}
	case p.state.up:
		return Sample{Health: Up}
	}
	return Sample{Health: Down, Drain: p.drain, Reason: p.name + ": " + p.err.Error()}
}
