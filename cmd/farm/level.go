package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const levelLong = `List, show, set and delete the levels of a service: what servers keep free for the
clients that are entitled to a level, and what the network guarantees them.

The levels of a service stand in the Corefile or in the database. Where the database
has any, they are all that count.`

func (a *app) levelCommand() *cobra.Command {
	c := &cobra.Command{Use: "level", Short: "List, show, set and delete levels of service", Long: levelLong}
	c.AddCommand(a.levelList(), a.levelShow(), a.levelSet(), a.levelDelete())
	return c
}

// levelOf is a level as `farm level list` and `show` print it.
type levelOf struct {
	Service string `json:"service"`
	steer.Level
	In string `json:"in"` // where it stands: database, corefile
}

// levelsOf returns the levels of a service, the highest first.
func (w *world) levelsOf(f *steer.Farm) []levelOf {
	in := byCorefile
	if w.hasLevels(f.Service.Name) {
		in = byDatabase
	}
	var list []levelOf
	for _, l := range slices.Backward(byRank(f.Service.Levels)) {
		list = append(list, levelOf{f.Service.Name, l, in})
	}
	return list
}

// hasLevels says whether the database has levels of a service, which are then all that count.
func (w *world) hasLevels(service string) bool {
	r := w.service(service)
	return r != nil && r.Service != nil && len(r.Service.Levels) > 0
}

// level returns a level of a service, or an error that suggests others.
func (w *world) level(f *steer.Farm, name string) (*steer.Level, error) {
	if l := f.Service.Level(name); l != nil {
		return l, nil
	}
	return nil, notFoundf("no level %s in %s%s", name, f.Service.Name,
		orList(didYouMean(name, levelNames(f.Service.Levels)), "farm level list "+f.Service.Name))
}

// levelNames returns the names of levels, the highest first.
func levelNames(levels []steer.Level) []string {
	var names []string
	for _, l := range slices.Backward(byRank(levels)) {
		names = append(names, l.Name)
	}
	return names
}

func byRank(levels []steer.Level) []steer.Level {
	return slices.SortedFunc(slices.Values(levels), func(a, b steer.Level) int { return int(a.Rank) - int(b.Rank) })
}

func (a *app) levelList() *cobra.Command {
	return &cobra.Command{
		Use:               "list [SERVICE...]",
		Short:             "List the levels of services; of all if none is named",
		ValidArgsFunction: a.completeServices,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				farms, err := w.farms(args)
				if err != nil {
					return err
				}
				list := []levelOf{}
				for _, f := range farms {
					list = append(list, w.levelsOf(f)...)
				}
				return a.print(list, levelTable(list, a.wide()).write)
			})
		},
	}
}

// wideLevelFields are settings that only a wide table of levels shows.
var wideLevelFields = []string{"jitter", "loss", "profile", "element", "refuse"}

func levelTable(list []levelOf, wide bool) *table {
	shown := slices.DeleteFunc(slices.Clone(levelFields), func(f field[steer.Level]) bool {
		return !wide && slices.Contains(wideLevelFields, f.flag)
	})
	header := []string{"SERVICE", "LEVEL"}
	for _, f := range shown {
		header = append(header, strings.ToUpper(f.flag))
	}
	t := newTable(append(header, "STANDS IN")...)
	for i := range list {
		l := &list[i]
		cells := []string{l.Service, l.Name}
		for _, f := range shown {
			cells = append(cells, f.value(&l.Level).String())
		}
		t.add(append(cells, l.In)...)
	}
	return t
}

func (a *app) levelShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show SERVICE LEVEL",
		Short:             "Show one level",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeLevel,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(_ context.Context, _ *store.Client, w *world) error {
				f, err := w.farm(fqdn(args[0]))
				if err != nil {
					return err
				}
				if _, err := w.level(f, strings.ToLower(args[1])); err != nil {
					return err
				}
				list := w.levelsOf(f)
				l := list[slices.IndexFunc(list, func(l levelOf) bool { return l.Name == strings.ToLower(args[1]) })]
				return a.print(l, l.write)
			})
		},
	}
}

// write shows a level, a setting a line.
func (l *levelOf) write(w io.Writer) error {
	t := newTable("SETTING", "VALUE")
	t.add("service", l.Service)
	t.add("level", l.Name)
	t.add("stands in", l.In)
	settings(t, levelFields, &l.Level)
	return t.write(w)
}
