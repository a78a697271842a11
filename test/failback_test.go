package test

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// pair is a service of an active and a passive server.
type pair struct {
	t     *testing.T
	redis *storetest.Redis
	db    *database
}

func (p *pair) farm(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(command(p.t, "farm"), append([]string{"--redis", p.redis.URL}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("farm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// register registers a server and reports on it.
func (p *pair) register(id, addr, priority string) {
	p.t.Helper()
	p.farm("server", "set", service, id, "--address", addr, "--priority", priority)
	p.report(id, steer.Up)
}

func (p *pair) report(id string, h steer.Health) {
	p.t.Helper()
	p.db.do("report on "+id, func(ctx context.Context) error {
		_, err := p.db.Report(ctx, store.Report{Service: service, ID: id, Health: h, Utilization: new(0.1), Lease: longLease})
		return err
	})
}

// alone awaits that one server is given, and asserts that no other is in further lookups.
func (p *pair) alone(c *coredns, when, addr string) {
	p.t.Helper()
	awaitGiven(p.t, c.addr, service, addr)
	for range 4 {
		if got := given(p.t, c.addr, service); len(got) != 1 || got[0] != addr {
			p.t.Errorf("%s: Expected %s alone, got %v", when, addr, got)
		}
	}
}

// TestFailback: the passive server is given while the active one is gone, and by failback until an operator wants the active
// one back, or it has been well for long enough; in every replica, and over restarts. Slow start has no part in it.
func TestFailback(t *testing.T) {
	t.Parallel()
	p := &pair{t: t, redis: storetest.Start(t)}
	p.db = dial(t, p.redis.URL)
	c, other := startOn(t, p.redis.URL), startOn(t, p.redis.URL)
	const active, passive = "192.0.2.1", "192.0.2.2"
	p.farm("service", "set", service, "--policy", "first", "--ttl", "1s", "--failback", "manual")
	p.register("passive", passive, "1")
	p.alone(c, "the passive one is there first", passive)
	p.register("active", active, "0")
	p.alone(c, "the active one has just registered", active)
	p.alone(other, "the active one has just registered", active)

	p.report("active", steer.Down)
	p.alone(c, "the active one is down", passive)
	p.report("active", steer.Up)
	p.alone(c, "it is back", passive)
	p.alone(other, "it is back", passive)
	if out := p.farm("status"); !strings.Contains(out, "held") || !strings.Contains(out, `until "farm ready"`) {
		t.Errorf("Expected farm status to say that the active one is held, got\n%s", out)
	}
	if out := p.farm("explain", service); !strings.Contains(out, "held") {
		t.Errorf("Expected farm explain to say that the active one is held, got\n%s", out)
	}
	c.stop()
	c.again()
	p.alone(c, "it is back, and CoreDNS has restarted", passive)

	p.farm("ready", service, "active")
	p.alone(c, "an operator wants it back", active)
	p.alone(other, "an operator wants it back", active)
	c.stop()
	c.again()
	p.alone(c, "an operator wanted it back, and CoreDNS has restarted", active)

	p.farm("service", "set", service, "--failback", "4s")
	p.report("active", steer.Down)
	awaitGiven(t, c.addr, service, passive)
	p.report("active", steer.Up)
	if got := given(t, c.addr, service); len(got) != 1 || got[0] != passive {
		t.Errorf("Expected the passive one to go on, got %v", got)
	}
	p.alone(c, "it has been well for long enough", active)
}
