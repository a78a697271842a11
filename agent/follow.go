package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"
)

const (
	// settleTime is how long changes of the network are waited for to come together: a lease that is renewed, a link that
	// comes up.
	settleTime = 300 * time.Millisecond
	// recheckTime is how often the network is looked at anyway.
	recheckTime = 30 * time.Second
)

// hostAddresses returns the addresses at which this machine is reached, and logs of each whether it is taken, and why not.
func hostAddresses(log *slog.Logger) ([]string, error) {
	n, err := readNetwork()
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	all := chooseAddresses(n)
	logChoices(log, nil, all)
	return takenAddresses(all)
}

// logChoices logs the choices that are not as before.
func logChoices(log *slog.Logger, before, now []addressChoice) {
	for _, c := range now {
		switch {
		case slices.Contains(before, c):
		case c.reason == "":
			log.Info("address is taken", "address", c.addr, "interface", c.iface)
		default:
			log.Info("address is left out", "address", c.addr, "interface", c.iface, "reason", c.reason)
		}
	}
}

// followAddresses returns a channel of the machine's addresses after each change. While there are none, or they cannot be
// read, the last ones stand.
func followAddresses(ctx context.Context, taken []string, log *slog.Logger) <-chan []string {
	moves := make(chan []string, 1)
	events := make(chan struct{}, 1)
	changed := func() {
		select {
		case events <- struct{}{}:
		default: // one is enough
		}
	}
	go func() {
		for ctx.Err() == nil {
			err := watchNetwork(ctx, changed)
			log.Debug("cannot follow the network; trying again", "error", err)
			sleep(ctx, time.Second)
		}
	}()
	go func() {
		f := &addressFollower{taken: taken, log: log}
		for {
			select {
			case <-ctx.Done():
				return
			case <-events:
			case <-time.After(recheckTime):
			}
			sleep(ctx, settleTime)
			if f.look() {
				select {
				case <-moves: // not the latest any more
				default:
				}
				moves <- f.taken
			}
		}
	}()
	return moves
}

// addressFollower knows which addresses were chosen last, and how each was.
type addressFollower struct {
	taken []string
	all   []addressChoice
	lost  bool
	log   *slog.Logger
}

// look reads the network and says whether the addresses to be announced have changed.
func (f *addressFollower) look() bool {
	n, err := readNetwork()
	all := chooseAddresses(n)
	var taken []string
	if err == nil {
		taken, err = takenAddresses(all)
	}
	if f.all != nil {
		logChoices(f.log, f.all, all)
	}
	f.all = all
	if lost := err != nil; lost != f.lost {
		f.lost = lost
		if lost {
			f.log.Warn("the server keeps its addresses for want of others", "addresses", f.taken, "error", err)
		}
	}
	if err != nil || slices.Equal(taken, f.taken) {
		return false
	}
	f.log.Info("the machine's addresses have changed", "before", f.taken, "now", taken)
	f.taken = taken
	return true
}

// move has the server registered under its new addresses with the next round.
func (a *agent) move(addresses []string) {
	var parsed []netip.Addr
	for _, text := range addresses {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	for _, s := range a.subjects {
		for _, p := range s.places {
			p.record.Addresses, p.registered = parsed, false
		}
	}
}
