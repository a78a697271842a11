package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/coredns-farm/farm/agent"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const agentLong = `Run the agent of a server: it registers the server with its services, reports on it
every interval, and takes it out again when it is told to end.

A configuration file (YAML) says everything; flags say the same for simple cases,
and override the file. Where neither says which database, $FARM_REDIS does.

SIGTERM and SIGINT drain the server: it gets fewer clients until it gets none, and
then leaves. A second signal leaves at once. Logs go to the standard error.`

const agentExample = `  farm agent --service www.example.org --address 192.0.2.1 --probe http://127.0.0.1:8080/health
  farm agent -c /etc/farm/agent.yaml
  farm agent -c /etc/farm/agent.yaml --check`

// agentFields are the flags of an agent that stand for keys of its file.
var agentFields = []field[agent.Config]{
	{"server", "the server's id (by default the host's name)",
		func(c *agent.Config) *value { return word(&c.Server) }},
	{"service", "a service that it serves; may be repeated",
		func(c *agent.Config) *value { return list(&c.Services, "name", agentService) }},
	{"address", "where it serves; may be repeated (by default the source of the machine's packets to the Internet)",
		func(c *agent.Config) *value { return list(&c.Addresses, "address", parseWord) }},
	{"target", "a name instead of addresses, answered as a CNAME",
		func(c *agent.Config) *value { return word(&c.Target) }},
	{"port", "port of the service",
		func(c *agent.Config) *value {
			return absentIfZero(&c.Port, func(p *int) *value { return whole(p, 1, 65535) })
		}},
	{"region", "where the server stands",
		func(c *agent.Config) *value { return word(&c.Region) }},
	{"capacity", "requests a second that it can serve",
		func(c *agent.Config) *value { return absentIfZero(&c.Capacity, capacity) }},
	{"weight", "its share under policy weighted (default 1); 0, under every policy: standby, no share while another server is open",
		func(c *agent.Config) *value { return optional(&c.Weight, weight) }},
	{"priority", "servers of a lower priority are used first",
		func(c *agent.Config) *value { return orZero(whole(&c.Priority, 0, 65535)) }},
	{"interval", "time from report to report (default 2s)",
		func(c *agent.Config) *value { return absentIfZero(&c.Interval, aboveZeroDuration) }},
	{"lease", "how long a report stands for the server's life (default 5 intervals)",
		func(c *agent.Config) *value { return absentIfZero(&c.Lease, aboveZeroDuration) }},
	{"drain", "time from SIGTERM to leaving; 0 is at once (default 30s)",
		func(c *agent.Config) *value { return optional(&c.Drain, agentDrain) }},
	{"collect", "what measures it: host (CPU and memory) or connections (of the port); may be repeated " +
		"(default host if there is no file)",
		func(c *agent.Config) *value { return list(&c.Collect, "kind", agentCollector) }},
	{"probe", "what says that it serves: http://..., https://..., tcp://HOST:PORT or grpc://HOST:PORT; may be repeated",
		func(c *agent.Config) *value { return list(&c.Probe, "url", agentProbe) }},
}

func (a *app) agentCommand() *cobra.Command {
	var file string
	var check bool
	c := &cobra.Command{
		Use:     "agent [flags]",
		Short:   "Run the agent of a server",
		Long:    agentLong,
		Example: agentExample,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.agentConfig(c.Flags(), file)
			if err != nil {
				return err
			}
			if check {
				return a.printCheck(&cfg)
			}
			return a.runAgent(cfg)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `FILE`")
	c.Flags().BoolVar(&check, "check", false, "check the configuration and exit")
	bind(c.Flags(), agentFields)
	must(c.MarkFlagFilename("config", "yaml", "yml"))
	must(c.RegisterFlagCompletionFunc("collect", cobra.FixedCompletions([]string{"host", "connections"}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func aboveZeroDuration(p *time.Duration) *value { return goDuration(p, aboveZero) }

// agentDrain is a drain time as the agent's file has it: a negative one is at once, too.
func agentDrain(p *time.Duration) *value {
	v := goDuration(p, fromZero)
	set := v.set
	v.set = func(s string) error {
		if d, err := time.ParseDuration(s); err == nil && d < 0 {
			*p = d
			return nil
		}
		return set(s)
	}
	return v
}

// agentConfig puts together what the file, the flags and the environment say, the flags over the file, and the file
// over the environment.
func (a *app) agentConfig(flags *pflag.FlagSet, file string) (agent.Config, error) {
	var cfg agent.Config
	if file != "" {
		var err error
		if cfg, err = agent.Load(file); err != nil {
			return cfg, refusedf("configuration: %w", err)
		}
	} else {
		cfg.Collect = []agent.Collect{{Host: new(agent.Host)}}
	}
	// An address takes the place of the file's target, and the other way round.
	if flags.Changed("address") {
		cfg.Target = ""
	}
	if flags.Changed("target") {
		cfg.Addresses = nil
	}
	if err := merge(flags, agentFields, &cfg); err != nil {
		return cfg, err
	}
	a.reach(&cfg.Redis, &cfg.Prefix)
	return cfg, checked(cfg.Validate, cfg.Redis)
}

// printCheck says that the configuration is valid, and which addresses the agent would take here if it has none.
func (a *app) printCheck(cfg *agent.Config) error {
	lines := []string{"the configuration is valid"}
	if len(cfg.Addresses) == 0 && cfg.Target == "" && cfg.Reporter == "" {
		addresses, err := agent.ExplainAddresses()
		for _, line := range addresses {
			lines = append(lines, "address "+line)
		}
		if err != nil {
			lines = append(lines, "on this machine the agent would end: "+err.Error())
		}
	}
	_, err := fmt.Fprintln(a.out, strings.Join(lines, "\n"))
	return err
}

// runAgent runs an agent until it has left, or a signal has ended it.
func (a *app) runAgent(cfg agent.Config) error {
	runtime.GOMAXPROCS(1) // a guest on the machine
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return agent.Run(ctx, cfg, slog.New(slog.NewTextHandler(a.err, nil)))
}

func agentService(s string) (agent.Service, error) { return agent.Service{Name: fqdn(s)}, nil }

func agentCollector(s string) (agent.Collect, error) {
	switch strings.ToLower(s) {
	case "host":
		return agent.Collect{Host: new(agent.Host)}, nil
	case "connections":
		return agent.Collect{Connections: new(agent.Connections)}, nil
	}
	return agent.Collect{}, fmt.Errorf("expected host or connections; a configuration file says the others")
}

// agentProbe makes a probe of a URL.
func agentProbe(s string) (agent.Probe, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return agent.Probe{}, fmt.Errorf("expected a URL, such as http://127.0.0.1:8080/health or tcp://127.0.0.1:22")
	}
	switch u.Scheme {
	case "http", "https":
		return agent.Probe{HTTP: &agent.HTTPProbe{URL: s}}, nil
	case "tcp":
		return agent.Probe{TCP: &agent.TCPProbe{Address: u.Host}}, nil
	case "grpc":
		return agent.Probe{GRPC: &agent.GRPCProbe{Address: u.Host, Service: strings.Trim(u.Path, "/")}}, nil
	}
	return agent.Probe{}, fmt.Errorf("expected the scheme http, https, tcp or grpc")
}

// urls is where the services database is.
func (a *app) urls() []string {
	if len(a.redis) > 0 {
		return a.redis
	}
	return strings.Fields(cmp.Or(a.env("FARM_REDIS"), defaultRedis))
}

func (a *app) keyPrefix() string {
	return cmp.Or(a.prefix, a.env("FARM_PREFIX"), "farm")
}
