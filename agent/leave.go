package agent

import (
	"context"
	"errors"
	"os/signal"
	"syscall"
	"time"

	"github.com/coredns-farm/farm/store"
)

// leave drains the server, goes on reporting while clients are led away, and then takes it out of the database.
func (a *agent) leave(life context.Context) error {
	a.systemd.stopping()
	if a.cfg.Reporter != "" {
		a.log.Info("prober stops; its reports end with their leases")
		return nil
	}
	if *a.cfg.Drain > 0 {
		err := a.drain(life)
		if errors.Is(err, ErrClaimed) {
			return nil // the agent that has the server now goes on with it
		}
		if err != nil {
			return err
		}
	}
	a.remove(life)
	return nil
}

// drain reports until the drain is over, or a signal ends it.
func (a *agent) drain(life context.Context) error {
	timed, cancel := context.WithTimeout(life, *a.cfg.Drain)
	defer cancel()
	end, stop := signal.NotifyContext(timed, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	a.draining = true
	a.log.Info("server drains", "server", a.cfg.Server, "drain", *a.cfg.Drain)
	for due := time.Now(); ; {
		next, err := a.round(life, due)
		if err != nil {
			return err
		}
		if due = next; !a.sleepUntil(end.Done(), due) {
			return nil
		}
	}
}

// remove takes the server out of every service. Where that fails, its lease runs out.
func (a *agent) remove(life context.Context) {
	for _, s := range a.subjects {
		for _, p := range s.places {
			if !p.registered || p.claims > 0 {
				continue
			}
			outcome, err := a.removeAt(life, s, p)
			if err != nil {
				a.log.Warn("cannot leave; the lease will run out", "service", p.service, "error", err)
				return
			}
			text := "server has left the service"
			if outcome != store.Accepted {
				text = "server stays in the service: an operator registered it, or another agent has it"
			}
			a.log.Info(text, "service", p.service, "server", s.id)
		}
	}
}

// removeAt takes the server out of one service. What an operator registered, or said of it, stands.
func (a *agent) removeAt(life context.Context, s *subject, p *place) (store.Outcome, error) {
	ctx, cancel := context.WithTimeout(life, callTimeout(a.cfg.Interval))
	defer cancel()
	reply, err := a.db.Leave(ctx, p.service, s.id, a.instance, p.seq+1)
	return reply.Outcome, err
}
