package agent

import (
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd how the agent fares. Without systemd it does nothing.
type notifier struct {
	watchdog time.Duration // how often systemd wants to hear from the agent; 0 is never
	log      *slog.Logger
}

func newNotifier(log *slog.Logger) *notifier {
	d, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("watchdog of systemd is not usable", "error", err)
	}
	return &notifier{watchdog: d, log: log}
}

func (n *notifier) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Debug("cannot notify systemd", "error", err)
	}
}

func (n *notifier) ready()    { n.say(daemon.SdNotifyReady) }
func (n *notifier) stopping() { n.say(daemon.SdNotifyStopping) }

// alive tells the watchdog that the loop turns.
func (n *notifier) alive() {
	if n.watchdog > 0 {
		n.say(daemon.SdNotifyWatchdog)
	}
}

// beat returns a channel on which it is time to call alive, and what stops it.
func (n *notifier) beat() (<-chan time.Time, func()) {
	if n.watchdog <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(n.watchdog / 2)
	return t.C, t.Stop
}
