package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// zeroWays are the ways in which a service with two servers can be written. Each is told the properties of the service and of the
// first server, as NAME VALUE pairs in the words of the Corefile, and returns an error of what refused them.
var zeroWays = []struct {
	name string
	put  func(z *zeros, service string, ofService, ofServer []string) error
}{
	{"corefile", nil}, // stands in the block at the start
	{"command", (*zeros).byCommand},
	{"record", (*zeros).byRecord},
	{"agent", (*zeros).byAgent},
}

// zeroRows are what is written, and what 100 lookups are answered with: the first server's share of first addresses, and the TTL.
// No way but an agent's can leave the service's properties out, so that rows with them are not for agents.
var zeroRows = []struct {
	name                string
	ofService, ofServer []string
	first               int // of 100 lookups
	ttl                 uint32
}{
	{"absent", nil, nil, 50, 20},
	{"weight0", nil, []string{"weight", "0"}, 0, 20},
	{"weight3", nil, []string{"weight", "3"}, 75, 20},
	{"case", nil, []string{"id", "A"}, 50, 20},
	{"ttl0", []string{"ttl", "0"}, nil, 50, 0},
	{"ttl7", []string{"ttl", "7"}, nil, 50, 7},
	{"slowstart0", []string{"slow_start", "0"}, nil, 50, 20},
	{"drain0", []string{"drain", "0"}, nil, 50, 20},
	{"soft0", []string{"soft", "0"}, nil, 50, 20},
	{"serversoft0", nil, []string{"soft", "0"}, 50, 20},
}

// zeroRefused are properties that cannot be 0.
var zeroRefused = []struct{ of, name string }{
	{"service", "answers"}, {"service", "hard"}, {"server", "port"}, {"server", "capacity"}, {"server", "hard"},
}

// zeros is a database, and the commands on it.
type zeros struct {
	*testing.T
	redis *storetest.Redis
	url   string
}

// TestZeroInEveryWay writes the same with 0 and without, in the Corefile, by commands, as records and by agents, and looks at the
// answers.
func TestZeroInEveryWay(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	z := &zeros{T: t, redis: redis, url: redis.URL}
	var block strings.Builder
	for _, row := range zeroRows {
		fmt.Fprintf(&block, "service %s.corefile.example.org {\n policy weighted\n answers 1\n %s\n server %s 192.0.2.1 %s\n server b 192.0.2.2\n}\n",
			row.name, strings.Join(row.ofService, " "), serverID(row.ofServer), strings.Join(withoutID(row.ofServer), " "))
		for _, way := range zeroWays {
			if way.put == nil || way.name == "agent" && row.ofService != nil {
				continue
			}
			if err := way.put(z, row.name+"."+way.name+".example.org", row.ofService, row.ofServer); err != nil {
				t.Errorf("%s by %s: %v", row.name, way.name, err)
			}
		}
	}
	c := startCoreDNS(t, ".:PORT {\n bind 127.0.0.1\n farm example.org {\n redis "+redis.URL+"\n"+block.String()+" }\n}\n")
	for _, row := range zeroRows {
		for _, way := range zeroWays {
			if way.name == "agent" && row.ofService != nil {
				continue
			}
			z.look(c.addr, row.name+"."+way.name+".example.org.", row.first, row.ttl)
		}
	}
	z.refuses()
}

// look counts who is first in 100 answers.
func (z *zeros) look(addr, name string, want int, ttl uint32) {
	z.Helper()
	if want == 0 {
		awaitGiven(z, addr, name, "192.0.2.2")
	} else {
		awaitGiven(z, addr, name, "192.0.2.1", "192.0.2.2")
	}
	got := 0
	for range 100 {
		r := ask(z, addr, name, dns.TypeA)
		if addresses(r)[0] == "192.0.2.1" {
			got++
		}
		if r.Answer[0].Header().Ttl != ttl {
			z.Errorf("%s: got TTL %d, want %d", name, r.Answer[0].Header().Ttl, ttl)
		}
	}
	if got < want-2 || got > want+2 {
		z.Errorf("%s: the first server got %d of 100, want %d", name, got, want)
	}
}

