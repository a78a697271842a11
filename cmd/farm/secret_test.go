package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// No flag of any command repeats a value that may hold a password, nor does an argument.
func TestErrorsKeepSecrets(t *testing.T) {
	f := &farm{t, map[string]string{}}
	for _, secret := range []string{"redis://:Sup3rSecret/x@127.0.0.1:1", "u:Sup3rSecret@127.0.0.1", "ftp://u:Sup3rSecret@h", `u"Sup3rSecret@h`} {
		keeps := func(args ...string) {
			t.Helper()
			if got := f.run(args...); strings.Contains(got.err+got.out, "Sup3r") {
				t.Errorf("farm %s: %s%s", strings.Join(args, " "), got.out, got.err)
			}
		}
		var visit func(c *cobra.Command)
		visit = func(c *cobra.Command) {
			path := strings.Fields(c.CommandPath())[1:]
			c.Flags().VisitAll(func(flag *pflag.Flag) {
				keeps(append(path, "--"+flag.Name+"="+secret, "--timeout=-1s")...)
			})
			for _, sub := range c.Commands() {
				visit(sub)
			}
		}
		visit((&app{}).rootCommand())
		keeps(secret)
		keeps("help", secret)
		keeps("status", "--"+secret)
		keeps("status", "-"+secret)
	}
}
