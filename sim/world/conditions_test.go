package world

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
)

// parsed reads a scenario of the test's own.
func parsed(t *testing.T, text string) *Scenario {
	t.Helper()
	s, err := Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// runTo runs a new world up to a time and returns it as it is then.
func runTo(t *testing.T, s *Scenario, policy string, end float64) *World {
	t.Helper()
	w, err := newWorld(s, policy, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.run(end)
	return w
}

// run handles all that happens up to a time.
func (w *World) run(end float64) {
	for w.events[0].at <= end {
		w.handle(w.events.pop())
	}
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > by {
		t.Errorf("%s: expected %.4g within %.3g, got %.4g", what, want, by, got)
	}
}

// offered is the work that all servers were offered in each window, requests.
func offered(s *Scenario, r *Result) []float64 {
	sizes := s.sizes()
	work := make([]float64, len(r.Series))
	for i, sample := range r.Series {
		for j, u := range sample.Utilization {
			work[i] += u * window * float64(sizes[j]*s.UnitCores) / s.ServiceMS * 1000
		}
	}
	return work
}

// TestSameWorkUnderEveryPolicy: every page comes at its time and costs what it costs, whoever steers.
func TestSameWorkUnderEveryPolicy(t *testing.T) {
	t.Parallel()
	s := parsed(t, `
servers: [{count: 2, size: 1}, {count: 2, size: 4}]
duration: 200
from: 20
churn: 1
think_tail: 2
keep_alive: 8
fixed_order: 0.3
report_loss: 0.2
report_noise: 0.1
report_delay: 1
load: [{at: 0, factor: 0.2}, {at: 100, factor: 1}]
elsewhere: [{count: 1, size: 4, part: 0.2}]
events: [{kind: flash, at: 80, until: 120, count: 9, factor: 1.5}]`)
	var want []float64
	for _, p := range Policies() {
		r, err := Run(s, p.Name, 7, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := offered(s, &r)
		if want == nil {
			want = got
		}
		for i := range got {
			if math.Abs(got[i]-want[i]) > 1e-6*want[i]+1e-6 {
				t.Fatalf("%s: expected the servers to be offered %.3f requests in window %d, got %.3f", p.Name, want[i], i, got[i])
			}
		}
	}
}

func TestLateReports(t *testing.T) {
	w := runTo(t, parsed(t, "heartbeat: 2\nreport_delay: 10"), "uniform", 9.9)
	for i := range w.db.members {
		if w.db.members[i].Reported {
			t.Fatalf("Expected no report to have arrived after 9.9 s, got one of server %d", i)
		}
	}
	w.run(12.1)
	for i := range w.db.members {
		if m := &w.db.members[i]; !m.Reported || m.LeaseEnd < ms(10+6) || m.LeaseEnd > ms(12.1+6) {
			t.Errorf("Expected one of the reports of server %d to have arrived, got %+v", i, m)
		}
	}
}

func TestLostReports(t *testing.T) {
	t.Parallel()
	serial := func(more string) float64 {
		return float64(runTo(t, parsed(t, "duration: 1000\nutilization: 0.01\n"+more), "uniform", 1000).db.serial)
	}
	near(t, "reports that arrive", serial("report_loss: 0.3")/serial(""), .7, .03)
}

func TestNoisyReports(t *testing.T) {
	t.Parallel()
	text := "duration: 400\nsmoothing: 1\nutilization: 0.3\nzipf: 0\nservers: [{count: 12, size: 4}]\nservice_ms: 100\n"
	still, noisy := runTo(t, parsed(t, text), "uniform", 0), runTo(t, parsed(t, text+"report_noise: 0.2"), "uniform", 0)
	var utilization, rps []float64
	for end := 20.0; end < 400; end += 2 {
		still.run(end)
		noisy.run(end)
		for i := range still.db.members {
			a, b := still.db.members[i].Report, noisy.db.members[i].Report
			utilization = append(utilization, b.Utilization/a.Utilization)
			rps = append(rps, b.RPS/a.RPS)
		}
	}
	for what, x := range map[string][]float64{"utilization": utilization, "rps": rps} {
		mean, sigma := moments(x)
		near(t, what+": mean of reported over true", mean, 1, .02)
		near(t, what+": deviation of reported over true", sigma, .2, .02)
	}
}

func moments(x []float64) (mean, sigma float64) {
	var sum, squares float64
	for _, v := range x {
		sum, squares = sum+v, squares+v*v
	}
	mean = sum / float64(len(x))
	return mean, math.Sqrt(squares/float64(len(x)) - mean*mean)
}

func TestServersWithoutAgents(t *testing.T) {
	w := runTo(t, parsed(t, `
servers: [{count: 2, size: 1}, {count: 2, size: 2}, {count: 2, size: 4}]
unreported: [{count: 1, size: 1}]
hand_written: [{count: 1, size: 2, utilization: 0.3, rps: 40}, {count: 1, size: 4, utilization: 0.6}]`), "uniform", 60)
	for i, want := range []struct {
		reported         bool
		utilization, rps float64 // where they are known
	}{{false, -1, -1}, {reported: true}, {true, .3, 40}, {reported: true}, {true, .6, -1}, {reported: true}} {
		m := &w.db.members[i]
		if m.Reported != want.reported {
			t.Errorf("server %d: expected reported %v", i, want.reported)
		}
		if agent := i%2 == 1; agent {
			if m.Report.RPS <= 0 || m.LeaseEnd > ms(70) {
				t.Errorf("server %d: expected the report of an agent, got %+v", i, m)
			}
			continue
		}
		if m.Report.Utilization != want.utilization || m.Report.RPS != want.rps {
			t.Errorf("server %d: expected %g at %g/s, got %+v", i, want.utilization, want.rps, m.Report)
		}
		if want.reported && m.LeaseEnd != ms(steer.MaxLease) {
			t.Errorf("server %d: expected a report that stands for a day, got %d ms", i, m.LeaseEnd)
		}
	}
}

func TestUtilizationAlone(t *testing.T) {
	w := runTo(t, parsed(t, "utilization_alone: true"), "uniform", 60)
	for i := range w.db.members {
		if r := w.db.members[i].Report; r.RPS != -1 || r.Utilization <= 0 {
			t.Errorf("Expected a report of utilization alone, got %+v", r)
		}
	}
}

func TestJoining(t *testing.T) {
	for text, want := range map[string]bool{"": false, "joining: true": true} {
		w := runTo(t, parsed(t, text), "uniform", 10)
		if got := w.db.members[0].Joined > 0; got != want {
			t.Errorf("%q: expected a slow start %v, got %v", text, want, got)
		}
	}
}

// TestElsewhere: load from elsewhere shows where it is, and in the requests a second if it is counted.
func TestElsewhere(t *testing.T) {
	w := runTo(t, parsed(t, `
servers: [{count: 4, size: 4}]
service_ms: 20
utilization: 0.001
smoothing: 0.1
duration: 600
elsewhere: [{count: 1, part: 0.3}, {count: 2, part: 0.2, uncounted: true}, {count: 3, part: 0.4, at: 100, until: 200}]`), "uniform", 600)
	for i, want := range []struct{ utilization, rps float64 }{{.5, 240}, {.2, 0}, {0, 0}, {0, 0}} {
		r := w.db.members[i].Report
		near(t, "utilization", r.Utilization, want.utilization, .03)
		near(t, "requests a second", r.RPS, want.rps, 15)
	}
	near(t, "requests of clients", float64(w.meter.asked), .001*3200*360, 150)
}

func TestFactorOfTheLoad(t *testing.T) {
	s := parsed(t, "load: [{at: 10, factor: 0.5}, {at: 20, factor: 2}, {at: 40, factor: 0}]")
	for at, want := range map[float64]float64{0: .5, 10: .5, 15: 1.25, 20: 2, 30: 1, 40: 0, 99: 0} {
		near(t, "factor", s.factorAt(at), want, 1e-9)
	}
	near(t, "peak", s.peakFactor(), 2, 0)
	near(t, "factor of no profile", Base.factorAt(5), 1, 0)
}

func TestLoadFollowsItsProfile(t *testing.T) {
	s := parsed(t, "pages: 1\nutilization: 0.5\nduration: 500\nload: [{at: 100, factor: 0.2}, {at: 400, factor: 1.2}]")
	r, err := Run(s, "uniform", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	work := offered(s, &r)
	for i, sample := range r.Series {
		middle := sample.At - window/2
		want := s.Utilization * s.Capacity() * window * s.factorAt(middle)
		near(t, "work in a window", work[i]/want, 1, .12)
	}
}

func TestThinkTime(t *testing.T) {
	for tail, longest := range map[float64]float64{0: math.Exp(-5), 3: math.Pow(2./3/5, 3)} { // chance of five times the mean
		s := Base
		s.Think, s.ThinkTail = 4, tail
		w := &World{s: &s, chance: newChance()}
		var sum, long float64
		const n = 400_000
		for i := range n {
			x := w.think(&session{seed: uint64(i), pages: 2})
			sum += x
			if x > 20 {
				long++
			}
		}
		near(t, "mean pause", sum/n, 4, .05)
		near(t, "long pauses", long/n/longest, 1, .1)
	}
}

// counting counts what it is asked.
type counting struct {
	policy
	answers int
}

func (c *counting) scope() scope { return perSession }

func (c *counting) answer(replica int, r *resolver, t float64) (answer, uint32) {
	c.answers++
	return c.policy.answer(replica, r, t)
}

// TestKeepAlive: a client looks up once a session, and after each pause that its connection does not survive.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	lookups := func(more string) float64 {
		s := parsed(t, "pages: 5\nthink: 10\nutilization: 0.2\nduration: 600\n"+more)
		w, err := newWorld(s, "uniform", 1)
		if err != nil {
			t.Fatal(err)
		}
		c := &counting{policy: w.policy}
		w.policy = c
		w.run(s.Duration)
		return float64(c.answers)
	}
	near(t, "lookups a session", lookups("keep_alive: 10")/lookups(""), 1+4*math.Exp(-1), .1)
}

func TestFixedOrder(t *testing.T) {
	s := parsed(t, "fixed_order: 0.25\nresolvers: 4000\nfirst_taken: 0")
	w := runTo(t, s, "uniform", 0)
	fixed := 0.0
	for i := range w.resolvers {
		r := &w.resolvers[i]
		fixed += b2f(r.fixed)
		want := 3
		if r.fixed {
			want = 0
		}
		if got := w.first(r, .9, 4); got != want {
			t.Fatalf("Expected the client to take address %d, got %d", want, got)
		}
	}
	near(t, "part of the resolvers", fixed/4000, .25, .03)
}

func TestTable(t *testing.T) {
	for text, want := range map[string]int{
		"table: 6": 64, "resolvers: 500": 4096, "resolvers: 1": 256, "resolvers: 50000": 1 << steer.DefaultResolvers,
		"resolvers: 1\nchurn: 1\nduration: 1000": 1 << 13,
	} {
		w := runTo(t, parsed(t, text), "predict", 0)
		if _, room := w.policy.(*predicted).learned[0].Tracked(); room != want {
			t.Errorf("%q: expected room for %d resolvers, got %d", text, want, room)
		}
	}
}

// TestSharing: replicas tell each other each kind of knowledge in its own period.
func TestSharing(t *testing.T) {
	var often, seldom int
	w := runTo(t, parsed(t, ""), "uniform", 0)
	w.policy = newPredicted(
		sharing{1, func(*predicted, float64) { often++ }},
		sharing{7, func(*predicted, float64) { seldom++ }},
	)(w, rand.New(rand.NewPCG(1, 1)), 0)
	w.run(70)
	if often != 70 || seldom != 10 {
		t.Errorf("Expected 70 and 10 times in 70 s, got %d and %d", often, seldom)
	}
}

// TestDue: servers are due what makes them equally utilized, with what they have from elsewhere.
func TestDue(t *testing.T) {
	s := parsed(t, `
servers: [{count: 2, size: 1}, {count: 1, size: 2}]
unit_cores: 1
service_ms: 10
elsewhere: [{count: 1, size: 2, part: 0.5}, {count: 1, size: 1, part: 0.9, at: 50}]`)
	w := runTo(t, s, "uniform", 0)
	for i, want := range []float64{50, 50, 0} { // 200 requests a second in all, of 400
		near(t, "due", w.due(0, 100)[i], want, 1e-9)
	}
	w.machines[1].drained = true
	for i, want := range []float64{60, 0, 20} { // 180 of 300
		near(t, "due beside a drained one", w.due(0, 80)[i], want, 1e-9)
	}
}

// TestRightWeights: the weights are what servers are due, whatever was declared.
func TestRightWeights(t *testing.T) {
	s := parsed(t, "servers: [{count: 1, size: 1}, {count: 1, size: 3}]\nundeclared: true\nelsewhere: [{count: 1, size: 1, part: 1}]\nutilization: 0.5")
	w := runTo(t, s, "weighted+right", 0)
	small, large := *w.db.members[0].Server.Weight, *w.db.members[1].Server.Weight
	if small != 0 || large < 200 {
		t.Errorf("Expected the server that is full already to have no weight, got %g and %g", small, large)
	}
}

// TestKeepRoot: headroom moves load from small servers to large ones and leaves the whole the same.
func TestKeepRoot(t *testing.T) {
	w := runTo(t, parsed(t, "servers: [{count: 3, size: 1}, {count: 1, size: 8}]"), "uniform", 0)
	even := w.due(0, 600)
	due := w.due(0, 600)
	sum := w.keepRoot(due, rootHeadroom, 0)
	near(t, "sum", sum, 600, 1e-6)
	if !(due[0] < even[0] && due[3] > even[3] && due[0] > .7*even[0]) {
		t.Errorf("Expected less for the small servers, got %.1f instead of %.1f", due, even)
	}
}

// TestFluidFloors: what random sessions can reach lies above what dealing them out can, and headroom lowers it.
func TestFluidFloors(t *testing.T) {
	t.Parallel()
	s := parsed(t, "duration: 640\nfrom: 40")
	p99 := func(policy string) float64 {
		r, err := Run(s, policy, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.P99Ratio
	}
	near(t, "ideal", p99("ideal"), 1.13, .03)
	near(t, "fluid", p99("fluid"), 1.22, .04)
	near(t, "fluid+root", p99("fluid+root"), 1.17, .05)
}

// TestLargeFarm: 400 servers and 50,000 resolvers are simulated, in seconds.
func TestLargeFarm(t *testing.T) {
	t.Parallel()
	s := parsed(t, `
servers: [{count: 100, size: 1}, {count: 100, size: 2}, {count: 100, size: 4}, {count: 100, size: 8}]
service_ms: 400
resolvers: 50000
duration: 30
from: 10`)
	start := time.Now()
	r, err := Run(s, "predict", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("simulated in %v, %d requests", time.Since(start), r.Requests)
	if want := s.Utilization * s.Capacity() * 20; math.Abs(float64(r.Requests)/want-1) > .1 {
		t.Errorf("Expected about %.0f requests, got %d", want, r.Requests)
	}
}

// TestFarms: the farms differ in what they are called and in what they are.
func TestFarms(t *testing.T) {
	farms, err := Farms()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range farms {
		for _, what := range []string{s.Name, s.Title} {
			if seen[what] || strings.TrimSpace(what) == "" {
				t.Errorf("Expected a name and a title of its own, got %q", what)
			}
			seen[what] = true
		}
	}
}