// refuses writes a 0 that cannot be meant, in every way.
func (z *zeros) refuses() {
	for _, p := range zeroRefused {
		var ofService, ofServer []string
		if p.of == "service" {
			ofService = []string{p.name, "0"}
		} else {
			ofServer = []string{p.name, "0"}
		}
		for _, way := range zeroWays[1:] {
			if way.name == "agent" && ofService != nil || way.name == "record" {
				continue
			}
			if err := way.put(z, "refused."+way.name+".example.org", ofService, ofServer); err == nil || !strings.Contains(err.Error(), p.name) {
				z.Errorf("%s 0 by %s: got %v, want an error that names it", p.name, way.name, err)
			}
		}
	}
}

func serverID(ofServer []string) string {
	if len(ofServer) == 2 && ofServer[0] == "id" {
		return ofServer[1]
	}
	return "a"
}

func withoutID(ofServer []string) []string {
	if len(ofServer) == 2 && ofServer[0] == "id" {
		return nil
	}
	return ofServer
}

func flagsOf(properties []string) []string {
	if len(properties) == 0 {
		return nil
	}
	return []string{"--" + strings.ReplaceAll(properties[0], "_", "-"), properties[1]}
}

func (z *zeros) byCommand(service string, ofService, ofServer []string) error {
	for _, args := range [][]string{
		append([]string{"service", "set", service, "--policy", "weighted", "--answers", "1"}, flagsOf(ofService)...),
		append([]string{"server", "set", service, serverID(ofServer), "--address", "192.0.2.1"}, flagsOf(withoutID(ofServer))...),
		{"server", "set", service, "b", "--address", "192.0.2.2"},
	} {
		if err := z.run(args...); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command of farm.
func (z *zeros) run(args ...string) error {
	out, err := exec.Command(command(z, "farm"), append([]string{"--redis", z.url}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("farm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// byRecord runs the scripts of the database, as an agent in any language does.
func (z *zeros) byRecord(service string, ofService, ofServer []string) error {
	for _, call := range [][]string{
		{"service", "set", jsonOf(`{"policy":"weighted","answers":1`, ofService)},
		{"server", serverID(ofServer), "set", jsonOf(`{"addresses":["192.0.2.1"]`, withoutID(ofServer))},
		{"server", "b", "set", `{"addresses":["192.0.2.2"]}`},
	} {
		script, err := exec.Command(command(z, "farm"), "script", call[0]).Output()
		if err != nil {
			return err
		}
		keys := store.Keys(store.DefaultPrefix, service+".")
		eval := append([]string{"EVAL", string(script), strconv.Itoa(len(keys))}, keys...)
		if out := z.redis.Do(append(append(eval, service+"."), call[1:]...)...); !strings.HasPrefix(out, "OK") {
			return fmt.Errorf("%s: %s", call[0], out)
		}
	}
	return nil
}

func jsonOf(head string, properties []string) string {
	if len(properties) == 2 {
		head += fmt.Sprintf(",%q:%s", properties[0], properties[1])
	}
	return head + "}"
}

// byAgent runs an agent for the first server, beside a second one of an operator.
func (z *zeros) byAgent(service string, _, ofServer []string) error {
	text := fmt.Sprintf("redis: [%q]\nservices: [%s]\nserver: %s\naddresses: [192.0.2.1]\ndrain: 0\ninterval: 1\n", z.url, service, serverID(ofServer))
	if p := withoutID(ofServer); p != nil {
		text += p[0] + ": " + p[1] + "\n"
	}
	path := filepath.Join(z.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if err := z.run("agent", "-c", path, "--check"); err != nil {
		return err
	}
	if err := z.byCommand(service, []string{"slow_start", "0"}, nil); err != nil {
		return err
	}
	if err := z.run("server", "delete", service, "a"); err != nil {
		return err
	}
	start(z, "agent", command(z, "farm"), "agent", "-c", path)
	return nil
}
