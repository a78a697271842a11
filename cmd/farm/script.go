package main

import (
	"fmt"

	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const scriptLong = `Print a Lua script that writes to the services database in one atomic step, for
agents in shell or in other languages:

  farm script report > report.lua
  redis-cli --eval report.lua KEYS... , SERVICE SERVER REPORT

docs/redis.md says which keys and arguments it takes. Without a name, list the scripts.`

func (a *app) scriptCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "script [NAME]",
		Short:     "Print a script that writes to the services database",
		Long:      scriptLong,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: store.Scripts(),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listScripts()
			}
			text := store.Script(args[0])
			if text == "" {
				return notFoundf("no script %q; there are %s", args[0], join(store.Scripts()))
			}
			_, err := fmt.Fprint(a.out, text)
			return err
		},
	}
}

func (a *app) listScripts() error {
	for _, name := range store.Scripts() {
		if _, err := fmt.Fprintln(a.out, name); err != nil {
			return err
		}
	}
	return nil
}
