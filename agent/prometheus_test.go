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

func TestSelectors(t *testing.T) {
	text, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in   string
		want float64 // -1 is nothing
		err  string
	}{
		{"http_requests_in_flight", 12, ""},
		{"  workers_busy / workers ", 0.4, ""},
		{"workers_busy{pool=\"a\"} / workers{pool=\"a\"}", 0.3, ""},
		{"workers_busy/16", 0.5, ""},
		{`http_requests_total{code=~"5.."}`, 5, ""},
		{`http_requests_total{code!="200"}`, 15, ""},
		{`http_requests_total{code!~"2..|5..", method = "get",}`, 10, ""},
		{`http_requests_total{zone=""}`, 1015, ""},
		{`http_requests_total{}`, 1015, ""},
		{`http_requests_total{code="418"}`, -1, ""},
		{"broken", -1, ""},
		{"absent", -1, ""},
		{"workers / absent", -1, ""},
		{"workers / http_requests_total{code=\"418\"}", -1, ""},
		{"", 0, "expected a metric name"},
		{"1abc", 0, "expected a metric name"},
		{"a b", 0, "expected / and what to divide by"},
		{"a / b c", 0, "expected nothing after the metric"},
		{"a / 0", 0, "above 0"},
		{"a / -1", 0, "above 0"},
		{"a / NaN", 0, "above 0"},
		{`a{b}`, 0, "expected label"},
		{`a{b="c"`, 0, "expected label"},
		{`a{b="c" d="e"}`, 0, "expected label"},
		{`a{b=~"("}`, 0, "missing closing )"},
		{`a{b="\q"}`, 0, "expected a quoted string"},
	} {
		r, err := parseRatio(tt.in)
		if wantError(t, err, tt.err) {
			continue
		}
		names := map[string]bool{r.over.name: true}
		if r.under != nil {
			names[r.under.name] = true
		}
		e, err := readExposition(bytes.NewReader(text), names)
		wantError(t, err, "")
		got := -1.0
		if p := e.ratio(&r); p != nil {
			got = *p
		}
		if got != tt.want {
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
		{"the first time there are no rates", 0, nil, "utilization=0.4 in_flight=12"},
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
		}, "rps=0 eps=0 in_flight=12"},
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
	_, err = p.collect(soon(t), now)
	wantError(t, err, "none of the metrics is exposed")
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
		{"an endless line", flood("###########"), "token too long"},
		{"endless series", flood(strings.Repeat("a{b=\"c\"} 1\n", 1000)), "more than 10000 series"},
		{"gzip bomb", bomb, "larger than allowed"},
		{"slow drip", drip, "deadline exceeded"},
		{"a large header", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeader))
		}, "exceeded"},
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, "status 503"},
		{"nonsense", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a one\n") }, "expected float"},
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
			p.client.CloseIdleConnections()
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
