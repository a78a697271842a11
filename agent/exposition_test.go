package agent

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// expositionTests are files with one oddity each, and beside it a line "workers 8" that must be read. What is wanted is
// busy as utilization, workers as in_flight.
var expositionTests = []struct{ name, body, want string }{
	{"plain", "busy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"no final newline", "busy 0.5\nworkers 8", "utilization=0.5 in_flight=8"},
	{"CRLF", "busy 0.5\r\nworkers 8\r\n", "utilization=0.5 in_flight=8"},
	{"blank at the end", "busy 0.5 \nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"tabs", "\tbusy\t0.5\t\nworkers\t8\n", "utilization=0.5 in_flight=8"},
	{"blank before the labels", "busy {pool=\"a\"} 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"blanks among the labels", "busy{ pool = \"a\" , } 0.5\nworkers{ } 8\n", "utilization=0.5 in_flight=8"},
	{"no blank behind the labels", "busy{pool=\"a\"}0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"empty lines", "\n\nbusy 0.5\n \n\nworkers 8\n\n", "utilization=0.5 in_flight=8"},
	{"byte order mark", "\uFEFFbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"exemplar", "busy 0.5 # {trace_id=\"abc\"} 1.0\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"exemplar with a time", "busy 0.5 1767323045 # {trace_id=\"a}b\"} 1.0 1767323045.1\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"a comment behind a sample", "busy 0.5 # half\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"milliseconds", "busy 0.5 1767323045000\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"seconds", "busy 0.5 1767323045.123\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"stale", "busy 0.5 1767320000000\nworkers 8\n", "in_flight=8 (utilization: line 1: its timestamp is 3045 s old, expected at most 300)"},
	{"a time from the future", "busy 0.5 1967323045000\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"no time", "busy 0.5 now\nworkers 8\n", "in_flight=8 (utilization: line 1: \"now\", expected a timestamp)"},
	{"UTF-8 name in quotes", "{\"busy\",pool=\"a\"} 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"UTF-8 name behind its labels", "{pool=\"a\", \"busy\"} 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"UTF-8 label", "busy{\"my.pool\"=\"a\"} 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"odd label values", "busy{a=\"x}\",b=\"\\\"{\",c=\"\\\\\",d=\"\\n\",e=\"# é\"} 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"two types", "# TYPE busy gauge\n# TYPE busy gauge\nbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"type behind its samples", "busy 0.5\n# TYPE busy gauge\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"unknown type", "# TYPE busy thermometer\nbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"a counter by its type", "# TYPE busy counter\nbusy 0.5\nworkers 8\n", "in_flight=8 (utilization: busy is a counter, expected rate(busy[30s]))"},
	{"bad escapes in HELP", "# HELP busy \\q \\\n# HELP\nbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"OpenMetrics' lines", "# TYPE busy gauge\n# UNIT busy ratio\n# HELP busy x\nbusy 0.5\nbuild_info{v=\"1\"} 1\nworkers 8\nreq_created 1.5e9\n# EOF\n", "utilization=0.5 in_flight=8"},
	{"garbage elsewhere", "other{ 5 5 5\n}}}\n=\n\"\n{\nbusy 0.5\nworkers 8\n\x00\xff\n", "utilization=0.5 in_flight=8"},
	{"garbage in the metric", "busy{pool=\"a\" 0.5\nworkers 8\n", "in_flight=8 (utilization: line 1: \"\", expected a value, and perhaps a timestamp)"},
	{"two garbage lines", "workers 8\nbusy zero\nbusy one\n", "in_flight=8 (utilization: line 2: expected float as value, got \"zero\")"},
	{"one pool's line is garbage", "workers 8\nbusy{pool=\"a\"} 0.25\nbusy{pool=\"b\"} x\n", "utilization=0.25 in_flight=8 (busy: line 3: expected float as value, got \"x\")"},
	{"no value", "busy\nworkers 8\n", "in_flight=8 (utilization: line 1: \"\", expected a value, and perhaps a timestamp)"},
	{"three values", "busy 1 2 3\nworkers 8\n", "in_flight=8 (utilization: line 1: \"1 2 3\", expected a value, and perhaps a timestamp)"},
	{"a label twice", "busy{a=\"1\",a=\"2\"} 0.5\nworkers 8\n", "in_flight=8 (utilization: line 1: duplicate label names for metric \"busy\")"},
	{"NaN", "busy NaN\nworkers 8\n", "in_flight=8 (utilization: busy is NaN)"},
	{"one of two is NaN", "busy{a=\"1\"} NaN\nbusy{a=\"2\"} 0.5\nworkers 8\n", "in_flight=8 (utilization: busy is NaN)"},
	{"Inf", "busy +Inf\nworkers 8\n", "in_flight=8 (utilization: busy is +Inf)"},
	{"too large", "busy 1e400\nworkers 8\n", "in_flight=8 (utilization: line 1: expected float as value, got \"1e400\")"},
	{"hexadecimal", "busy 0x1p-1\nworkers 8\n", "in_flight=8 (utilization: line 1: expected float as value, got \"0x1p-1\")"},
	{"a series twice, the same", "busy 0.5\nbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"a series twice, another", "busy{p=\"a\"} 0.5\nbusy{p=\"a\"} 0.6\nworkers 8\n", "utilization=0.5 in_flight=8 (busy: line 2: {p=\"a\"} is there twice, with 0.5 and 0.6; the first is taken)"},
	{"missing", "bussy 0.5\nworkers 8\n", "in_flight=8 (utilization: busy is not exposed)"},
	{"a long line elsewhere", "# HELP other " + strings.Repeat("x", 3*maxLine) + "\nbusy 0.5\nworkers 8\n", "utilization=0.5 in_flight=8"},
	{"a long line", "busy{a=\"" + strings.Repeat("x", 3*maxLine) + "\"} 0.5\nworkers 8\n", "in_flight=8 (utilization: line 1: longer than 65536 octets)"},
	{"a long last line", "workers 8\nbusy{a=\"" + strings.Repeat("x", 3*maxLine), "in_flight=8 (utilization: line 2: longer than 65536 octets)"},
	{"nothing", "", "(utilization: busy is not exposed) (in_flight: workers is not exposed)"},
	{"UTF-16", "\xff\xfeb\x00u\x00s\x00y\x00 \x001\x00\n\x00", "(utilization: busy is not exposed) (in_flight: workers is not exposed)"},
	{"the line's number", strings.Repeat("other 1\n", 200) + "busy x\nworkers 8\n", "in_flight=8 (utilization: line 201: expected float as value, got \"x\")"},
	{"the line's number among CRLF and comments", "# a\r\n\r\n# b\r\nworkers 8\r\nbusy x\r\n", "in_flight=8 (utilization: line 5: expected float as value, got \"x\")"},
}

func TestExpositionOddities(t *testing.T) {
	for _, tt := range expositionTests {
		for _, openMetrics := range []bool{false, true} {
			p, err := newPrometheus(&Prometheus{URL: "http://127.0.0.1/", Utilization: "busy", InFlight: "workers"})
			wantError(t, err, "")
			e, err := readExposition(strings.NewReader(tt.body), p.names, openMetrics, epoch)
			if wantError(t, err, "") {
				continue
			}
			if got := show(p.sample(e, epoch)); got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
			}
		}
	}
}

// scrape returns what a collector makes of answers, one every 2 seconds, of a content type.
func scrape(t *testing.T, cfg Prometheus, contentType string, bodies ...string) (out []Sample) {
	t.Helper()
	body := ""
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Accept"), "application/openmetrics-text;version=1.0.0;") {
			t.Errorf("asked for %q, want OpenMetrics first", r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	})
	cfg.URL = s.URL
	p, err := newPrometheus(&cfg)
	wantError(t, err, "")
	for i, b := range bodies {
		body = b
		sample, err := p.collect(soon(t), epoch.Add(time.Duration(i)*2*time.Second))
		wantError(t, err, "")
		out = append(out, sample)
	}
	return out
}

// A client library that names a counter without _total in the text format, and a metric with dots in underscores, may
// name both otherwise to those who ask for OpenMetrics in UTF-8. What an operator saw with curl is found all the same.
func TestOpenMetrics(t *testing.T) {
	const openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
	body := func(requests, busy float64) string {
		return fmt.Sprintf(`# TYPE requests counter
# UNIT requests requests
requests_total{code="200"} %g 1767323045.5 # {trace_id="4bf92f"} 1 1767323045.4
requests_created{code="200"} 1767320000.5
# TYPE build info
build_info{version="1.2"} 1
# TYPE "app.busy" gauge
{"app.busy",pool="a b"} %g
# TYPE took summary
took_sum %g
took_count %g
# EOF
`, requests, busy, requests/100, requests)
	}
	cfg := Prometheus{RPS: "requests", EPS: `requests_total{code="500"}`, Utilization: "app_busy / 4", InFlight: `{"app.busy", pool=~"a.*"}`, Latency: "took"}
	got := scrape(t, cfg, openMetrics, body(100, 2), body(120, 3), strings.TrimSuffix(body(140, 3), "# EOF\n"))
	wantSample(t, got[0], "utilization=0.5 in_flight=2 (rps: no rate yet) (eps: no rate yet) (latency: no rate yet)")
	wantSample(t, got[1], "utilization=0.75 rps=10 eps=0 in_flight=3 latency=0.01")
	wantSample(t, got[2], `utilization=0.75 rps=10 eps=0 in_flight=3 latency=0.01 (exposition: it ends without "# EOF", expected as of OpenMetrics)`)

	got = scrape(t, Prometheus{RPS: "requests", InFlight: "workers"}, openMetrics, "workers 3\n# EOF\nrequests_total 5\nworkers 4\n")
	wantSample(t, got[0], "in_flight=3 (rps: requests is not exposed) (workers: line 4: stands after # EOF)")
	// There were no errors yet, but a misspelt label is named.
	got = scrape(t, Prometheus{EPS: `requests_total{cod="500"}`}, "text/plain", "requests_total{code=\"200\"} 5\n", "requests_total{code=\"200\"} 5\n")
	wantSample(t, got[1], "(eps: no series of requests_total has the label cod)")
	// In the text format, x_total is another metric than x.
	got = scrape(t, Prometheus{RPS: "requests"}, "text/plain; version=0.0.4", "# TYPE requests counter\nrequests_total 5\n")
	wantSample(t, got[0], "(rps: requests is not exposed)")
}

// Histograms and summaries, native ones among them in so far as the text formats have them, are counters in parts.
func TestHistograms(t *testing.T) {
	body := func(n float64) string {
		return fmt.Sprintf("# TYPE took histogram\ntook_bucket{le=\"0.1\"} %[1]g # {id=\"a\"} 0.05\ntook_bucket{le=\"+Inf\"} %[2]g\ntook_sum %[3]g\ntook_count %[2]g\n", n/2, n, n/10)
	}
	cfg := Prometheus{Latency: "took", RPS: "took_count", EPS: `took_bucket{le="+Inf"}`, InFlight: `rate(took_sum[10s])`}
	got := scrape(t, cfg, "text/plain", body(100), body(120))
	wantSample(t, got[1], "rps=10 eps=10 in_flight=1 latency=0.1")
	got = scrape(t, Prometheus{Latency: "rate(took_sum[10s]) / rate(took_count[10s])"}, "text/plain", body(100), body(120), body(120))
	wantSample(t, got[0], "(latency: no rate yet: rate(took_sum[10s]))")
	wantSample(t, got[1], "latency=0.1")
}

// What is configured and absent is in each report's reason, and once in the log.
func TestAgentNamesWhatIsNotExposed(t *testing.T) {
	db := storetest.Start(t)
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "workers_busy 3\nworkers 0\nrequests_total 5\n")
	})
	cfg := rapid(db)
	cfg.Interval = 200 * time.Millisecond
	cfg.Collect = []Collect{{Prometheus: &Prometheus{
		URL: app.URL, Utilization: "workrs_busy / workers", CPU: "workers_busy / workers", RPS: "requests_total",
	}}}
	r := start(t, db, cfg)
	const reason = "collect[0].prometheus: utilization: workrs_busy is not exposed; cpu: the divisor workers is 0"
	r.awaitReport("web-1", "a report that names what is absent", func(rep *store.Report) bool {
		return rep.Reason == "utilization unknown; "+reason && rep.RPS != nil && *rep.RPS == 0 && rep.Seq > 3
	})
	if n := r.log.count("absent from the report"); n != 2 {
		t.Errorf("the log names what is absent %d times, want twice: once a number", n)
	}
	r.stop()
	wantError(t, r.end(), "")
}

// A health that is configured and cannot be decided is neither up nor down at once: the last one stands for the time hold,
// then the server is degraded, and named as such.
func TestHealthFromAMetric(t *testing.T) {
	body, status := "", http.StatusOK
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
	p, err := newPrometheus(&Prometheus{URL: app.URL, Health: "up"})
	wantError(t, err, "")
	s := source{name: "m", timeout: 20 * time.Second, collector: p, promised: p.promises(), policy: holdPolicy{health: time.Minute, numbers: 10 * time.Second}}
	for _, step := range []struct {
		at     int // seconds
		body   string
		status int
		health Health
		reason string
	}{
		{0, "down 1\n", 200, Degraded, "m: health: up is not exposed; health unknown, counts as degraded"},
		{2, "up 1\n", 200, Up, ""},
		{4, "up NaN\n", 200, Up, "m: health: up is NaN; health up, 2s old"},
		{6, "", 500, Up, "m: status 500, expected 200; health up, 4s old"},
		{64, "up one\n", 200, Degraded, "m: health: line 1: expected float as value, got \"one\"; health unknown, counts as degraded"},
		{66, "up 0\n", 200, Down, "up is false"},
		{68, "up_ 1\n", 200, Down, "m: health: up is not exposed; health down, 2s old"},
		{200, "up_ 1\n", 200, Down, "m: health: up is not exposed; health unknown, counts as down"},
		{202, "up 1\n", 200, Up, ""},
	} {
		body, status = step.body, step.status
		now := epoch.Add(time.Duration(step.at) * time.Second)
		o := s.ask(soon(t), now)
		if got := s.complete(&o, now); got.Health != step.health || got.Reason != step.reason {
			t.Errorf("at %d s: %s, %q, want %s, %q", step.at, got.Health, got.Reason, step.health, step.reason)
		}
	}
}
