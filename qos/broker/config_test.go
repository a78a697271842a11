package broker

import (
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/coredns-farm/farm/conf"
)

const minimal = `redis: [redis://127.0.0.1]
elements:
  - name: edge
    linux:
      links: [{interface: eth0, rate: 1000, toward: clients}]
`

func TestConfig(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"the least", minimal, ""},
		{"everything", minimal + "prefix: p\nname: broker-1\nmetrics: 127.0.0.1:9154\n", ""},
		{"empty", "", "redis: expected at least one URL"},
		{"an unknown key", "redis: []\nelemnts: []\n", `2:1: unknown field "elemnts"`},
		{"a key of an element that is unknown", strings.Replace(minimal, "links:", "linx:", 1), `5:7: unknown field "linx"`},
		{"a key twice", "redis: []\nredis: []\n", "2:1: "},
		{"two documents", minimal + "---\n" + minimal, "expected one YAML document"},
		{"a rate that is none", strings.Replace(minimal, "1000", "fast", 1), "5:39: expected a number"},
		{"no kind", "redis: [x]\nelements: [{name: edge}]\n", "elements[0]: expected one of linux, camara"},
		{"two kinds", minimal + "    camara: {}\n", "elements[0]: expected one of linux, camara"},
		{"no name", strings.Replace(minimal, "edge", `""`, 1), "elements[0].name: expected lower-case"},
		{"one name twice", minimal + "  - {name: edge, linux: {links: [{interface: eth1, rate: 1000, toward: clients}]}}\n", "elements[1].name: expected a name that no other"},
		{"a link that is wrong", strings.Replace(minimal, "clients", "north", 1), "elements[0].linux.links[0].toward: expected clients or servers"},
		{"an operator that is not said", "redis: [x]\nelements: [{name: edge, camara: {}}]\n", "elements[0].camara.url: expected"},
		{"metrics nowhere", minimal + "metrics: everywhere\n", "metrics: expected HOST:PORT"},
		{"a name of two words", minimal + "name: my broker\n", "name: expected"},
		{"too long", minimal + "#" + strings.Repeat(" ", conf.MaxSize), "larger than"},
	} {
		cfg, err := Parse([]byte(c.text))
		if err == nil {
			err = cfg.Validate()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("elements: [{name: a, camara: {oauth: {scopes: [a]}, poll: 5s}}]"))
	f.Add([]byte("!!x &a [*a, {<<: *a}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if cfg, err := Parse(text); err == nil {
			_ = cfg.Validate() // must not panic
		}
	})
}

// What the documents show is valid.
func TestDocumentedConfigurations(t *testing.T) {
	doc, err := os.ReadFile("../../docs/broker.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../contrib/farm-broker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(example)}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1) {
		texts = append(texts, m[1])
	}
	if len(texts) < 2 {
		t.Error("expected docs/broker.md to show a configuration")
	}
	for _, text := range texts {
		cfg, err := Parse([]byte(text))
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := newMetrics()
	m.called("edge", "ask", time.Now(), nil)
	m.outcomes.WithLabelValues("edge", "granted", "").Inc()
	m.held.WithLabelValues("edge").Set(1)
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v, want metrics with good names", problems, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	serving, err := m.serve(addr, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer serving.Close()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `farm_broker_calls_total{call="ask",element="edge",result="answered"} 1`) {
		t.Errorf("got %v, %s", err, body)
	}
	doc, err := os.ReadFile("../../docs/broker.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(body), -1) {
		if !strings.Contains(string(doc), "`"+name[1]) {
			t.Errorf("docs/broker.md does not say what %s is", name[1])
		}
	}
}
