package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// leftCorefile has three servers of which two get an agent. STATE is a state property, or nothing. The limits keep the load of
// the machine that tests, which agents measure, out of it.
const leftCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    prometheus METRICS
    farm {
        redis REDIS
        STATE
        policy roundrobin
        answers 8
        ttl 1
        slow_start 1s
        drain 1s
        soft 9
        hard 10
        service www.example.org {
            server web1 192.0.2.1
            server web2 192.0.2.2
            server web3 192.0.2.3
        }
    }
}
`

// leaving is a service of the Corefile, and the agents of some of its servers.
type leaving struct {
	t     *testing.T
	redis *storetest.Redis
	shift func(time.Duration)
	db    *database
}

func (l *leaving) coredns(state string) *coredns {
	l.t.Helper()
	if state != "" {
		state = "state " + state
	}
	return startCoreDNS(l.t, strings.NewReplacer("REDIS", l.redis.URL, "STATE", state, "METRICS", local(freePort(l.t))).Replace(leftCorefile))
}

func (l *leaving) agent(id, addr string) *process {
	l.t.Helper()
	p := start(l.t, "agent of "+id, command(l.t, "farm"), "agent", "--redis", l.redis.URL, "--service", "www.example.org",
		"--server", id, "--address", addr, "--interval", "200ms", "--lease", "1s", "--drain", "100ms")
	p.says("server is registered")
	return p
}

func (l *leaving) farm(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(command(l.t, "farm"), append([]string{"--redis", l.redis.URL}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("farm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// says awaits a line of farm status with the server and the word.
func (l *leaving) says(id, word string) {
	l.t.Helper()
	var out string
	await(l.t, "farm status to say "+word+" of "+id, func() bool {
		out = l.farm("status")
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 3 && f[1] == id && slices.Contains(f, word) {
				return true
			}
		}
		return false
	})
}

// neverGives makes many lookups, none of which may be answered with any of the addresses.
func neverGives(t *testing.T, c *coredns, when string, addrs ...string) {
	t.Helper()
	for range 60 {
		for _, a := range addresses(ask(t, c.addr, service, dns.TypeA)) {
			if slices.Contains(addrs, a) {
				t.Fatalf("%s: Expected %v never to be given, got %s", when, addrs, a)
			}
		}
	}
}

// TestServerThatLeft: a server of the Corefile whose agent stops, or crashes and is swept, is given to nobody, until somebody
// speaks for it again; whatever else becomes of the others, of CoreDNS, and of the database.
func TestServerThatLeft(t *testing.T) {
	t.Parallel()
	l := &leaving{t: t}
	l.redis, l.shift = storetest.StartWithClock(t)
	l.db = dial(t, l.redis.URL)
	state := filepath.Join(t.TempDir(), "farm.state")
	c := l.coredns(state)
	other := l.coredns("")
	one, two, four := l.agent("web1", "192.0.2.1"), l.agent("web2", "192.0.2.2"), l.agent("web4", "192.0.2.4")
	for _, c := range []*coredns{c, other} {
		awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	}
	l.says("web3", "none")
	l.says("web1", "reports")

	t.Log("an agent stops")
	one.stop()
	awaitGiven(t, c.addr, service, "192.0.2.2", "192.0.2.3", "192.0.2.4")
	neverGives(t, c, "stopped", "192.0.2.1")
	l.says("web1", "stopped")

	t.Log("an agent crashes, and is swept")
	two.kill()
	awaitGiven(t, c.addr, service, "192.0.2.3", "192.0.2.4")
	l.says("web2", "silent")
	l.shift(2 * time.Hour)
	l.says("web2", "swept")
	for _, c := range []*coredns{c, other} {
		awaitGiven(t, c.addr, service, "192.0.2.3", "192.0.2.4")
		neverGives(t, c, "swept", "192.0.2.1", "192.0.2.2")
	}

	t.Log("the others go: a server that only its agent registered, and one that never had an agent")
	four.stop()
	awaitGiven(t, c.addr, service, "192.0.2.3")
	if out := l.farm("status", "-o", "wide"); strings.Contains(out, "web4") {
		t.Errorf("Expected web4 to be gone, got\n%s", out)
	}
	l.db.admin(service, "web3", steer.Maint)
	l.nobody(c)
	l.nobody(other)

	t.Log("CoreDNS restarts, with its state file and without one")
	c.stop()
	c.again()
	l.nobody(c)
	fresh := l.coredns("")
	fresh.says(": connected")
	l.nobody(fresh)

	t.Log("the database is flushed, and CoreDNS restarts with its state file")
	l.redis.Do("FLUSHALL")
	l.db.admin(service, "web3", steer.Ready)
	awaitGiven(t, c.addr, service, "192.0.2.3")
	awaitGiven(t, other.addr, service, "192.0.2.3")
	neverGives(t, c, "flushed", "192.0.2.1", "192.0.2.2")
	c.stop()
	c.again()
	c.says(": connected")
	awaitGiven(t, c.addr, service, "192.0.2.3")
	neverGives(t, c, "flushed and restarted", "192.0.2.1", "192.0.2.2")
	l.says("web1", "stopped") // a replica remembers

	t.Log("an agent starts again, and an operator wants the other one without an agent")
	l.agent("web1", "192.0.2.1")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.3")
	if out := l.farm("ready", service, "web2"); !strings.Contains(out, "without an agent") {
		t.Errorf("Expected farm ready to say what it does, got\n%s", out)
	}
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	awaitGiven(t, other.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
}

// nobody awaits that the service is answered with no address, and that the answer says why.
func (l *leaving) nobody(c *coredns) {
	l.t.Helper()
	awaitGiven(l.t, c.addr, service)
	m := ask(l.t, c.addr, service, dns.TypeA)
	if text := m.String(); m.Rcode != dns.RcodeSuccess || !strings.Contains(text, "no server available") {
		l.t.Errorf("Expected NODATA that says that no server is available, got\n%s", text)
	}
	neverGives(l.t, c, "nobody else is left", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	if text := metricsOf(l.t, c); !strings.Contains(text, `coredns_farm_ladder_total{rung="nothing"}`) {
		l.t.Errorf("Expected decisions on the rung nothing to be counted, got\n%s", text)
	}
}

// metricsOf returns the metrics of a server whose Corefile says where they are.
func metricsOf(t *testing.T, c *coredns) string {
	t.Helper()
	conf, err := os.ReadFile(c.conf)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(conf), "prometheus ")
	addr, _, _ := strings.Cut(rest, "\n")
	r, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServerThatLeftAFile: where another plugin answers and farm steers, the address of a server that left is left out of the
// answers, though farm knows no such server any more.
func TestServerThatLeftAFile(t *testing.T) {
	t.Parallel()
	zone := filepath.Join(t.TempDir(), "zone")
	records := "$ORIGIN example.org.\n@ 3600 IN SOA ns host 1 2 3 4 5\n@ IN NS ns\nns IN A 127.0.0.1\n"
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		records += "www 3600 IN A " + addr + "\n"
	}
	if err := os.WriteFile(zone, []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &leaving{t: t, redis: storetest.Start(t)}
	c := startCoreDNS(t, fmt.Sprintf("example.org:PORT {\n    bind 127.0.0.1\n    errors\n    farm {\n        redis %s\n        ttl 1\n        slow_start 0\n        soft 9\n        hard 10\n        rewrite\n    }\n    file %s\n}\n",
		l.redis.URL, zone))
	one, two := l.agent("web1", "192.0.2.1"), l.agent("web2", "192.0.2.2")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	one.stop()
	awaitGiven(t, c.addr, service, "192.0.2.2")
	neverGives(t, c, "stopped", "192.0.2.1")
	l.agent("web1", "192.0.2.1")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	two.stop()
	awaitGiven(t, c.addr, service, "192.0.2.1")
}

// TestServerThatLeftTheEmbeddedStore: the same where the database is CoreDNS's own.
func TestServerThatLeftTheEmbeddedStore(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	state := filepath.Join(t.TempDir(), "farm.state")
	l := &leaving{t: t, redis: &storetest.Redis{URL: "redis://" + local(port)}}
	c := startCoreDNS(t, strings.NewReplacer("redis REDIS", fmt.Sprintf("embedded 127.0.0.1:%d", port), "STATE", "state "+state, "METRICS", local(freePort(t))).Replace(leftCorefile))
	one := l.agent("web1", "192.0.2.1")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	one.stop()
	awaitGiven(t, c.addr, service, "192.0.2.2", "192.0.2.3")
	neverGives(t, c, "stopped", "192.0.2.1")
	l.says("web1", "stopped")
	c.stop()
	c.again()
	awaitGiven(t, c.addr, service, "192.0.2.2", "192.0.2.3")
	neverGives(t, c, "restarted", "192.0.2.1")
	l.agent("web1", "192.0.2.1")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
}
