package main

import (
	"context"
	"fmt"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

// ending is a way in which a command ends grants.
type ending struct {
	verb, past  string
	short, long string
	end         func(*store.Client, context.Context, string, qos.GrantID) (bool, error)
}

var revocation = ending{
	verb: "revoke", past: "revoked",
	short: "Take grants back",
	long: `Take grants back, or requests: what they reserve of their servers is free at once, and
elements are told. The client may ask again; to keep it from that, revoke its handle
(farm handle revoke).`,
	end: (*store.Client).Revoke,
}

var release = ending{
	verb: "release", past: "released",
	short: "Give grants back, as their clients do",
	long: `Give grants back in the name of their clients, who do not need them any more: what
they reserve of their servers is free at once, and elements are told.`,
	end: (*store.Client).Release,
}

func (a *app) grantEnd(e ending) *cobra.Command {
	return &cobra.Command{
		Use:               e.verb + " GRANT...",
		Short:             e.short,
		Long:              e.long,
		Example:           fmt.Sprintf("  farm grant %s 3f9c02ab", e.verb),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeGrants(0),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				return a.endGrants(ctx, db, w, e, args)
			})
		},
	}
}

// endGrants ends all of them, or none if one is not there.
func (a *app) endGrants(ctx context.Context, db *store.Client, w *world, e ending, ids []string) error {
	all, err := w.grantsOf(ctx, db)
	if err != nil {
		return err
	}
	var chosen []*qos.Grant
	for _, id := range ids {
		g, err := pickGrant(all, id)
		if err != nil {
			return err
		}
		chosen = append(chosen, g)
	}
	list := []done{}
	for _, g := range chosen {
		live, err := e.end(db, ctx, g.Service, g.ID)
		if err != nil {
			return err
		}
		d := done{Service: g.Service, Server: g.Server, Level: g.Level, Grant: g.ID.String(), Did: e.past}
		if !live {
			d.Did = "unchanged, over already"
		}
		list = append(list, d)
	}
	return a.printDone(list)
}
