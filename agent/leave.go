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
			left, err := a.removeAt(life, s, p)
			if err != nil {
				a.log.Warn("cannot leave; the lease will run out", "service", p.service, "error", err)
				return
			}
			a.log.Info("server stops", "service", p.service, "server", s.id, "left", left)
		}
	}
}

// removeAt takes the server out of one service, unless an operator's word stands: then it is silent until its agent is
// back, and what the operator said of it is not forgotten with it. Writing what stands already is how one finds out.
func (a *agent) removeAt(life context.Context, s *subject, p *place) (left bool, err error) {
	ctx, cancel := context.WithTimeout(life, callTimeout(a.cfg.Interval))
	defer cancel()
	held, err := a.db.SetAdmin(ctx, p.service, s.id, "drain", store.ByAgent)
	if err != nil || held {
		return false, err
	}
	kept, err := a.db.PutServer(ctx, p.service, p.record, store.ByAgent)
	if err != nil || kept {
		return false, err
	}
	return a.db.DeleteServer(ctx, p.service, s.id)
}
