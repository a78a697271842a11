package main

import (
	"context"
	"fmt"
	"io"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/pflag"
)

// asking is who asks for which level, as the flags say it.
type asking struct{ level, clientID, grant string }

func (k *asking) flags(f *pflag.FlagSet) {
	f.Var(label(&k.level), "level", "the `LEVEL` that the client may have (default that of its grant, else best effort)")
	f.StringVar(&k.clientID, "client-id", "", "the client, by the `ID` that its handle is for")
	f.StringVar(&k.grant, "grant", "", "the client that has this `GRANT`")
}

// right is what a client may have, and what it has been granted at the service.
type right struct {
	level    *steer.Level       // nil is best effort
	client   *qos.ClientID      // nil is not said
	grant    *grantOf           // live, or refused just now; nil if there is none
	reserved map[string]float64 // what all grants have reserved, by server
}

// right finds out what is asked for.
func (w *world) right(ctx context.Context, db *store.Client, f *steer.Farm, k *asking) (*right, error) {
	r := &right{reserved: make(map[string]float64)}
	if len(f.Service.Levels) == 0 && *k == (asking{}) {
		return r, nil
	}
	all, err := w.grantsOf(ctx, db, f.Service.Name)
	if err != nil {
		return nil, err
	}
	for i := range all {
		part := r.reserved[all[i].Server]
		addPart(&part, all[i].Holds())
		r.reserved[all[i].Server] = part
	}
	if err := r.identify(all, k); err != nil {
		return nil, err
	}
	r.grant = w.standingOf(all, r.client)
	level := k.level
	if level == "" && r.grant != nil {
		level = r.grant.Asked
	}
	if level != "" {
		r.level, err = w.level(f, level)
	}
	return r, err
}

// identify finds out who asks.
func (r *right) identify(all []qos.Grant, k *asking) error {
	switch {
	case k.clientID != "":
		c := qos.Client(qos.KindID, k.clientID)
		r.client = &c
	case k.grant != "":
		g, err := pickGrant(all, k.grant)
		if err != nil {
			return err
		}
		r.client = &g.Client
	}
	return nil
}

// refusedFor is for how long, in ms, replicas take a refusal for an answer.
const refusedFor = 10_000

// standingOf returns the client's live grant, or else one that was refused just now.
func (w *world) standingOf(all []qos.Grant, client *qos.ClientID) *grantOf {
	var found *grantOf
	for i := range all {
		g := &all[i]
		live := g.State.Live() && w.Now < g.End
		refused := g.State == qos.Refused && w.Now < g.End+refusedFor && found == nil
		if client != nil && g.Client == *client && (live || refused) {
			of := w.grantOf(g)
			found = &of
		}
	}
	return found
}

// ask fills in the query of such a client, as the plugin does.
func (r *right) ask(q *steer.Query, f *steer.Farm) {
	if r.client != nil {
		q.Who = steer.WhoIs(*r.client)
	}
	if r.level == nil {
		return
	}
	q.Level = r.level.Rank
	if !r.level.OnServer() && !r.level.OnNetwork() {
		return
	}
	q.Answers = 1 // it is granted at one server
	switch {
	case r.grant == nil:
	case r.grant.State.Live():
		q.Granted = int32(f.ByID(r.grant.Server) + 1)
	case r.level.Needs(steer.RequiresNetwork):
		q.Level = 0
	}
}

// explainLevel says for which level the servers were chosen.
func (w *world) explainLevel(x *explanation, f *steer.Farm, e *steer.Explanation, r *right) {
	x.Grant = r.grant
	if r.level == nil {
		return
	}
	x.Level = r.level.Name
	if e.Pick.Level > 0 {
		x.ChosenFor = f.Service.LevelAt(e.Pick.Level).Name
	}
	switch {
	case x.ChosenFor == x.Level:
	case r.grant != nil && r.grant.State == qos.Refused:
		x.WhyLower = "a grant of it was refused just now: " + withReason(r.grant.Reason, r.grant.Detail)
	default:
		seen := steer.Explain(f.At(x.Level), nil, &steer.Query{})
		x.WhyLower = "no server is open for it" + countClosed(seen.Candidates)
	}
}

// levelColumns are those of a service with levels.
func (x *explanation) levelColumns() []string {
	for i := range x.Candidates {
		if c := &x.Candidates[i]; x.Level != "" || c.Kept > 0 || c.Reserved > 0 {
			return []string{"KEPT", "RESERVED"}
		}
	}
	return nil
}

// writeLevel says for which level the servers were chosen, and what the client has been granted.
func (x *explanation) writeLevel(w io.Writer) {
	switch {
	case x.Level == "":
	case x.WhyLower == "":
		fmt.Fprintf(w, "level: %s\n", x.ChosenFor)
	case x.ChosenFor == "":
		fmt.Fprintf(w, "level: best effort instead of %s, for %s\n", x.Level, x.WhyLower)
	default:
		fmt.Fprintf(w, "level: %s instead of %s, for %s\n", x.ChosenFor, x.Level, x.WhyLower)
	}
	if g := x.Grant; g != nil {
		said := fmt.Sprintf("grant: %s, %s, %s at %s", g.ID.String()[:shortID], g.State, g.Level, g.Server)
		for _, more := range []string{known(g.Left, leaseText), g.note()} {
			if more != "" {
				said += ", " + more
			}
		}
		fmt.Fprintln(w, said)
	}
}
