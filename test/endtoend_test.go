package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// site is three web servers of different speed with an agent each, a Redis, and a CoreDNS.
type site struct {
	t       testing.TB
	redis   string // URL
	dns     *coredns
	port    int
	servers map[string]*siteServer // by id
}

type siteServer struct {
	id, addr string
	service  time.Duration // how long it works on a request
	collect  string        // of its agent's configuration
	web      *webServer
	agent    *process
}

const siteName = "www.example.org."

// Two servers are measured through an exposition, the third says itself how it fares.
const (
	byPrometheus = `
  - prometheus:
      url: http://%s/metrics
      utilization: workers_busy / workers
      in_flight: http_in_flight
      rps: http_requests_total
`
	byORCA = `
  - orca:
      url: http://%s/load
`
)

func newSite(t testing.TB, redis string) *site {
	s := &site{t: t, redis: redis, port: freePort(t)}
	s.servers = map[string]*siteServer{
		"fast":   {id: "fast", addr: "127.0.0.11", service: 25 * time.Millisecond, collect: byPrometheus},
		"middle": {id: "middle", addr: "127.0.0.12", service: 50 * time.Millisecond, collect: byORCA},
		"slow":   {id: "slow", addr: "127.0.0.13", service: 100 * time.Millisecond, collect: byPrometheus},
	}
	// The shares that one resolver is given tell of utilisation under headroom; predict leaves a resolver where it is.
	s.farm("service", "set", siteName, "--policy", "headroom", "--ttl", "1", "--slow-start", "2s", "--drain", "2s")
	for _, server := range s.servers {
		s.bringUp(server)
	}
	s.dns = startCoreDNS(t, fmt.Sprintf(`example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis %s
    }
}
`, redis))
	return s
}

// farm runs the command line.
func (s *site) farm(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(command(s.t, "farm"), append([]string{"--redis", s.redis}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("farm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

const siteWorkers = 8

// bringUp starts a server and its agent.
func (s *site) bringUp(server *siteServer) {
	s.t.Helper()
	addr := server.addr + ":" + strconv.Itoa(s.port)
	server.web = startWebServer(s.t, addr, siteWorkers, server.service)
	s.startAgent(server)
}

func (s *site) startAgent(server *siteServer) {
	s.t.Helper()
	addr := server.addr + ":" + strconv.Itoa(s.port)
	conf := fmt.Sprintf("redis: [%s]\nserver: %s\nservices: [%s]\naddresses: [%s]\nport: %d\ninterval: 200ms\nlease: 1s\ndrain: 1s\ncollect:%s"+
		"probe:\n  - http:\n      url: http://%[7]s/health\n",
		s.redis, server.id, siteName, server.addr, s.port, fmt.Sprintf(server.collect, addr), addr)
	file := filepath.Join(s.t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	server.agent = start(s.t, "agent of "+server.id, command(s.t, "farm"), "agent", "-c", file)
}

// phase is how the answers, and the requests that followed them, were shared out.
type phase struct {
	name     string
	took     time.Duration      // until the answers had followed
	answers  map[string]float64 // by address, of 1
	requests map[string]int
}

// row is a line of the table of the run.
func (s *site) row(p phase) string {
	total := 0
	for _, n := range p.requests {
		total += n
	}
	line := fmt.Sprintf("%-22s%6.1fs", p.name, p.took.Seconds())
	for _, id := range []string{"fast", "middle", "slow"} {
		addr := s.servers[id].addr
		line += fmt.Sprintf("%9.1f%% %6.1f%%", 100*p.answers[addr], 100*float64(p.requests[addr])/float64(max(total, 1)))
	}
	return line
}

// TestEndToEnd is the main job on real parts: the answers follow the servers, and no lookup fails.
func TestEndToEnd(t *testing.T) {
	s := newSite(t, storetest.Start(t).URL)
	fast, middle, slow := s.servers["fast"], s.servers["middle"], s.servers["slow"]
	awaitGiven(t, s.dns.addr, siteName, fast.addr, middle.addr, slow.addr)
	asked := startProber(t, s.dns.addr, siteName)
	crowd := startLoad(t, s.dns.addr, siteName, strconv.Itoa(s.port), 50, 100)

	var phases []phase
	settle := func(name string, settled func(shares map[string]float64) bool) map[string]float64 {
		t.Helper()
		p := s.settle(asked, crowd, name, settled)
		phases = append(phases, p)
		return p.answers
	}

	steady := settle("steady", func(is map[string]float64) bool {
		return is[fast.addr] > 1.3*is[middle.addr] && is[middle.addr] > 1.3*is[slow.addr] && is[slow.addr] > 0
	})

	fast.web.setService(2 * fast.service)
	slowed := settle("fast slowed by half", func(is map[string]float64) bool {
		return is[fast.addr] < 0.85*steady[fast.addr] && is[middle.addr] > 1.1*steady[middle.addr]
	})

	middle.web.kill()
	middle.agent.kill()
	settle("middle killed", func(is map[string]float64) bool {
		return is[middle.addr] == 0 && is[fast.addr] > slowed[fast.addr]
	})

	s.farm("drain", siteName, slow.id)
	settle("slow drained", func(is map[string]float64) bool { return is[middle.addr] == 0 && is[slow.addr] == 0 })

	fast.web.setService(fast.service)
	s.bringUp(middle)
	s.farm("ready", siteName, slow.id)
	settle("all brought back", func(is map[string]float64) bool {
		return is[fast.addr] > 1.1*slowed[fast.addr] && is[middle.addr] > 0.1 && is[slow.addr] > 0.05
	})

	table := fmt.Sprintf("%-22s%7s%18s%18s%18s\n%-22s%7s%18s%18s%18s\n", "", "answers", "fast", "middle", "slow",
		"phase", "follow", "answers requests", "answers requests", "answers requests")
	for _, p := range phases {
		table += s.row(p) + "\n"
	}
	t.Logf("each server's share:\n%s", table)
	crowd.allServed()
	asked.noneFailed()
}

// settle waits until the answers are shared out as they should be, then for requests that followed such answers.
func (s *site) settle(asked *prober, crowd *load, name string, settled func(map[string]float64) bool) phase {
	s.t.Helper()
	began := time.Now()
	var is map[string]float64
	for end := began.Add(patience); ; {
		if is = shares(asked.fresh(sample)); settled(is) {
			break
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: the answers do not follow: %v\n%s", name, is, s.farm("status"))
		}
	}
	took := time.Since(began)
	// The clients' own caches outlive the change by the TTL, which is over by then.
	asked.fresh(3 * sample / 2)
	crowd.count()
	seen := asked.fresh(2 * sample)
	return phase{name: name, took: took, answers: shares(seen), requests: crowd.count()}
}
