package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unequalFarm is a service with a policy and servers of its own. Each server has an agent.
type unequalFarm struct {
	policy, name, port string
	servers            []*unequalServer
	agents             []*process
	crowd              *crowd // its clients
}

// unequalServer has siteWorkers, each of which works on a request for service.
type unequalServer struct {
	weight  int // declared
	service time.Duration
	collect string
	*webServer
}

// unequalServers are what each farm consists of. The largest bears two and a half times what the smallest do, and less
// than a third of all, so that answers of three addresses are in proportion, also when capacities are measured.
var unequalServers = []unequalServer{
	{weight: 2, service: 180 * time.Millisecond, collect: byPrometheus},
	{weight: 2, service: 180 * time.Millisecond, collect: byORCA},
	{weight: 4, service: 90 * time.Millisecond, collect: byPrometheus},
	{weight: 4, service: 90 * time.Millisecond, collect: byORCA},
	{weight: 5, service: 72 * time.Millisecond, collect: byPrometheus},
}

// unequalTTL is that of the answers.
const unequalTTL = 15 * time.Second

// newUnequalFarm starts the i-th farm.
func newUnequalFarm(t testing.TB, redis, policy string, i int) *unequalFarm {
	t.Helper()
	f := &unequalFarm{policy: policy, name: policy + ".example.org.", port: strconv.Itoa(freePort(t))}
	s := &site{t: t, redis: redis}
	s.farm("service", "set", f.name, "--policy", policy, "--ttl", unequalTTL.String(), "--slow-start", "2s")
	for j, server := range unequalServers {
		server.webServer = startWebServer(t, fmt.Sprintf("127.0.%d.%d:%s", i+2, j+1, f.port), siteWorkers, server.service)
		f.servers = append(f.servers, &server)
		f.startAgent(t, redis, j)
	}
	return f
}

// startAgent starts the agent of the j-th server. Its reports stand for long enough that a machine which is busy with
// other things does not silence it.
func (f *unequalFarm) startAgent(t testing.TB, redis string, j int) {
	t.Helper()
	s := f.servers[j]
	conf := fmt.Sprintf("redis: [%s]\nserver: server%d\nservices: [%s]\naddresses: [%s]\nweight: %d\n"+
		"interval: 500ms\nlease: 10s\ndrain: -1s\ncollect:%s",
		redis, j+1, f.name, s.host(), s.weight, fmt.Sprintf(s.collect, s.addr))
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	f.agents = append(f.agents, start(t, "agent of "+s.addr, command(t, "farm"), "agent", "-c", file))
}

// close ends the agents, all at a time, for each takes leave of the database.
func (f *unequalFarm) close() {
	f.crowd.stop()
	for _, a := range f.agents {
		a.signal(syscall.SIGTERM)
	}
}

func (s *webServer) host() string {
	host, _, _ := strings.Cut(s.addr, ":")
	return host
}

// addrs returns the addresses of the servers, sorted.
func (f *unequalFarm) addrs() []string {
	var all []string
	for _, s := range f.servers {
		all = append(all, s.host())
	}
	return all
}

var busyLine = regexp.MustCompile(`(?m)^busy_seconds_total (\S+)$`)

// busy returns for how many seconds the workers have been busy, ever.
func (s *webServer) busy() float64 {
	s.t.Helper()
	resp, err := http.Get("http://" + s.addr + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	line := busyLine.FindSubmatch(text)
	if line == nil {
		s.t.Fatalf("Expected busy_seconds_total from %s, got %s", s.addr, text)
	}
	busy, err := strconv.ParseFloat(string(line[1]), 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return busy
}

// reading is what a farm's servers said at one time.
type reading struct {
	at   time.Time
	busy []float64 // seconds, by server
}

// read asks all the servers.
func (f *unequalFarm) read() reading {
	r := reading{at: time.Now()}
	for _, s := range f.servers {
		r.busy = append(r.busy, s.busy())
	}
	return r
}

// evenness is how evenly the servers of a farm were utilised: of each window, the greatest utilisation, and that by the
// mean weighted by capacity. Windows slide by windowStep.
type evenness struct{ ratios, busiest []float64 }

const (
	window     = 10 * time.Second
	windowStep = 500 * time.Millisecond
)

// measure watches farms for a while.
func measure(farms []*unequalFarm, while time.Duration) []evenness {
	readings := make([][]reading, len(farms))
	tick := time.NewTicker(windowStep)
	defer tick.Stop()
	for range while/windowStep + 1 {
		<-tick.C
		for i, f := range farms {
			readings[i] = append(readings[i], f.read())
		}
	}
	all := make([]evenness, len(farms))
	for i, f := range farms {
		for j := range len(readings[i]) - int(window/windowStep) {
			all[i].add(f.utilisations(readings[i][j], readings[i][j+int(window/windowStep)]))
		}
	}
	return all
}

// utilisations returns those of the servers from one reading to another, and their mean.
func (f *unequalFarm) utilisations(from, to reading) (all []float64, mean float64) {
	load, capacity := 0.0, 0.0
	for i, s := range f.servers {
		u := (to.busy[i] - from.busy[i]) / to.at.Sub(from.at).Seconds() / siteWorkers
		all = append(all, u)
		load += u / s.service.Seconds()
		capacity += 1 / s.service.Seconds()
	}
	return all, load / capacity
}

func (e *evenness) add(utilisations []float64, mean float64) {
	most := slices.Max(utilisations)
	e.ratios = append(e.ratios, most/mean)
	e.busiest = append(e.busiest, most)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func p99(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)*99/100]
}
