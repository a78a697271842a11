package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/suggest"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one run of the program: where it writes, and what the global flags say.
type app struct {
	out, err io.Writer
	env      func(string) string

	redis   []string
	prefix  string
	output  string
	timeout time.Duration

	started bool // whether the command line was understood
}

// run is the program. It returns the exit code.
func run(args []string, stdout, stderr io.Writer, env func(string) string) int {
	a := &app{out: stdout, err: stderr, env: env}
	root := a.rootCommand()
	root.SetArgs(longFlags(root, args))
	err := root.Execute()
	if err != nil {
		fmt.Fprintln(stderr, "farm: "+oneLine(suggest.ShownQuotes(err.Error())))
	}
	return codeOf(err, a.started)
}

// longFlags lets a long flag stand behind one dash, as CoreDNS and other Go programs take them: -config is --config.
func longFlags(root *cobra.Command, args []string) []string {
	long := make(map[string]bool)
	var collect func(c *cobra.Command)
	collect = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { long[f.Name] = len(f.Name) > 1 })
		for _, sub := range c.Commands() {
			collect(sub)
		}
	}
	collect(root)
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && long[name] {
			args[i] = "-" + arg
		}
	}
	return args
}

// oneLine keeps the promise that an error is one line, whatever a library says.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

const rootLong = `farm steers DNS answers by live server load.

This program does everything but answer: it runs the agents that report on
servers, shows what stands in the services database (Redis), explains answers,
and takes servers in and out.`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:               "farm",
		Short:             "Steer DNS answers by live server load",
		Long:              rootLong + "\n\n" + exitHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.start,
	}
	root.AddGroup(
		&cobra.Group{ID: "see", Title: "See:"},
		&cobra.Group{ID: "act", Title: "Change:"},
		&cobra.Group{ID: "run", Title: "Run:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("see", a.statusCommand(), a.explainCommand())
	add("act", a.adminCommands()...)
	add("act", a.serviceCommand(), a.serverCommand(), a.reportCommand())
	add("act", a.levelCommand(), a.grantCommand(), a.keyCommand(), a.handleCommand())
	add("run", a.agentCommand(), a.brokerCommand(), a.camaraSimCommand(), a.scriptCommand())
	root.AddCommand(a.versionCommand())
	a.globalFlags(root)
	root.Version = buildOf(debug.ReadBuildInfo()).String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.InitDefaultCompletionCmd("completion") // it keeps where the output goes
	root.SetFlagErrorFunc(explainFlag)
	refuseUnknown(root)
	nameArguments(root)
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringArrayVar(&a.redis, "redis", nil, "services database: a `URL`, repeated for a Cluster "+
		"(default $FARM_REDIS, else "+defaultRedis+")")
	f.StringVar(&a.prefix, "prefix", "", "key prefix `NAME` (default $FARM_PREFIX, else farm)")
	f.StringVarP(&a.output, "output", "o", "table", "`FORM` of what is printed: table, wide or json")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to wait for the database")
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what only a mistake in this program makes fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

var outputs = []string{"table", "wide", "json"}

// start runs before every command, once its arguments and flags are parsed.
func (a *app) start(*cobra.Command, []string) error {
	if !slices.Contains(outputs, a.output) {
		return usagef("flag -o: %q: expected table, wide or json", a.output)
	}
	if a.timeout <= 0 {
		return usagef("flag --timeout: %s: expected a duration above 0", a.timeout)
	}
	a.started = true
	return nil
}

// refuseUnknown makes commands that only hold others name the near ones when they are given one they do not have.
// Without any, they show their help.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	if !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownCommand(c, args[0])
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	return usagef("unknown command %q for %q%s; see %s --help", suggest.Shown(name), c.CommandPath(), didYouMean(name, names), c.CommandPath())
}

// helpCommand shows the help of a command, and fails if there is none of the name.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Show the help of a command",
		RunE: func(c *cobra.Command, args []string) error {
			of, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(of, rest[0])
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// nameArguments makes commands say which arguments they expect.
func nameArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		nameArguments(sub)
	}
	if c.Args == nil || c.HasSubCommands() {
		return
	}
	check := c.Args
	_, expected, _ := strings.Cut(strings.TrimSuffix(c.Use, " [flags]"), " ")
	if expected == "" || strings.HasPrefix(expected, "-") {
		expected = "none"
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		var own *codedError
		if err == nil || errors.As(err, &own) {
			return err
		}
		return usagef("arguments: %d: expected %s; see %s --help", len(args), expected, c.CommandPath())
	}
}

// expectedByType says what flags expect whose types are the library's.
var expectedByType = map[string]string{
	"bool": "true or false", "uint64": "a whole number", "int": "a whole number", "duration": "a duration, such as 5s",
}

// explainFlag names the flag and what it expects. Of an unknown flag it suggests the near ones, and repeats no value.
func explainFlag(c *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		text := invalid.Unwrap().Error()
		if _, isOurs := invalid.GetFlag().Value.(*value); !isOurs && expectedByType[invalid.GetFlag().Value.Type()] != "" {
			text = "expected " + expectedByType[invalid.GetFlag().Value.Type()]
		}
		return usagef("flag --%s: %q: %s", invalid.GetFlag().Name, suggest.Shown(invalid.GetValue()), suggest.ShownQuotes(text))
	case errors.As(err, &missing):
		return usagef("flag --%s: expected a value; see %s --help", missing.GetFlag().Name, c.CommandPath())
	}
	text := err.Error()
	name, isUnknown := strings.CutPrefix(text, "unknown flag: --")
	if isUnknown {
		text = "unknown flag: --" + suggest.Shown(name)
	}
	if !isUnknown {
		short, _, _ := strings.Cut(text, " in -")
		if strings.HasPrefix(text, "unknown shorthand flag") {
			return usagef("%s; see %s --help", short, c.CommandPath())
		}
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	guesses := suggest.Names(name, names)
	for i := range guesses {
		guesses[i] = "--" + guesses[i]
	}
	if guesses == nil {
		return usagef("%s; see %s --help", text, c.CommandPath())
	}
	return usagef("%s%s", text, suggest.DidYouMean(guesses))
}

// within returns a context that ends when the time for the database is up.
func (a *app) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), a.timeout)
}

// wide tells whether tables carry every column.
func (a *app) wide() bool { return a.output == "wide" }

// print writes a result: as JSON if that was asked for, else as the text that write makes.
func (a *app) print(result any, write func(io.Writer) error) error {
	var text bytes.Buffer
	if a.output != "json" {
		if err := write(&text); err != nil {
			return err
		}
	} else {
		enc := json.NewEncoder(&text)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(result); err != nil {
			return err
		}
	}
	if _, err := text.WriteTo(a.out); err != nil {
		return coded(exitFailed, "output: %w", err)
	}
	return nil
}
