package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// evaluate returns the value of an expression over an exposition.
func evaluate(t *testing.T, text, exposition string) (float64, error) {
	t.Helper()
	expr, err := parseNumber(text)
	if err == nil {
		err = checkReadings(expr)
	}
	if err != nil {
		return 0, err
	}
	names := make(map[string]bool)
	metricsOf(expr, names)
	e, err := readExposition(strings.NewReader(exposition), names, false, epoch)
	wantError(t, err, "")
	return (&evaluation{scrape: e, now: epoch}).amount(expr)
}

func TestExpressions(t *testing.T) {
	text, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in   string
		want float64
		err  string
	}{
		// What could be said before expressions means what it meant: series are summed up, then divided.
		{"http_requests_in_flight", 12, ""},
		{"  workers_busy / workers ", 0.4, ""},
		{"workers_busy{pool=\"a\"} / workers{pool=\"a\"}", 0.3, ""},
		{"workers_busy{pool=\"a\"} / workers{pool=\"b\"}", 0.3, ""},
		{"workers_busy/16", 0.5, ""},
		{`http_requests{code=~"5.."}`, 5, ""},
		{`http_requests{code!="200"}`, 15, ""},
		{`http_requests{code!~"2..|5..", method = "get",}`, 10, ""},
		{`http_requests{zone=""}`, 1015, ""},
		{`http_requests{}`, 1015, ""},
		{`{__name__="workers"}`, 20, ""},

		{"1 - workers_busy / workers", 0.6, ""},
		{"(workers - workers_busy) / workers", 0.6, ""},
		{"1 - sum(workers_busy) / sum(workers)", 0.6, ""},
		{"max(workers_busy / workers)", 0.5, ""},
		{"min(workers_busy / workers)", 0.3, ""},
		{"avg(workers_busy)", 4, ""},
		{"avg(workers_busy) * 2", 8, ""},
		{"count(workers)", 2, ""},
		{"count(http_requests_total)", 3, ""},
		{"sum(workers_busy > bool 4)", 1, ""},
		{"sum(4 < bool workers_busy)", 1, ""},
		{"workers_busy > bool 4", 1, ""},
		{"max(-workers_busy)", -3, ""},
		{"-workers_busy", -8, ""},
		{"abs(workers_busy - workers)", 12, ""},
		{"max(abs(workers_busy - workers))", 7, ""},
		{"clamp_max(workers_busy / workers, 0.25)", 0.25, ""},
		{"sum(clamp_max(workers_busy, 4))", 7, ""},
		{"sum(clamp_min(workers_busy, 2 ^ 2))", 9, ""},
		{"workers % 3", 2, ""},
		{"2 ^ 3 ^ 2", 512, ""},
		{"1 + 2 * 3 - 4 / 2", 5, ""},
		{"time() - 60", float64(epoch.Unix()) - 60, ""},
		{"max(sum(workers))", 20, ""},
		{"max(workers / sum(workers_busy))", 0, "no series of workers and sum(workers_busy) have equal labels"},
		{"http_requests / http_requests_total", 1, ""},

		{`http_requests{code="418"}`, 0, `no series matches http_requests{code="418"}`},
		{`http_requests{cod="200"}`, 0, "no series of http_requests has the label cod"},
		{"broken", 0, "broken is NaN"},
		{"max(broken)", 0, "max(broken) is NaN"},
		{"absent", 0, "absent is not exposed"},
		{"workers / absent", 0, "absent is not exposed"},
		{"max(workers / absent)", 0, "absent is not exposed"},
		{`workers / http_requests{code="418"}`, 0, "no series matches"},
		{"workers / (workers_busy - 8)", 0, "the divisor (workers_busy - 8) is 0"},
		{"max(workers / (workers_busy - workers_busy))", 0, "is +Inf"},
		{"requests", 0, "requests is a counter, expected rate(requests[30s])"},
	} {
		got, err := evaluate(t, tt.in, string(text)+more)
		if !wantError(t, err, tt.err) && got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

// more adds to the fixture what is a gauge in spite of its name, and a counter in spite of it.
const more = `http_requests{code="200",method="get"} 1000
http_requests{code="404",method="get"} 10
http_requests{code="500",method="get"} 5
# TYPE requests counter
requests 1015
`

// What is not in the subset is refused when the configuration is read, with the place.
func TestExpressionsRefused(t *testing.T) {
	for _, tt := range []struct{ in, err string }{
		{"", "character 1: no expression found in input"},
		{strings.Repeat("(", maxExpression) + "1", "an expression of 4097 octets, expected at most 4096"},
		{"1abc", "character 1: bad number or duration syntax"},
		{"a b", "character 3: unexpected identifier"},
		{"a / b c", "character 7: unexpected identifier"},
		{`a{b}`, "character 4: unexpected \"}\""},
		{`a{b="c"`, "unexpected end of input"},
		{`a{b="c" d="e"}`, "character 9: unexpected identifier"},
		{`a{b=~"("}`, "missing closing )"},
		{`a{b="\q"}`, "unknown escape sequence"},
		{"a / 0", "character 5: a divisor of 0, expected another number"},
		{"a / (0)", "character 6: a divisor of 0"},
		{"a / NaN", "character 5: NaN, expected a finite number"},
		{"1 - Inf", "character 5: +Inf, expected a finite number"},
		{"a_total", "character 1: a_total is a counter, expected rate(a_total[30s])"},
		{`1 - avg(node_cpu_seconds_total{mode="idle"})`, `character 9: node_cpu_seconds_total{mode="idle"} is a counter`},
		{`a / b_total`, ""},
		{`a_total / b`, "character 1: a_total is a counter"},
		{"a offset 5m", "character 1: offset and @ are not supported"},
		{"a @ 1", "character 1: offset and @ are not supported"},
		{`{b="c"}`, "character 1: expected the metric's name"},
		{`{__name__=~"a|b"}`, "character 1: expected the metric's name"},
		{"a[5m]", "character 1: \"a[5m]\" is not supported"},
		{"rate(a)", "expected type range vector in call to function \"rate\""},
		{"rate(a[2h])", "character 6: [2h0m0s], expected at most 1h0m0s"},
		{"rate(a[5m:1m])", "character 6: \"a[5m:1m]\", expected a metric and a window such as [30s]"},
		{"1 - histogram_quantile(0.9, a)", "character 5: histogram_quantile is not supported, expected one of abs, avg_over_time, clamp_max, clamp_min, delta, increase, irate, max_over_time, min_over_time, rate, time"},
		{"holt(a)", "unknown function with name \"holt\""},
		{"quantile(0.9, a)", "character 1: quantile is not supported, expected one of avg, count, max, min, sum"},
		{"sum by (x) (a)", "character 1: by and without are not supported"},
		{"sum without (x) (a)", "character 1: by and without are not supported"},
		{"a > 5", "character 1: \">\" leaves series out, expected \"> bool\", which is 1 or 0"},
		{"sum(a == 1)", "character 5: \"==\" leaves series out"},
		{"a and b", "character 1: and is not supported, expected one of !=, %, *"},
		{"a atan2 b", "atan2 is not supported"},
		{"a / on(x) b", "character 1: on, ignoring and group are not supported"},
		{"a / ignoring(x) group_left b", "on, ignoring and group are not supported"},
		{`"text"`, "is not supported, expected a number"},
		{"vector(1)", "vector is not supported"},
	} {
		expr, err := parseNumber(tt.in)
		if err == nil {
			err = checkReadings(expr)
		}
		wantError(t, err, tt.err)
	}
}

func TestConditions(t *testing.T) {
	const exposition = `up 1
down 0
status{state="UP"} 1
status{state="DOWN"} 0
size_bytes 5e9
not NaN
# TYPE requests_total counter
requests_total 7
`
	for _, tt := range []struct {
		in   string
		want bool
		err  string
	}{
		{"up", true, ""},
		{"down", false, ""},
		{"up == 1", true, ""},
		{"up != 1", false, ""},
		{"up == bool 0", false, ""},
		{`status{state="UP"}`, true, ""},
		{`status{state="DOWN"}`, false, ""},
		{"size_bytes < 1e9", false, ""},
		{"(size_bytes > 1e9 and up == 1)", true, ""},
		{"size_bytes > 1e9 and down == 1", false, ""},
		{"size_bytes < 1e9 or (up == 1)", true, ""},
		{"requests_total > 0", true, ""},
		{"time() - 60 > bool 0", true, ""},
		// What is unknown decides nothing, and does not hide what is known.
		{"absent", false, "absent is not exposed"},
		{"not", false, "not is NaN"},
		{"absent == 1 and up == 1", false, "absent is not exposed"},
		{"absent == 1 and up == 0", false, ""},
		{"up == 1 or absent == 1", true, ""},
		{"up == 0 or absent == 1", false, "absent is not exposed"},
		{"up and down", false, "character 1: \"up\" of \"and\", expected a comparison"},
		{"up == 1 and down", false, "character 13: \"down\" of \"and\", expected a comparison"},
		{"up == 1 unless down == 1", false, "unless is not supported, expected one of and, or"},
		{"up == 1 and on(x) down == 1", false, "on, ignoring and group are not supported"},
		{"sum(up == 1)", false, "leaves series out"},
	} {
		expr, err := parseCondition(tt.in)
		got := false
		if err == nil {
			names := make(map[string]bool)
			metricsOf(expr, names)
			e, rerr := readExposition(strings.NewReader(exposition), names, false, epoch)
			wantError(t, rerr, "")
			got, err = (&evaluation{scrape: e, now: epoch}).condition(expr)
		}
		if !wantError(t, err, tt.err) && got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

// everything asks for all that the fixture has.
var everything = Prometheus{
	Utilization: "workers_busy / workers",
	InFlight:    "http_requests_in_flight",
	RPS:         "http_requests_total",
	EPS:         `http_requests_total{code=~"5.."}`,
	Latency:     "http_request_duration_seconds",
}

func TestPrometheusRates(t *testing.T) {
	text, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	body := string(text)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
	cfg := everything
	cfg.URL = s.URL
	p, err := newPrometheus(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name    string
		after   time.Duration
		replace []string
		want    string
	}{
		{"the first time there are no rates", 0, nil,
			"utilization=0.4 in_flight=12 (rps: no rate yet) (eps: no rate yet) (latency: no rate yet)"},
		{"rates", 2 * time.Second, []string{
			`code="200",method="get"} 1000`, `code="200",method="get"} 1200`,
			`code="500",method="get"} 5`, `code="500",method="get"} 25`,
			"seconds_sum 50", "seconds_sum 61", "seconds_count 1015", "seconds_count 1235",
		}, "utilization=0.4 rps=110 eps=10 in_flight=12 latency=0.05"},
		{"nothing happened", 2 * time.Second, nil, "utilization=0.4 rps=0 eps=0 in_flight=12"},
		{"a reset counts from zero", 2 * time.Second, []string{
			`code="200",method="get"} 1200`, `code="200",method="get"} 40`,
		}, "utilization=0.4 rps=20 eps=0 in_flight=12"},
		{"a new series has no past", 2 * time.Second, []string{
			`http_requests_total{code="404"`, "http_requests_total{code=\"503\",method=\"get\"} 7777\nhttp_requests_total{code=\"404\"",
		}, "utilization=0.4 rps=0 eps=0 in_flight=12"},
		{"a metric that is gone says nothing", 2 * time.Second, []string{
			"http_request_duration", "renamed", "workers_busy", "renamed",
		}, "rps=0 eps=0 in_flight=12 (utilization: workers_busy is not exposed) (latency: http_request_duration_seconds_sum is not exposed)"},
	}
	now := epoch
	for _, step := range steps {
		now = now.Add(step.after)
		body = strings.NewReplacer(step.replace...).Replace(body)
		s, err := p.collect(soon(t), now)
		if wantError(t, err, "") {
			continue
		}
		t.Run(step.name, func(t *testing.T) { wantSample(t, s, step.want) })
	}
	body = "other 1\n"
	sample, err := p.collect(soon(t), now)
	wantError(t, err, "")
	wantSample(t, sample, "(utilization: workers_busy is not exposed) (in_flight: http_requests_in_flight is not exposed) "+
		"(rps: http_requests_total is not exposed) (eps: http_requests_total is not exposed) "+
		"(latency: http_request_duration_seconds_sum is not exposed)")
}

// flood writes text until the other side has had enough.
func flood(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

// bomb answers with far more than it sends: members of a gzip file that all say the same.
func bomb(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	z.Write(bytes.Repeat([]byte(strings.Repeat("#", 1023)+"\n"), 1<<10))
	z.Close()
	for n := 0; n < 4*maxExposition && r.Context().Err() == nil; n += 1 << 20 {
		w.Write(member.Bytes())
	}
}

// drip sends an octet now and then, for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.Context().Err() == nil {
		io.WriteString(w, "#")
		w.(http.Flusher).Flush()
		<-tick.C
	}
}

func TestForeignServersAreBounded(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a 1\n") })
	good := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a 1\n") }
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		err    string
	}{
		{"good", good, ""},
		{"endless comments", flood(strings.Repeat("# nothing\n", 1000)), "larger than allowed"},
		{"an endless line", flood("###########"), "larger than allowed"},
		{"endless series", flood(strings.Repeat("a{b=\"c\"} 1\n", 1000)), "more than 10000 series"},
		{"gzip bomb", bomb, "larger than allowed"},
		{"slow drip", drip, "deadline exceeded"},
		{"a large header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
		}, "exceeded"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "status 503"},
		{"a page for people", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html>sign in</html>")
		}, "text/html, expected an exposition"},
		{"another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
		}, "redirect to another host"},
		{"another path", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/metrics", http.StatusFound)
				return
			}
			good(w, r)
		}, ""},
		{"a circle", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusFound)
		}, "too many redirects"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.answer)
			p, err := newPrometheus(&Prometheus{URL: s.URL, RPS: "a"})
			wantError(t, err, "")
			ctx := soon(t)
			if tt.name == "slow drip" {
				ctx = brief(t)
			}
			_, err = p.collect(ctx, epoch)
			wantError(t, err, tt.err)
			p.http.close()
		})
	}
}

func TestCollectorWithoutServer(t *testing.T) {
	p, err := newPrometheus(&Prometheus{URL: "http://" + refused(t), RPS: "a"})
	wantError(t, err, "")
	_, err = p.collect(soon(t), epoch)
	wantError(t, err, "connection refused")

	silent := listen(t, hold)
	p, err = newPrometheus(&Prometheus{URL: "http://" + silent, RPS: "a"})
	wantError(t, err, "")
	if _, err = p.collect(brief(t), epoch); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}
