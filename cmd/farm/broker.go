package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coredns-farm/farm/qos/broker"

	"github.com/spf13/cobra"
)

const brokerLong = `Run a broker: it takes requests for quality of service from the services database
to the network elements that can grant them, and brings the grants back. Brokers
that have the same elements can run side by side.

A configuration file (YAML) says which elements there are, and how they are asked.
Where it does not say which database, --redis and $FARM_REDIS do.

SIGTERM and SIGINT end it: what is under way is finished, and what an element would
not give up by itself is taken away. Logs go to the standard error.`

const brokerExample = `  farm broker -c /etc/farm/broker.yaml
  farm broker -c /etc/farm/broker.yaml --check
  farm broker -c /etc/farm/broker.yaml --dry-run`

func (a *app) brokerCommand() *cobra.Command {
	var file string
	var check, dryRun bool
	c := &cobra.Command{
		Use:     "broker -c FILE",
		Short:   "Run a broker between the database and network elements",
		Long:    brokerLong,
		Example: brokerExample,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.brokerConfig(file)
			switch {
			case err != nil:
				return err
			case check:
				_, err := fmt.Fprintln(a.out, "the configuration is valid")
				return err
			case dryRun:
				return a.dryRunBroker(cfg)
			}
			return a.runBroker(cfg)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `FILE`")
	c.Flags().BoolVar(&check, "check", false, "check the configuration and exit")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what Linux elements would do for what stands in the database, and exit")
	must(c.MarkFlagFilename("config", "yaml", "yml"))
	return c
}

// brokerConfig puts together what the file, the flags and the environment say, the flags over the file, and the file
// over the environment.
func (a *app) brokerConfig(file string) (broker.Config, error) {
	if file == "" {
		return broker.Config{}, usagef("flag -c: expected a configuration file; contrib/farm-broker.yaml is one to begin with")
	}
	cfg, err := broker.Load(file)
	if err != nil {
		return cfg, refusedf("configuration: %w", err)
	}
	a.reach(&cfg.Redis, &cfg.Prefix)
	return cfg, checked(cfg.Validate, cfg.Redis)
}

// runBroker runs a broker until a signal ends it.
func (a *app) runBroker(cfg broker.Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return broker.Run(ctx, cfg, slog.New(slog.NewTextHandler(a.err, nil)), a.out)
}

func (a *app) dryRunBroker(cfg broker.Config) error {
	ctx, cancel := a.within()
	defer cancel()
	return fromDatabase(broker.DryRun(ctx, cfg, a.out))
}
