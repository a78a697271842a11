package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/coredns-farm/farm/conf"
)

// minimal is the least an agent must be told.
const minimal = "redis: [redis://127.0.0.1]\nservices: [www.example.org]\naddresses: [192.0.2.1]\n"

// proberMinimal is the least a prober must be told.
const proberMinimal = `redis: [redis://127.0.0.1]
reporter: p1
servers:
  - server: web-1
    services: [www.example.org]
    probe: [{tcp: {address: "192.0.2.1:443"}}]
`

var parseTests = []struct{ name, text, err string }{
	{"minimal", minimal, ""},
	{"prober", proberMinimal, ""},
	{"empty", "", ""},
	{"unknown key", minimal + "intervall: 1s\n", `4:1: unknown field "intervall"`},
	{"unknown key of a collector", minimal + "collect:\n  - host: {prok: /proc}\n", `5:12: unknown field "prok"`},
	{"unknown key of a probe", minimal + "probe:\n  - http: {headers: {}, heders: {}}\n", `5:25: unknown field "heders"`},
	{"unknown collector", minimal + "collect:\n  - hoost: {}\n", `5:5: unknown field "hoost"`},
	{"unknown bare collector", minimal + "collect: [haproxy]\n", "expected host, connections, or a collector with its keys"},
	{"unknown key of a service", "services: [{nam: x}]\n", `unknown field "nam"`},
	{"twice", "port: 1\nport: 2\n", `2:1: mapping key "port" already defined`},
	{"a scalar for a list", "redis: redis://127.0.0.1\n", "1:8: string was used where sequence is expected"},
	{"a duration without its unit", "interval: 3\ndrain: 0\n", ""},
	{"no duration", "interval: soon\n", "1:11: interval: expected a duration, such as 2s"},
	{"a word in capitals", "collect: [HOST]\n", ""},
	{"text for a number", "port: https\n", "1:7: expected a number"},
	{"two documents", minimal + "---\nport: 1\n", "expected one YAML document"},
	{"not YAML", "redis: [\n", "1:8:"},
	{"a tag that panics the decoder", "services: !x y\n", "makes no sense"},
	{"too large", "# " + strings.Repeat("x", conf.MaxSize), "larger than"},
}

func TestParse(t *testing.T) {
	for _, tt := range parseTests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			wantError(t, err, tt.err)
		})
	}
}

