package agent

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// manualCollector returns the collector of the manual's example whose URL has the port, for another address.
func manualCollector(t *testing.T, port, address string) *prometheusCollector {
	t.Helper()
	text, err := os.ReadFile("../docs/agent.md")
	wantError(t, err, "")
	for _, b := range regexp.MustCompile("(?s)\n```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(b[1], "127.0.0.1:"+port+"/") {
			continue
		}
		cfg, err := Parse([]byte(minimal + strings.Replace(b[1], "127.0.0.1:"+port, address, 1)))
		wantError(t, err, "")
		p, err := newPrometheus(cfg.Collect[0].Prometheus)
		wantError(t, err, "")
		return p
	}
	t.Fatalf("the manual has no example with port %s", port)
	return nil
}

// startServer starts a program that serves on an address, and ends it with the test.
func startServer(t *testing.T, address, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("skipped: %s is missing; run make setup as root", name)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	wantError(t, err, "")
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if text, err := os.ReadFile(out.Name()); err == nil && t.Failed() {
			t.Logf("%s", text)
		}
	})
	await(t, name, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// TestNodeExporter takes CPU and memory from a real node_exporter, as the manual shows.
func TestNodeExporter(t *testing.T) {
	address := refused(t)
	startServer(t, address, "prometheus-node-exporter", "--web.listen-address="+address)
	p := manualCollector(t, "9100", address)
	s, err := p.collect(soon(t), epoch)
	wantError(t, err, "")
	const noRate = `no rate yet: rate(node_cpu_seconds_total{mode="idle"}[30s])`
	if s.Mem == nil || *s.Mem <= 0 || *s.Mem >= 1 || s.CPU != nil || !s.lacks("cpu") || s.Absent[0].why != noRate || !s.Absent[0].early {
		t.Errorf("the first time it says %s", show(s))
	}
	start := time.Now()
	at := func() time.Time { return epoch.Add(time.Hour + time.Since(start)) }
	_, err = p.collect(soon(t), at())
	wantError(t, err, "")
	time.Sleep(500 * time.Millisecond) // in which the kernel counts some fifty ticks of each CPU
	s, err = p.collect(soon(t), at())
	wantError(t, err, "")
	if len(s.Absent) > 0 || s.CPU == nil || *s.CPU < -1 || *s.CPU > 1 || *s.Utilization != *s.CPU {
		t.Errorf("the second time it says %s", show(s))
	}
}

// haproxyConfig is an HAProxy with one server behind it, its exporter, and a socket to command it.
const haproxyConfig = `global
  stats socket %[1]s mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend metrics
  bind %[2]s
  http-request use-service prometheus-exporter if { path /metrics }
frontend www
  bind %[3]s
  maxconn 100
  default_backend app
backend app
  option httpchk
  http-check disable-on-404
  server app1 %[4]s check inter 20ms fall 1 rise 1
`

// TestHAProxyExporter takes load, health and drain from a real HAProxy, as the manual shows.
func TestHAProxyExporter(t *testing.T) {
	status := make(chan int, 1)
	status <- 200
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		code := <-status
		status <- code
		w.WriteHeader(code)
	})
	answer := func(code int) {
		<-status
		status <- code
	}
	dir := t.TempDir()
	socket, file, metrics, www := filepath.Join(dir, "s"), filepath.Join(dir, "haproxy.cfg"), refused(t), refused(t)
	write(t, file, fmt.Sprintf(haproxyConfig, socket, metrics, www, strings.TrimPrefix(app.URL, "http://")))
	startServer(t, metrics, "haproxy", "-db", "-f", file)
	p := manualCollector(t, "8405", metrics)
	now := epoch
	awaitSample := func(want string) {
		t.Helper()
		got := ""
		await(t, want, func() bool {
			now = now.Add(time.Second)
			s, err := p.collect(soon(t), now)
			wantError(t, err, "")
			s.RPS, s.EPS = nil, nil
			got = show(s)
			return got == want
		})
	}
	command := func(text string) {
		t.Helper()
		c, err := net.Dial("unix", socket)
		wantError(t, err, "")
		defer c.Close()
		io.WriteString(c, text+"\n")
		out, _ := io.ReadAll(c)
		if strings.TrimSpace(string(out)) != "" {
			t.Errorf("HAProxy answers %q to %q", out, text)
		}
	}
	const drained = `utilization=0 health=up drain reason="drain: haproxy_server_status{proxy=\"app\",server=\"app1\",state=~\"DRAIN|NOLB\"} is true"`
	const down = `utilization=0 health=down reason="haproxy_server_status{proxy=\"app\",server=\"app1\",state=~\"UP|DRAIN|NOLB\"} is false"`
	awaitSample("utilization=0 health=up")
	answer(404)
	awaitSample(drained)
	answer(500)
	awaitSample(down)
	answer(200)
	awaitSample("utilization=0 health=up")
	command("set server app/app1 state drain")
	awaitSample(drained)
	command("set server app/app1 state maint")
	awaitSample(down)
	command("set server app/app1 state ready")
	awaitSample("utilization=0 health=up")

	// Requests and errors are counted from one scrape to the next.
	answer(503)
	awaitSample(down)
	for range 5 {
		resp, err := http.Get("http://" + www)
		wantError(t, err, "")
		resp.Body.Close()
	}
	// HAProxy counts a request when it is over, which may be after its answer has arrived.
	requests, failures := 0.0, 0.0
	await(t, "5 requests that fail", func() bool {
		now = now.Add(time.Second)
		s, err := p.collect(soon(t), now)
		wantError(t, err, "")
		requests, failures = requests+*s.RPS, failures+*s.EPS
		return requests == 5 && failures == 5
	})
}
