package agent

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	orca "github.com/cncf/xds/go/xds/data/orca/v3"
)

// sane fails a fuzzer whose decoder let a number through that a report cannot carry, unless the check that every
// collector's word goes through holds it back.
func sane(t *testing.T, s Sample) {
	s.dropUnusable()
	for _, name := range numberNames {
		if p := s.number(name); *p != nil && (math.IsNaN(**p) || math.IsInf(**p, 0) || **p < 0 || **p > maxAmount) {
			t.Errorf("%s is %v", name, **p)
		}
	}
	if m := merge([]Sample{s}); len(m.Reason) > maxReason || strings.ContainsFunc(m.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("reason is %q", m.Reason)
	}
}

func FuzzExposition(f *testing.F) {
	text, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, s := range []string{"", "a 1\n", "workers_busy NaN\n", "workers_busy{pool=\"a\" 1\n", "http_requests_total 1e400\n", "workers_busy +Inf\nworkers 1\n"} {
		f.Add([]byte(s))
	}
	for _, tt := range expositionTests {
		body := strings.NewReplacer("busy", "workers_busy").Replace(tt.body)
		if len(body) < maxLine {
			f.Add([]byte(body))
			f.Add([]byte(body + "\n"))
		}
	}
	cfg := everything
	means, err := newMeanings(&cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := readExposition(bytes.NewReader(b), means.names(), len(b)%2 == 0, epoch)
		if err != nil {
			return
		}
		for name := range e.metrics {
			if !means.names()[name] {
				t.Errorf("kept %q, which nobody asked for", name)
			}
		}
		p := &prometheusCollector{means: means}
		sane(t, p.sample(e, epoch))
		sane(t, p.sample(e, epoch.Add(1)))
	})
}

// Whatever is accepted can be evaluated: it gives a number, or an error that says why not.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"a", "a / b", `a{b="c"} / 3`, `a{b=~"c|d",e!="f"}`, `a{b="\""}`, "a{", "a{}}", "1 - avg(rate(a[30s]))", "max(a / b) > bool 1",
		"clamp_max(a, b)", "sum(-a) + time() ^ 2", "irate(a[1m]) and b", "{\"x.y\"}", "count(sum(a))", "a == 1 or (b > 2 and a < 1)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var m meanings
		if expr, err := parseNumber(s); err == nil {
			m.numbers = []meaning{{"utilization", expr}}
		}
		m.health, _ = parseCondition(s)
		p := &prometheusCollector{means: &m, windows: m.newWindows()}
		e, err := readExposition(strings.NewReader("a{b=\"c\"} 1\na 2\nb 3\n"), m.names(), false, epoch)
		wantError(t, err, "")
		for i := range 3 {
			got := p.sample(e, epoch.Add(time.Duration(i)*time.Second))
			if len(m.numbers) > 0 && got.Utilization == nil && len(got.Absent) == 0 {
				t.Errorf("%q gives nothing, and does not say why", s)
			}
			sane(t, got)
		}
	})
}

func FuzzORCA(f *testing.F) {
	for _, tt := range orcaTests {
		f.Add(tt.header)
	}
	f.Add("BIN " + binary(f, &orca.OrcaLoadReport{CpuUtilization: 0.3, Eps: 1, NamedMetrics: map[string]float64{"a": 1}}))
	f.Fuzz(func(t *testing.T, header string) {
		r, err := parseORCA(header)
		if err != nil {
			return
		}
		s := heard{}.sample(r)
		for _, name := range numberNames {
			if p := s.number(name); *p != nil && (!usable(**p) || **p < 0) {
				t.Errorf("%q gives %s = %v", header, name, **p)
			}
		}
	})
}

func FuzzAgentCheck(f *testing.F) {
	for _, tt := range agentCheckTests {
		f.Add(strings.Join(tt.lines, "\n"))
	}
	f.Fuzz(func(t *testing.T, lines string) {
		var a agentCheck
		for line := range strings.SplitSeq(lines, "\n") {
			before := a
			if odd := a.take(line); odd != "" && !strings.Contains(strings.ToLower(line), strings.ToLower(odd)) {
				t.Errorf("%q: %q is odd, and not in it", line, odd)
			}
			if len(line) == 0 && a != before {
				t.Errorf("an empty line changes %+v to %+v", before, a)
			}
			s := a.sample()
			if s.dropUnusable(); len(s.Absent) > 0 {
				t.Errorf("%q gives %v", line, s.Absent)
			}
			sane(t, s)
		}
	})
}

func FuzzReadLine(f *testing.F) {
	for _, s := range []string{"", "up\n", "up", "up\r\ndown\n", strings.Repeat("x", 2*maxAgentLine)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, err := readLine(strings.NewReader(s))
		if err == nil && (len(line) > maxAgentLine || strings.ContainsAny(line, "\r\n") || !strings.HasPrefix(s, line)) {
			t.Errorf("%q gives %q", s, line)
		}
	})
}

func FuzzOutput(f *testing.F) {
	for _, tt := range outputTests {
		f.Add([]byte(tt.out))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseOutput(b); err == nil {
			sane(t, s)
		}
	})
}

func FuzzConnections(f *testing.F) {
	for _, file := range []string{"testdata/proc/net/tcp", "testdata/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := countEstablished(bytes.NewReader(b), 443)
		if err == nil && n > bytes.Count(b, []byte("\n")) {
			t.Errorf("%d connections in %d lines", n, bytes.Count(b, []byte("\n")))
		}
	})
}

func FuzzCgroup(f *testing.F) {
	for _, s := range []string{"max 100000", "150000 100000\n", "usage_usec 12\n", "", "1 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if cpus, err := parseCPUMax(s); err == nil && (!usable(cpus) || cpus < 0) {
			t.Errorf("%q gives %v", s, cpus)
		}
		statValue(s, "usage_usec")
	})
}

func FuzzCPUTimes(f *testing.F) {
	for _, s := range []string{"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\nintr 3\n", "cpu 1 2 3 4", "", "cpu 1152921504606846975 1152921504606846975 1 2\n"} {
		f.Add([]byte(s), []byte(s+"\n"))
	}
	f.Fuzz(func(t *testing.T, before, after []byte) {
		a, errA := parseCPUTimes(bytes.NewReader(before))
		b, errB := parseCPUTimes(bytes.NewReader(after))
		if errA != nil || errB != nil {
			return
		}
		if share, err := busyShare(a, b); err == nil && !(share >= 0 && share <= 1) {
			t.Errorf("%q, then %q: the share is %v", before, after, share)
		}
	})
}

func FuzzConfig(f *testing.F) {
	for _, tt := range parseTests[:len(parseTests)-1] {
		f.Add([]byte(tt.text))
	}
	for _, tt := range validateTests {
		f.Add([]byte(tt.text))
	}
	example, err := os.ReadFile("../contrib/farm-agent.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg, err := Parse(b)
		if err != nil || cfg.Validate() != nil || cfg.Reporter != "" {
			return
		}
		// What is valid can be registered.
		cfg = cfg.withDefaults()
		if cfg.Server == "" {
			cfg.Server = "web-1"
		}
		if cfg.Target == "" && len(cfg.Addresses) == 0 {
			cfg.Addresses = []string{"192.0.2.1"}
		}
		for _, s := range cfg.Services {
			if _, err := serverRecord(&cfg, s); err != nil {
				t.Errorf("%q is valid, and its server is not: %v", b, err)
			}
		}
	})
}