func TestParseErrorsKeepPasswords(t *testing.T) {
	for _, text := range []string{
		"redis: redis://user:secret@127.0.0.1\n",
		"redis: [redis://user:secret@127.0.0.1]\nport: x\n",
		"redis: [redis://user:secret@127.0.0.1\n",
		"probe: [{http: {headers: {Authorization: secret}, x: 1}}]\n",
		"probe: [{http: {headers: [secret]}}]\n",
		"probe: [{http: {headers: secret}}]\n",
		"probe: [{http: {headers: {Authorization: secret}\n",
		"redis: [redis://user:secret@127.0.0.1]\nredis: [redis://user:secret@127.0.0.1]\n",
	} {
		if _, err := Parse([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error without the password", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	_, err := Load("/nowhere/agent.yaml")
	wantError(t, err, "no such file")
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte("x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path)
	wantError(t, err, path+": 1:1: unknown field")
}

func TestParseFillsIn(t *testing.T) {
	cfg, err := Parse([]byte(`
services: [a.example.org, {name: b.example.org, port: 8443, weight: 2}]
collect:
  - host
  - connections: {max: 10}
    timeout: 300ms
probe:
  - http: {url: "http://127.0.0.1/", status: [200, 300-399]}
    interval: 4s
    fall: 5
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.withDefaults()
	if cfg.Services[0].Name != "a.example.org" || !reflect.DeepEqual(cfg.Services[1], Service{"b.example.org", 8443, new(2.0)}) {
		t.Errorf("services are %+v", cfg.Services)
	}
	if cfg.Interval != 2*time.Second || cfg.Lease != 10*time.Second || *cfg.Drain != 30*time.Second || cfg.Prefix != "farm" {
		t.Errorf("defaults are %+v", cfg)
	}
	if c := cfg.Collect; c[0].Host == nil || c[0].Timeout != time.Second || c[1].Connections.Max != 10 || c[1].Timeout != 300*time.Millisecond {
		t.Errorf("collectors are %+v", c)
	}
	if p := cfg.Probe[0]; p.Timeout != 2*time.Second || p.Rise != 2 || p.Fall != 5 || len(p.HTTP.Status) != 2 {
		t.Errorf("probe is %+v", p)
	}
}

var validateTests = []struct{ text, err string }{
	{minimal, ""},
	{proberMinimal, ""},
	{"services: [a.example.org]\n", "redis: expected at least one URL"},
	{"redis: [redis://127.0.0.1]\n", "services: expected 1 to 64 names"},
	{"services: [a..b]\n", "services[0].name: expected a domain name"},
	{"services: [{name: a.example.org, port: 70000}]\n", "services[0].port: expected 0 to 65535"},
	{minimal + "server: Web_1\n", "server: expected letters, digits and inner hyphens"},
	{"addresses: [192.0.2.1, here]\n", "addresses[1]: expected an IPv4 or IPv6 address"},
	{"addresses: [0.0.0.0]\n", "addresses[0]: expected"},
	{"addresses: [fe80::1%eth0]\n", "addresses[0]: expected"},
	{"addresses: [ff02::1]\n", "addresses[0]: expected"},
	{minimal + "target: web.example.org\n", "target: expected no addresses beside it"},
	{"target: 192.0.2.300\n", "target: expected a domain name"},
	{"services: [192.0.2.1]\n", "services[0].name: expected a domain name"},
	{minimal + "capacity: .nan\n", "capacity: expected 0 to"},
	{minimal + "weight: -1\n", "weight: expected 0 to 65535"},
	{minimal + "soft: 2\nhard: 1\n", "soft: expected at most hard"},
	{minimal + "interval: 1ms\n", "interval: expected 20ms to 1h"},
	{minimal + "classes: [fast, near]\nlevels: {listen: ':9180'}\n", ""},
	{minimal + "classes: [fa_st]\n", "classes[0]: expected letters"},
	{minimal + "server: WEB-1\nclasses: [Fast]\n", ""},
	{minimal + "classes: [a, a]\n", "classes[1]: expected letters, digits and inner hyphens, each once"},
	{minimal + "classes: [a, b, c, d, e, f, g, h, i]\n", "classes: expected at most 8"},
	{minimal + "levels: {}\n", "levels.listen: \"\", expected host:port, or :port"},
	{minimal + "levels: {listen: '127.0.0.1:99999'}\n", "levels.listen: "},
	{proberMinimal + "levels: {listen: ':9180'}\n", "levels: expected none beside reporter"},
	{minimal + "lease: 1s\n", "lease: expected 2s to 24h"},
	{minimal + "collect: [{}]\n", "collect[0]: expected one of host"},
	{minimal + "collect: [{host: {}, connections: {}}]\n", "collect[0]: expected one of host"},
	{minimal + "collect: [{host: {counts: [disk]}}]\n", `collect[0].host.counts: "disk", expected cpu or mem`},
	{minimal + "collect: [{host: {}, timeout: 1h}]\n", "collect[0].timeout: expected 1ms to 2s"},
	{minimal + "collect: [{connections: {port: -1}}]\n", "collect[0].connections.port: -1, expected 1 to 65535"},
	{minimal + "collect: [{prometheus: {url: 'ftp://x/', rps: a}}]\n", "collect[0].prometheus.url: expected an http:// or https:// URL"},
	{minimal + "collect: [{prometheus: {url: 'http://x/'}}]\n", "expected at least one of utilization"},
	{minimal + "collect: [{prometheus: {url: 'http://x/', rps: 'a{'}}]\n", "collect[0].prometheus.rps: "},
	{minimal + "collect: [{prometheus: {url: 'http://x/', cpu: '1 - rate(a[3s])'}}]\n",
		"collect[0].prometheus.cpu: character 10: [3s], expected at least two intervals"},
	{minimal + "collect: [{prometheus: {url: 'http://x/', cpu: '1 - rate(a[4s])', health: up == 1, drain: 'up == 2'}}]\n", ""},
	{minimal + "collect: [{prometheus: {url: 'http://x/', mem: 'quantile(0.9, a)'}}]\n",
		"collect[0].prometheus.mem: character 1: quantile is not supported, expected one of avg, count, max, min, sum"},
	{minimal + "collect: [{prometheus: {url: 'http://x/', utilization: 'node_cpu_seconds_total{mode!=\"idle\"}'}}]\n",
		"is a counter, expected rate(node_cpu_seconds_total{mode!=\"idle\"}[30s])"},
	{minimal + "collect: [{prometheus: {url: 'http://x/', health: 'up and a > 1'}}]\n",
		"collect[0].prometheus.health: character 1: \"up\" of \"and\", expected a comparison"},
	{minimal + "collect: [{orca: {}}]\n", "collect[0].orca: expected one of url and grpc"},
	{minimal + "collect: [{orca: {url: 'http://x/', grpc: 'x:1'}}]\n", "expected one of url and grpc"},
	{minimal + "collect: [{haproxy: {address: x}}]\n", "collect[0].haproxy.address: \"x\", expected host:port"},
	{minimal + "collect: [{command: {run: []}}]\n", "collect[0].command.run: expected a program"},
	{minimal + "probe: [{}]\n", "probe[0]: expected one of http, tcp, grpc, command"},
	{minimal + "probe: [{http: {url: 'http://x/', status: [20]}}]\n", "probe[0].http.status[0]: \"20\", expected a status"},
	{minimal + "probe: [{http: {url: 'http://x/', method: 'GET /'}}]\n", "probe[0].http.method: "},
	{minimal + "probe: [{http: {url: 'http://x/', body_regexp: '('}}]\n", "probe[0].http.body_regexp: "},
	{minimal + "probe: [{http: {url: 'http://x/', drain_status: [404, 700]}}]\n", "probe[0].http.drain_status[1]: \"700\", expected a status"},
	{minimal + "probe: [{command: {run: [x], drain_exit: 256}}]\n", "probe[0].command.drain_exit: 256, expected 1 to 255"},
	{minimal + "probe: [{command: {run: [x], drain_exit: 3}}, {http: {url: 'http://x/', drain_status: [404]}}]\n", ""},
	{strings.Replace(proberMinimal, "tcp: {address: \"192.0.2.1:443\"}", "http: {url: 'http://x/', drain_status: [404]}", 1),
		"servers[0].probe[0]: expected no drain: only the server's own agent drains it"},
	{minimal + "probe: [{http: {url: 'https://x/', headers: {X-Scope: a, Host: b}, bearer_token_file: /t}}]\n", ""},
	{minimal + "probe: [{http: {url: 'https://x/', headers: {'X Scope': a}}}]\n", "probe[0].http.headers: \"X Scope\", expected the name of a header"},
	{minimal + "probe: [{http: {url: 'https://x/', headers: {x-scope: \"a\\nb\"}}}]\n", "probe[0].http.headers.X-Scope: expected printable characters"},
	{minimal + "probe: [{http: {url: 'https://x/', headers: {accept-encoding: br}}}]\n", "headers.Accept-Encoding: the agent's own"},
	{minimal + "probe: [{http: {url: 'https://x/', headers: {authorization: x}, bearer_token_file: /t}}]\n", "bearer_token_file: expected one of it, basic_auth and"},
	{minimal + "probe: [{http: {url: 'https://x/', basic_auth: {username: u}}}]\n", "basic_auth: expected username and password_file"},
	{minimal + "probe: [{http: {url: 'http://192.0.2.1/', bearer_token_file: /t}}]\n", "probe[0].http.url: it would carry a secret in clear text"},
	{minimal + "probe: [{http: {url: 'http://192.0.2.1/', headers: {Authorization: x}}}]\n", "it would carry a secret in clear text"},
	{minimal + "probe: [{http: {url: 'http://192.0.2.1/', headers: {X-Scope: x}}}]\n", ""},
	{minimal + "probe: [{http: {url: 'http://192.0.2.1/', cleartext: true, basic_auth: {username: u, password_file: /p}}}]\n", ""},
	{minimal + "probe: [{http: {url: 'http://127.0.0.2:8080/', bearer_token_file: /t}}, {http: {url: 'http://[::1]/', bearer_token_file: /t}}, {http: {url: 'http://localhost/', bearer_token_file: /t}}]\n", ""},
	{minimal + "probe: [{tcp: {address: 'x:1', tls: {cert: /c}}}]\n", "probe[0].tcp.tls: expected both cert and key, or neither"},
	{minimal + "collect: [{prometheus: {url: 'http://x/', rps: a, bearer_token_file: /t}}]\n", "collect[0].prometheus.url: it would carry a secret"},
	{minimal + "collect: [{orca: {url: 'http://x/', bearer_token_file: /t}}]\n", "collect[0].orca.url: it would carry a secret"},
	{minimal + "collect: [{orca: {grpc: 'x:1', bearer_token_file: /t}}]\n", "collect[0].orca: expected headers, bearer_token_file"},
	{minimal + "probe: [{tcp: {address: ':80'}}]\n", "probe[0].tcp.address: "},
	{minimal + "probe: [{grpc: {address: 'x:0'}}]\n", "probe[0].grpc.address: "},
	{minimal + "probe: [{tcp: {address: 'x:1'}, rise: -1}]\n", "probe[0].rise: expected 1 to 1000"},
	{minimal + "servers: [{server: a}]\n", "servers: expected reporter to be set"},
	{proberMinimal + "services: [a.example.org]\n", "services: expected none beside reporter"},
	{proberMinimal + "collect: [host]\n", "collect: expected none beside reporter"},
	{"redis: [x]\nreporter: p1\n", "servers: expected 1 to 1000"},
	{"redis: [x]\nreporter: p1\nservers: [{server: a, services: [x.org]}]\n", "servers[0].probe: expected at least one probe"},
}

func TestValidate(t *testing.T) {
	for _, tt := range validateTests {
		cfg, err := Parse([]byte(tt.text))
		if wantError(t, err, "") {
			continue
		}
		wantError(t, cfg.Validate(), tt.err)
	}
}

// Every piece of YAML in the manual is a valid configuration, or a part of one.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 10 {
		t.Fatalf("found %d blocks of YAML, want 10 or more", len(blocks))
	}
	for _, b := range blocks {
		yaml := b[1]
		if !strings.Contains(yaml, "redis:") {
			yaml = minimal + yaml
		}
		cfg, err := Parse([]byte(yaml))
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, yaml)
		}
	}
	checkKeysAreTold(t, string(text))
	checkExamplesParse(t, string(text))
}

// checkExamplesParse checks that each example in the manual's tables of expressions is one.
func checkExamplesParse(t *testing.T, manual string) {
	_, tables, _ := strings.Cut(manual, "\nNumbers are made of:\n")
	numbers, rest, _ := strings.Cut(tables, "\nA condition is ")
	conditions, _, _ := strings.Cut(rest, "\nWhere one number is needed")
	example := regexp.MustCompile("(?m)^\\|[^|]*\\| `([^`]*)` \\|")
	for _, part := range []struct {
		text  string
		parse func(string) (parser.Expr, error)
		least int
	}{{numbers, parseNumber, 10}, {conditions, parseCondition, 3}} {
		found := example.FindAllStringSubmatch(part.text, -1)
		if len(found) < part.least {
			t.Errorf("found %d examples of expressions, want %d", len(found), part.least)
		}
		for _, m := range found {
			if _, err := part.parse(m[1]); err != nil {
				t.Errorf("%s: %v", m[1], err)
			}
		}
	}
}

// checkKeysAreTold checks that the manual has every key of every structure.
func checkKeysAreTold(t *testing.T, manual string) {
	files, err := filepath.Glob("*.go")
	wantError(t, err, "")
	key := regexp.MustCompile("`yaml:\"([a-z_]+)\"`")
	for _, file := range files {
		text, err := os.ReadFile(file)
		wantError(t, err, "")
		for _, m := range key.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(manual, "`"+m[1]+"`") && !strings.Contains(manual, "\n### "+m[1]+"\n") {
				t.Errorf("%s: the manual does not tell of the key %s", file, m[1])
			}
		}
	}
}

func TestExample(t *testing.T) {
	cfg, err := Load("../contrib/farm-agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

// The unit gives the agent the time that it takes to drain by default.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../contrib/farm-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	stop := regexp.MustCompile(`\nTimeoutStopSec=(.*)\n`).FindStringSubmatch(string(text))
	if stop == nil {
		t.Fatal("the unit has no TimeoutStopSec")
	}
	d, err := time.ParseDuration(stop[1])
	if err != nil || d < 2*defaultDrain {
		t.Errorf("TimeoutStopSec is %s, want %v or more", stop[1], 2*defaultDrain)
	}
	for _, line := range []string{"Type=notify", "WatchdogSec=", "KillMode=mixed", "DynamicUser=yes"} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
