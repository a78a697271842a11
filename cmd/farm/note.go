package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// note says why a server takes no part in normal answers to clients of a level, nil for best effort, or only a smaller one;
// empty if it takes its full part.
func (w *world) note(f *steer.Farm, c *steer.Candidate, r *store.ServerRecord, level *steer.Level) string {
	switch c.State.Gate {
	case steer.InMaint:
		return "taken out by " + w.adminSince(r)
	case steer.HasLeft:
		return w.whyLeft(r)
	case steer.Drained:
		return "drained by " + w.adminSince(r)
	case steer.IsDown:
		return w.whyDown(r)
	case steer.Silent:
		return w.whySilent(r)
	case steer.Full:
		return whyFull(f, c, level)
	case steer.Unfit:
		return "of no class that the level asks for"
	case steer.Held:
		return w.whyHeld(f, c)
	case steer.Taken:
		return "what it may give the level is granted to others"
	}
	return noteOpen(c, r)
}

// hostNote warns of a server whose name in DNS is answered with the addresses of another service's.
func (w *world) hostNote(f *steer.Farm, s *steer.Server) string {
	name := steer.HostName(f.Service.Name, s.ID)
	asked := w.viewAt(f.Service.Name).asked(f, steer.SRV, 0)
	switch _, why := w.snap.HostOf(asked.Zone, f, s, asked.Where); why {
	case steer.NotOmitted:
		return ""
	case steer.NameTooLong:
		return "SRV leaves it out, for " + name + " is longer than names in DNS can be: give it a shorter id"
	}
	keeper := w.snap.HostKeeper(f.Service.Name, s)
	if keeper == "" {
		return "SRV leaves it out, for " + name + " is the name of a name server: give it another id"
	}
	return name + " is answered with the addresses of " + keeper + ", so SRV leaves the server out: give it another id"
}

// serviceNote warns of what keeps a service from being answered.
func (w *world) serviceNote(service string) string {
	if loop := w.snap.AliasLoop(service); loop != nil {
		return "its aliases go round: " + strings.Join(loop, " -> ")
	}
	return w.unanswered(service)
}

// unanswered warns of a service that stands in the database for nothing.
func (w *world) unanswered(service string) string {
	if w.Answered(service) {
		return ""
	}
	return "no replica answers for it: it is in none of their zones"
}

// whyFull names the limit that the server has reached.
func whyFull(f *steer.Farm, c *steer.Candidate, level *steer.Level) string {
	said := "at or above its hard limit of " + percent(cmp.Or(c.Server.Hard, f.Settings.Hard))
	if level != nil && level.Ceiling > 0 {
		said = "at or above the level's ceiling of " + percent(level.Ceiling)
	}
	if c.State.Kept > 0 {
		said += ", less the " + percent(c.State.Kept) + " that is kept for higher levels"
	}
	return said
}

func noteOpen(c *steer.Candidate, r *store.ServerRecord) string {
	degraded := r.Report != nil && r.Report.Health == steer.Degraded
	switch {
	case r.Admin == steer.Drain:
		return "drains, down to " + percent(c.State.Ramp) + " of its share"
	case c.State.Ramp < 1:
		return "comes up, at " + percent(c.State.Ramp) + " of its share"
	case degraded && r.Report.Reason != "":
		return "degraded: " + r.Report.Reason
	case degraded:
		return "degraded"
	case c.State.Admit < 1:
		return "above its soft limit, lets in " + percent(c.State.Admit)
	}
	return ""
}

// adminSince says who set the admin state, and when.
func (w *world) adminSince(r *store.ServerRecord) string {
	who := "an operator"
	if r.AdminBy == store.ByAgent {
		who = "its agent"
	}
	return who + " " + agoText(w.ago(r.AdminSince))
}

// whyDown gives the server's own word, or else the probers'.
func (w *world) whyDown(r *store.ServerRecord) string {
	if r.Report != nil && r.Report.Health == steer.Down {
		return withReason("says that it is down", r.Report.Reason)
	}
	down, reason := 0, ""
	for _, p := range r.Probes {
		if p.Health == steer.Down && leaseEnd(&p) > w.Now {
			down++
			reason = cmp.Or(reason, p.Reason)
		}
	}
	return withReason(fmt.Sprintf("down, say %d of %s", down, count(len(r.Probes), "prober")), reason)
}

// whyHeld describes how long the servers that took over keep the clients.
func (w *world) whyHeld(f *steer.Farm, c *steer.Candidate) string {
	said := "well again for " + span(w.ago(c.State.Back)) + "; those that took over go on "
	if f.Settings.Failback == steer.ByHand {
		return said + "until \"farm ready\""
	}
	return said + "until it has been for " + spanOf(f.Settings.Failback)
}

// whyLeft describes how the server left, and what brings it back.
func (w *world) whyLeft(r *store.ServerRecord) string {
	how := "its agent stopped " + agoText(w.ago(r.LeftAt))
	if r.Left != store.LeftStopped {
		how = "its agent fell silent, and was swept " + agoText(w.ago(r.LeftAt))
	}
	return how + "; out of service until an agent reports, or \"farm ready\" puts it into service without one"
}

func withReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + ": " + reason
}

func (w *world) whySilent(r *store.ServerRecord) string {
	last := r.Report
	if last == nil {
		last = new(store.Report)
		for _, p := range r.Probes {
			if p.At > last.At {
				last = &p
			}
		}
	}
	return fmt.Sprintf("last reported %s, with a lease of %s", agoText(w.ago(last.At)), spanOf(last.Lease))
}

// ago is how long a time of the database, in ms, is past.
func (w *world) ago(at int64) time.Duration {
	return max(0, time.Duration(w.Now-at)*time.Millisecond)
}

// agoText says how long something is past. Milliseconds of two machines mean nothing.
func agoText(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return span(d) + " ago"
}
