package agent

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded are the readings of series every 10 s; "_" is one that is missing.
var recorded = map[string]string{
	`cpu{cpu="0",mode="idle"}`: "100 109 117 126 131 140 149 155 160 169",
	`cpu{cpu="1",mode="idle"}`: "50 60 69 2 11 20 _ 38 47 55",
	`cpu{cpu="0",mode="user"}`: "10 11 13 14 19 20 21 25 30 31",
	`cpu{cpu="1",mode="user"}`: "20 20 21 1 2 3 _ 5 6 8",
	`late{a="1"}`:              "_ _ _ _ _ _ _ 400 410 425",
	`twice`:                    "7 9 1 4 2 8 9 3 5 6",
	`steady`:                   "5 5 5 5 5 5 5 5 5 5",
	`level{pool="a"}`:          "3 4 5 6 -5 4 3 2 1 7",
	`level{pool="b"}`:          "1 1 2 3 5 8 13 21 34 55",
	`size{pool="a"}`:           "10 10 10 10 10 10 10 10 10 10",
	`size{pool="b"}`:           "50 50 50 50 50 50 50 50 50 60",
}

// compared are expressions, and what they are in PromQL where that is something else: several series are summed up
// outside of aggregations.
var compared = []struct{ ours, promql string }{
	{`rate(cpu{cpu="0",mode="idle"}[35s])`, ""},
	{`rate(cpu{cpu="0",mode="idle"}[65s])`, ""},
	{`rate(cpu{cpu="1",mode="idle"}[35s])`, ""},
	{`rate(cpu{cpu="1",mode="idle"}[75s])`, ""},
	{`1 - avg(rate(cpu{mode="idle"}[35s]))`, ""},
	{`1 - avg(rate(cpu{mode="idle"}[75s]))`, ""},
	{`sum(rate(cpu{mode!="idle"}[75s])) / sum(rate(cpu[75s]))`, ""},
	{`rate(cpu{mode!="idle"}[75s]) / rate(cpu[75s])`, `sum(rate(cpu{mode!="idle"}[75s])) / sum(rate(cpu[75s]))`},
	{`max(1 - rate(cpu{mode="idle"}[45s]))`, ""},
	{`max by () (irate(cpu{mode="idle"}[35s]))`, ""},
	{`min(irate(cpu{mode="idle"}[35s]))`, ""},
	{`increase(twice[85s])`, ""},
	{`irate(twice[85s])`, ""},
	{`irate(twice[15s])`, ""},
	{`rate(twice[25s])`, ""},
	{`increase(late[65s])`, ""},
	{`rate(late[65s])`, ""},
	{`rate(steady[35s])`, ""},
	{`delta(level{pool="a"}[55s])`, ""},
	{`sum(delta(level[55s]))`, ""},
	{`delta(level[55s])`, "sum(delta(level[55s]))"},
	{`avg_over_time(level{pool="a"}[55s])`, ""},
	{`max(min_over_time(level[55s]))`, ""},
	{`min(max_over_time(level[55s]))`, ""},
	{`max(avg_over_time(level[55s]) / size)`, ""},
	{`max(level / size)`, ""},
	{`level / size`, "sum(level) / sum(size)"},
	{`1 - level / size`, "1 - sum(level) / sum(size)"},
	{`avg(level) - 2 * min(level) ^ 2 % 5`, ""},
	{`count(level > bool 20)`, ""},
	{`sum(level > bool 20)`, ""},
	{`sum(20 >= bool level)`, ""},
	{`max(-level)`, ""},
	{`sum(abs(5 - level))`, ""},
	{`abs(5 - level)`, "abs(5 - sum(level))"},
	{`sum(clamp_max(level, 20)) + sum(clamp_min(level, 20))`, ""},
	{`time() - max(size)`, ""},
	{`count({__name__="size",pool=~"a|b"})`, ""},
	{`sum(level{pool!~"a.*"})`, ""},
	{`sum(level{pool=""}) or vector(0)`, "refused"},
}

