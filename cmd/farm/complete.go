package main

import (
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long a shell may be kept waiting for names.
const completionTime = time.Second

// completeServices completes every argument to a service.
func (a *app) completeServices(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	w := a.glance()
	if w == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return w.snap.Services(), cobra.ShellCompDirectiveNoFileComp
}

// completeService completes the first argument to a service.
func (a *app) completeService(c *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeServices(c, args, part)
}

// completeServer completes the first argument to a service, and those after it to its servers.
func (a *app) completeServer(c *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeServices(c, args, part)
	}
	w := a.glance()
	if w == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	if f := w.snap.Farm(fqdn(args[0])); f != nil {
		for _, s := range f.Servers {
			ids = append(ids, s.ID)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// completeLevel completes the first argument to a service, and those after it to its levels.
func (a *app) completeLevel(c *cobra.Command, args []string, part string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeServices(c, args, part)
	}
	w := a.glance()
	if w == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	if f := w.snap.Farm(fqdn(args[0])); f != nil {
		names = levelNames(f.Service.Levels)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGrants completes arguments, at most so many if that is not 0, to live grants.
func (a *app) completeGrants(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		a.timeout = completionTime
		db, err := a.dial()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer db.Close()
		ctx, cancel := a.within()
		defer cancel()
		all, _ := db.Grants(ctx)
		var ids []string
		for i := range all {
			if g := &all[i]; g.State.Live() {
				ids = append(ids, cobra.CompletionWithDesc(g.ID.String(), g.Level+" for "+g.Client.String()+" at "+g.Server))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// glance reads the database for a completion; nil if it cannot be read in time.
func (a *app) glance() *world {
	a.timeout = completionTime
	db, err := a.dial()
	if err != nil {
		return nil
	}
	defer db.Close()
	ctx, cancel := a.within()
	defer cancel()
	w, err := a.read(ctx, db)
	if err != nil {
		return nil
	}
	return w
}
