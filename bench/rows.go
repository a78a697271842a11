package main

import (
	"context"
	"fmt"
	"strings"
)

// row is a name server that is measured beside the others.
type row struct {
	name, title string
	corefile    string // the plugins of a CoreDNS; empty is one of the peers
	peer        func(s *stage, port int) (*process, error)
	carry       func() (labels, option string, err error) // what every question carries; nil is nothing
}

// rows are measured in this order, again and again. The first is what the others are set against. In a Corefile REDIS,
// ZONE, WEIGHTS and KEYS stand for the stage's, and METRICS for a free address.
var rows = []row{
	{name: base, title: "CoreDNS, `whoami`: the floor", corefile: "whoami"},
	{name: "file", title: "CoreDNS, `file`", corefile: "file ZONE"},
	{name: "file-loadbalance", title: "CoreDNS, `file` and `loadbalance weighted`", corefile: "loadbalance weighted WEIGHTS\nfile ZONE"},
	{name: "farm-predict", title: "CoreDNS, `farm`, `policy predict`", corefile: "farm {\nredis REDIS\npolicy predict\n}"},
	{name: "farm-headroom", title: "CoreDNS, `farm`, `policy headroom`", corefile: "farm {\nredis REDIS\npolicy headroom\n}"},
	{name: "farm-weighted", title: "CoreDNS, `farm`, `policy weighted`", corefile: "farm {\nredis REDIS\npolicy weighted\n}"},
	{name: "farm-one", title: "CoreDNS, `farm`, `policy predict`, `answers 1`", corefile: "farm {\nredis REDIS\npolicy predict\nanswers 1\n}"},
	{name: "farm-rewrite", title: "CoreDNS, `farm` with `rewrite`, and `file`", corefile: "farm {\nredis REDIS\nrewrite\n}\nfile ZONE"},
	{name: "farm-handle-label", title: "CoreDNS, `farm`, a signed handle in a label", corefile: entitled, carry: inLabels},
	{name: "farm-handle-option", title: "CoreDNS, `farm`, a signed handle in the option", corefile: entitled, carry: inOption},
	{name: "whoami-prometheus", title: "CoreDNS, `prometheus` and `whoami`", corefile: "prometheus METRICS\nwhoami"},
	{name: "farm-prometheus", title: "CoreDNS, `prometheus` and `farm`, `policy predict`", corefile: "prometheus METRICS\nfarm {\nredis REDIS\npolicy predict\n}"},
	{name: "gdnsd", title: "gdnsd, `plugin_weighted`", peer: gdnsd},
	{name: "powerdns", title: "PowerDNS, Lua `pickwrandom`", peer: powerdns},
}

// entitled is a farm with a level. Who asks for it and is not entitled is refused: a handle that did not hold would show
// as failed lookups.
const entitled = "farm {\nredis REDIS\npolicy predict\nlevel gold {\nrank 1\nceiling 0.9\nrefuse\n}\nqos {\nkeys KEYS\n}\n}"

// base is the row that others are set against, and headline the one that the budget speaks of.
const (
	base     = "whoami"
	headline = "farm-predict"
)

// stage is what every row has in common: the same services and servers, in the database and in files.
type stage struct {
	*lab
	farm
	db                  *database
	zone, weights, keys string // files
}

// stageFarm is small: what an answer costs must not depend on how large the farm is, and scale shows whether it does.
var stageFarm = farm{services: 10, servers: 80}

func newStage(ctx context.Context, l *lab) (*stage, error) {
	s := &stage{lab: l, farm: stageFarm}
	var err error
	if s.db, err = l.startRedis(ctx); err != nil {
		return nil, err
	}
	if err := s.register(ctx, s.db); err != nil {
		return nil, err
	}
	if s.zone, err = s.zoneFile(l, "zone", s.addresses); err != nil {
		return nil, err
	}
	if s.weights, err = l.write("weights", s.weightFile()); err != nil {
		return nil, err
	}
	s.keys, err = l.write("keys", keyFile)
	return s, err
}

// addresses are the A records of a service.
func (s *stage) addresses(service int) string {
	var b strings.Builder
	s.of(service, func(i int) { fmt.Fprintf(&b, "%s IN A %s\n", s.service(i), s.addr(i)) })
	return b.String()
}

// weightFile is what loadbalance reads.
func (s *stage) weightFile() string {
	var b strings.Builder
	for service := range s.services {
		fmt.Fprintln(&b, s.service(service))
		s.of(service, func(i int) { fmt.Fprintln(&b, s.addr(i), s.weight(i)) })
	}
	return b.String()
}

// serve starts the name server of a row and waits until it answers.
func (s *stage) serve(ctx context.Context, r *row) (*process, string, error) {
	port, err := s.freePort()
	if err != nil {
		return nil, "", err
	}
	if r.peer == nil {
		text := strings.NewReplacer("REDIS", s.db.url, "ZONE", s.zone, "WEIGHTS", s.weights, "KEYS", s.keys, "METRICS", local(port)).Replace(r.corefile)
		return s.startCoreDNS(ctx, text, s.service(0))
	}
	p, err := r.peer(s, port)
	if err != nil {
		return nil, "", err
	}
	return p, local(port), s.awaitAnswer(ctx, p, local(port), s.service(0))
}

// startCoreDNS starts the build under test and waits until it answers a question.
func (l *lab) startCoreDNS(ctx context.Context, plugins, name string) (*process, string, error) {
	p, addr, err := l.launchCoreDNS(plugins)
	if err != nil {
		return nil, "", err
	}
	return p, addr, l.awaitAnswer(ctx, p, addr, name)
}

func (l *lab) awaitAnswer(ctx context.Context, p *process, addr, name string) error {
	return await(ctx, p, "an answer to "+name, func() bool { return answers(addr, name) })
}

// launchCoreDNS starts the build under test with some plugins for the zone, and does not wait.
func (l *lab) launchCoreDNS(plugins string) (*process, string, error) {
	port, err := l.freePort()
	if err != nil {
		return nil, "", err
	}
	text := fmt.Sprintf("%s:%d {\nbind 127.0.0.1\nerrors\n%s\n}\n", strings.TrimSuffix(zone, "."), port, plugins)
	file, err := l.write(fmt.Sprintf("Corefile-%d", port), text)
	if err != nil {
		return nil, "", err
	}
	p, err := l.start("coredns", l.coredns, "-conf", file)
	return p, local(port), err
}