// TestExpressionsAsPrometheus compares expressions with Prometheus' own evaluation of the same readings, by promtool.
func TestExpressionsAsPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("skipped: promtool is missing; run make setup as root")
	}
	theirs := askPromtool(t, promtool)
	for _, tt := range compared {
		got, err := replay(t, tt.ours)
		if tt.promql == "refused" {
			wantError(t, err, "not supported")
			continue
		}
		want, ok := theirs[tt.promql+tt.ours]
		if wantError(t, err, "") || !ok {
			t.Errorf("%s: Prometheus has %v, %v", tt.ours, want, ok)
			continue
		}
		if math.Abs(got-want) > 1e-12*max(1, math.Abs(want)) {
			t.Errorf("%s: got %v, Prometheus has %v", tt.ours, got, want)
		}
	}
}

// askPromtool returns what Prometheus makes of what is compared, at the time of the last reading. A test of promtool
// prints what it got where it expected something else.
func askPromtool(t *testing.T, promtool string) map[string]float64 {
	var b strings.Builder
	b.WriteString("evaluation_interval: 10s\ntests:\n- interval: 10s\n  input_series:\n")
	for s, values := range recorded {
		fmt.Fprintf(&b, "  - {series: %q, values: %q}\n", s, values)
	}
	b.WriteString("  promql_expr_test:\n")
	for i, tt := range compared {
		promql := tt.promql
		if promql == "" {
			promql = tt.ours
		}
		if promql != "refused" {
			fmt.Fprintf(&b, "  - {expr: %q, eval_time: 90s, exp_samples: [{value: %d}]}\n", promql, 1e6+i)
		}
	}
	file := filepath.Join(t.TempDir(), "tests.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(promtool, "test", "rules", file).CombinedOutput()
	got := make(map[string]float64)
	answer := regexp.MustCompile(`(?s)exp: \{\} (\S+)\s+got: \{[^}]*\} (\S+)`)
	for _, m := range answer.FindAllStringSubmatch(string(out), -1) {
		id, err := strconv.ParseFloat(m[1], 64)
		wantError(t, err, "")
		tt := compared[int(id)-1e6]
		if got[tt.promql+tt.ours], err = strconv.ParseFloat(m[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) == 0 {
		t.Fatalf("promtool says %s", out)
	}
	return got
}

// replay evaluates an expression at the last of the recorded readings.
func replay(t *testing.T, text string) (float64, error) {
	m := &meanings{}
	expr, err := parseNumber(text)
	if err != nil {
		return 0, err
	}
	m.numbers = []meaning{{"utilization", expr}}
	ev := &evaluation{windows: m.newWindows()}
	for i := range 10 {
		ev.now = time.Unix(int64(10*i), 0)
		var b strings.Builder
		for s, values := range recorded {
			if v := strings.Fields(values)[i]; v != "_" {
				fmt.Fprintf(&b, "%s %s\n", s, v)
			}
		}
		ev.scrape, err = readExposition(strings.NewReader(b.String()), m.names(), false, ev.now)
		wantError(t, err, "")
		for _, w := range ev.windows {
			w.add(ev.scrape, ev.now, maxPoints)
		}
	}
	return ev.number(expr)
}

// feed gives readings of one series x, one each interval, to a collector, and returns the last sample.
func feed(t *testing.T, expr string, interval time.Duration, values ...string) Sample {
	p, err := newPrometheus(&Prometheus{URL: "http://127.0.0.1/", InFlight: expr})
	wantError(t, err, "")
	var s Sample
	for i, v := range values {
		now := epoch.Add(time.Duration(i) * interval)
		e, err := readExposition(strings.NewReader(v), p.names, false, now)
		wantError(t, err, "")
		s = p.sample(e, now)
	}
	return s
}

// Before the agent has watched for the whole window, a rate is that of the time since it began: Prometheus would take
// the counter for one that began then, and a server that idles would look busy for as long as the window is.
func TestRatesOfAYoungAgent(t *testing.T) {
	for _, tt := range []struct {
		name, expr string
		values     []string
		want       string
	}{
		{"first scrape", "rate(x[30s])", []string{"x 100"}, "(in_flight: no rate yet: rate(x[30s]))"},
		{"second scrape", "rate(x[30s])", []string{"x 100", "x 118"}, "in_flight=9"},
		{"third scrape", "rate(x[30s])", []string{"x 100", "x 118", "x 138"}, "in_flight=9.5"},
		{"increase", "increase(x[30s])", []string{"x 100", "x 118"}, "in_flight=270"},
		{"reset", "rate(x[30s])", []string{"x 100", "x 118", "x 2"}, "in_flight=5"},
		{"reset to a greater value is none", "rate(x[30s])", []string{"x 1", "x 118"}, "in_flight=58.5"},
		{"a series that appears", "rate(x[30s])", []string{"y 1", "x 118"}, "(in_flight: no rate yet: rate(x[30s]))"},
		{"one series has a rate, another not yet", "sum(rate(x[30s]))", []string{"x{a=\"1\"} 1", "x{a=\"1\"} 5\nx{a=\"2\"} 7"}, "in_flight=2"},
		{"misspelt", "rate(x[30s])", []string{"y 1", "y 2"}, "(in_flight: x is not exposed)"},
		{"other labels", "rate(x{a=\"1\"}[30s])", []string{"x 1", "x 2"}, "(in_flight: no series of x has the label a)"},
		{"gone for a moment", "rate(x[30s])", []string{"x 100", "x 118", "y 1"}, "in_flight=9"},
		{"NaN", "rate(x[30s])", []string{"x 100", "x NaN"}, "(in_flight: rate(x[30s]) is NaN)"},
		{"a gauge needs one reading", "max_over_time(x[30s])", []string{"x 100"}, "in_flight=100"},
	} {
		if got := show(feed(t, tt.expr, 2*time.Second, tt.values...)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	// After a gap that is longer than the window, the agent is young again.
	p, err := newPrometheus(&Prometheus{URL: "http://127.0.0.1/", InFlight: "rate(x[30s])"})
	wantError(t, err, "")
	for i, at := range []int{0, 2, 100, 104} {
		now := epoch.Add(time.Duration(at) * time.Second)
		e, err := readExposition(strings.NewReader(fmt.Sprintf("x %d", at*3)), p.names, false, now)
		wantError(t, err, "")
		got := show(p.sample(e, now))
		if want := []string{"(in_flight: no rate yet: rate(x[30s]))", "in_flight=3"}[i%2]; got != want {
			t.Errorf("at %d s: got %s, want %s", at, got, want)
		}
	}
}

// An idle machine can have idled for a little longer than the time between two readings: it is idle, and not unknown.
func TestIdleIsZero(t *testing.T) {
	for _, tt := range []struct{ idle, want string }{
		{"x 101.98", "cpu=0.01"},
		{"x 102.01", "cpu=0"},
		{"x 102.5", "(cpu: is -0.25, expected 0 to 1000)"},
	} {
		p, err := newPrometheus(&Prometheus{URL: "http://127.0.0.1/", CPU: "1 - avg(rate(x[30s]))"})
		wantError(t, err, "")
		var s Sample
		for i, body := range []string{"x 100", tt.idle} {
			now := epoch.Add(time.Duration(2*i) * time.Second)
			e, err := readExposition(strings.NewReader(body), p.names, false, now)
			wantError(t, err, "")
			s = p.sample(e, now)
		}
		s.dropUnusable()
		wantSample(t, s, tt.want)
	}
}

// What windows keep is bounded: in time, and, where series come and go, in number.
func TestWindowsAreBounded(t *testing.T) {
	p, err := newPrometheus(&Prometheus{URL: "http://127.0.0.1/", InFlight: "sum(rate(x[10m])) + max(max_over_time(x[1m]))", CPU: "y"})
	wantError(t, err, "")
	most := 0
	var last Sample
	for i := range 30 {
		now := epoch.Add(time.Duration(i) * 2 * time.Second)
		var b strings.Builder
		b.WriteString("y 1\n")
		for k := range 9_000 {
			fmt.Fprintf(&b, "x{id=\"%d-%d\"} 1\n", i, k)
		}
		e, err := readExposition(strings.NewReader(b.String()), p.names, false, now)
		wantError(t, err, "")
		last = p.sample(e, now)
		total := 0
		for _, w := range p.windows {
			kept := 0
			for _, t := range w.trails {
				kept += len(t.points)
			}
			if kept != w.points {
				t.Fatalf("a window counts %d points and has %d", w.points, kept)
			}
			total += kept
		}
		most = max(most, total)
	}
	if most == 0 || most > maxPoints {
		t.Errorf("windows kept %d points, want at most %d", most, maxPoints)
	}
	wantSample(t, last, "cpu=1 (in_flight: x[10m] has more than 200000 readings, expected fewer series or a shorter window)")

	s := feed(t, "rate(x[10s])", 2*time.Second, slices.Repeat([]string{"x 1"}, 1000)...)
	wantSample(t, s, "in_flight=0")
}
