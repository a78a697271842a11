package main

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const levelSetLong = `Write a level of a service to the database, or change those of its settings that
flags name. A setting of "default", or an empty one, is absent again.

The database's levels are all that count where it has any: the first level that is
set takes those of the Corefile with it.`

const levelSetExample = `  farm level set www.example.org gold --rank 30 --unit 5% --share 50% --down 8M --dscp EF --requires network
  farm level set www.example.org silver --rank 20 --keep 10% --class fast
  farm level set www.example.org gold --share 60%`

func (a *app) levelSet() *cobra.Command {
	c := &cobra.Command{
		Use:               "set SERVICE LEVEL [flags]",
		Short:             "Create a level, or change the settings given",
		Long:              levelSetLong,
		Example:           levelSetExample,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeLevel,
		RunE: func(c *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				f, err := w.farm(fqdn(args[0]))
				if err != nil {
					return err
				}
				name := strings.ToLower(args[1])
				var old steer.Level
				standing := f.Service.Level(name)
				if standing != nil {
					old = *standing
				}
				now := old
				now.Name = name
				if err := merge(c.Flags(), levelFields, &now); err != nil {
					return err
				}
				return a.setLevel(ctx, db, w, f, old, now, standing != nil)
			})
		},
	}
	bind(c.Flags(), levelFields)
	must(c.RegisterFlagCompletionFunc("requires", cobra.FixedCompletions(strings.Split(join(requirements), ", "), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// setLevel writes the level, and with the first one those of the Corefile.
func (a *app) setLevel(ctx context.Context, db *store.Client, w *world, f *steer.Farm, old, now steer.Level, existed bool) error {
	service := f.Service.Name
	d := done{Service: service, Level: now.Name, Did: "unchanged"}
	if existed && reflect.DeepEqual(old, now) {
		return a.printDone([]done{d})
	}
	levels := slices.DeleteFunc(slices.Clone(f.Service.Levels), func(l steer.Level) bool { return l.Name == now.Name })
	if err := w.putLevels(ctx, db, service, append(levels, now)); err != nil {
		return err
	}
	d.Changes = changesOf(levelFields, &old, &now)
	d.Did = did(existed, d.Changes)
	if !w.hasLevels(service) {
		d.Note = taken(levelNames(levels), existed)
	}
	return a.printDone([]done{d})
}

// taken says what else of a Corefile went to the database with its first level.
func taken(others []string, existed bool) string {
	const from = "the Corefile's no longer count"
	switch {
	case len(others) > 0:
		return from + ": its other levels (" + strings.Join(others, ", ") + ") are in the database, too"
	case existed:
		return from
	}
	return ""
}

// putLevels writes the levels of a service, and leaves what else the database says of it.
func (w *world) putLevels(ctx context.Context, db *store.Client, service string, levels []steer.Level) error {
	rec := steer.Service{Name: service}
	if r := w.service(service); r != nil && r.Service != nil {
		rec = *r.Service
	}
	rec.Levels = byRank(levels)
	return db.PutService(ctx, rec)
}

func (a *app) levelDelete() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   "delete SERVICE LEVEL...",
		Short: "Delete levels of a service",
		Long: `Delete levels of a service from the database. When none is left there, those of the
Corefile count again. Grants of a level that is deleted stand until they end.`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeLevel,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				return a.deleteLevels(ctx, db, w, fqdn(args[0]), lower(args[1:]), dry)
			})
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be deleted, and leave it")
	return c
}

// deleteLevels deletes all of them, or none if one is not there.
func (a *app) deleteLevels(ctx context.Context, db *store.Client, w *world, service string, names []string, dry bool) error {
	f, err := w.farm(service)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := w.level(f, name); err != nil {
			return err
		}
		if !w.hasLevels(service) {
			return refusedf("level %s of %s stands in a Corefile: delete it there", name, service)
		}
	}
	grants, err := db.Grants(ctx, service)
	if err != nil {
		return err
	}
	did := "would be deleted"
	if !dry {
		did = "deleted"
		left := slices.DeleteFunc(slices.Clone(f.Service.Levels), func(l steer.Level) bool { return slices.Contains(names, l.Name) })
		if err := w.putLevels(ctx, db, service, left); err != nil {
			return err
		}
	}
	var list []done
	for _, name := range names {
		list = append(list, done{Service: service, Level: name, Did: did, Note: stillGranted(grants, name)})
	}
	return a.printDone(list)
}

// stillGranted tells of the live grants of a level; empty if there are none.
func stillGranted(grants []qos.Grant, level string) string {
	n := 0
	for i := range grants {
		if grants[i].State.Live() && grants[i].Level == level {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "1 grant of it stands until it ends"
	}
	return count(n, "grant") + " of it stand until they end"
}
