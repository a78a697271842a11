package test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element/camara/sim"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

var docs = flag.Bool("docs", false, "write what the tests show into docs/")

// step is one message of the sequence.
type step struct {
	at             time.Time
	from, to, says string
}

// trace collects the messages that pass between the parts.
type trace struct {
	mu    sync.Mutex
	steps []step
}

func (tr *trace) add(at time.Time, from, to, format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.steps = append(tr.steps, step{at, from, to, fmt.Sprintf(format, args...)})
}

// sequence returns the messages in the order in which they were seen.
func (tr *trace) sequence() []step {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	all := slices.Clone(tr.steps)
	slices.SortStableFunc(all, func(a, b step) int { return a.at.Compare(b.at) })
	return all
}

// listen adds what a Redis is told by its clients, by its MONITOR.
func (tr *trace) listen(t *testing.T, redis *storetest.Redis) {
	t.Helper()
	_, port, _ := strings.Cut(redis.Addr, ":")
	cmd := exec.Command("redis-cli", "-p", port, "MONITOR")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		defer close(lines)
		var buf bytes.Buffer
		tee := io.TeeReader(out, &buf)
		chunk := make([]byte, 1<<16)
		for {
			if _, err := tee.Read(chunk); err != nil {
				return
			}
			for {
				line, err := buf.ReadString('\n')
				if err != nil {
					buf.Reset()
					buf.WriteString(line)
					break
				}
				lines <- strings.TrimSpace(line)
			}
		}
	}()
	if first := <-lines; first != "OK" {
		t.Fatalf("Expected MONITOR to begin, got %q", first)
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for line := range lines {
			tr.command(line)
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-heard
	})
}

var (
	monitored = regexp.MustCompile(`^(\d+)\.(\d+) \[\d+ (\S+)\] (.*)$`)
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// command adds a command that belongs to the sequence. What scripts append to streams is what goes to their readers.
func (tr *trace) command(line string) {
	m := monitored.FindStringSubmatch(line)
	if m == nil {
		return
	}
	seconds, _ := strconv.ParseInt(m[1], 10, 64)
	micros, _ := strconv.ParseInt(m[2], 10, 64)
	at := time.Unix(seconds, micros*1000)
	var args []string
	for _, q := range quoted.FindAllString(m[4], -1) {
		arg, _ := strconv.Unquote(q)
		args = append(args, arg)
	}
	if m[3] == "lua" {
		tr.appended(at, args)
	} else if len(args) > 3 {
		tr.called(at, args[len(args)-3:])
	}
}

// called adds the call of a script, by its last arguments.
func (tr *trace) called(at time.Time, args []string) {
	var g qos.Grant
	switch {
	case args[0] == "ask" && json.Unmarshal([]byte(args[1]), &g) == nil:
		tr.once(at, "farm", "Redis", "ask: %s at %s", g.Asked, g.Server)
	case args[1] == "answer" && json.Unmarshal([]byte(args[2]), &g) == nil:
		tr.once(at, "Broker", "Redis", "answer: %s", g.State)
	case args[0] == "end":
		tr.once(at, "farm", "Redis", "end: %s", args[2])
	case args[1] == "web1" && strings.HasPrefix(args[2], `{"utilization"`):
		tr.once(at, "Server", "Redis", "report: utilization, rps, lease")
	}
}

// appended adds an entry of a stream.
func (tr *trace) appended(at time.Time, args []string) {
	if len(args) < 3 || args[0] != "XADD" {
		return
	}
	fields := make(map[string]string)
	for i := len(args)%2 + 1; i+1 < len(args); i++ {
		fields[args[i]] = args[i+1]
	}
	var g qos.Grant
	switch {
	case strings.HasSuffix(args[1], ":req"):
		tr.add(at, "Redis", "Broker", "queue: the grant changed")
	case fields["kind"] == "grant" && json.Unmarshal([]byte(fields["data"]), &g) == nil:
		tr.add(at, "Redis", "farm", "stream: grant %s", g.State)
	case fields["kind"] == "report":
		tr.add(at, "Redis", "farm", "stream: report")
	}
}

// once adds a message unless it was the last one between the two: a script that Redis does not know is sent twice.
func (tr *trace) once(at time.Time, from, to, format string, args ...any) {
	says := fmt.Sprintf(format, args...)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, s := range slices.Backward(tr.steps) {
		if s.from == from && s.to == to {
			if s.says == says {
				return
			}
			break
		}
	}
	tr.steps = append(tr.steps, step{at, from, to, says})
}

// element is an operator whose API is listened to.
func (tr *trace) element(t *testing.T, operator http.Handler) *httptest.Server {
	t.Helper()
	inner := httptest.NewServer(operator)
	t.Cleanup(inner.Close)
	target, err := url.Parse(inner.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		tr.request(r, body)
		rec := httptest.NewRecorder()
		proxy.ServeHTTP(rec, r)
		tr.response(r, rec)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	t.Cleanup(outer.Close)
	return outer
}

// request adds a call of the operator's API, and response its answer; looking again and again is told once.
func (tr *trace) request(r *http.Request, body []byte) {
	var asked struct {
		Profile string `json:"qosProfile"`
	}
	_ = json.Unmarshal(body, &asked)
	tr.once(time.Now(), "Broker", "Element", "%s", strings.TrimSpace(r.Method+" "+resource(r.URL.Path)+" "+asked.Profile))
}

func (tr *trace) response(r *http.Request, rec *httptest.ResponseRecorder) {
	var session struct {
		Status string `json:"qosStatus"`
	}
	_ = json.Unmarshal(rec.Body.Bytes(), &session)
	tr.once(time.Now(), "Element", "Broker", "%s", strings.TrimSpace(strconv.Itoa(rec.Code)+" "+session.Status))
}

var sessionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

func resource(path string) string {
	return sessionID.ReplaceAllString(strings.TrimPrefix(path, "/quality-on-demand/v1"), "ID")
}

// lookup asks as a client with a handle does, and adds the question and the answer.
func (tr *trace) lookup(t *testing.T, addr string, token []byte, change func(*qos.Asked)) (qos.Shown, []string) {
	t.Helper()
	asked := qos.Asked{Device: netip.MustParseAddrPort("203.0.113.5:40000")} // beyond a NAT
	asked.HandleLen = uint8(copy(asked.Handle[:], token))
	change(&asked)
	m := question(levelledName, dns.TypeA)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65400, Data: qos.AppendOption(nil, &asked, []byte("alice"))})
	what := "A? www.example.org, handle"
	if asked.Wait {
		what += ", wait"
	}
	if asked.Drop {
		what += ", drop the grant"
	}
	tr.add(time.Now(), "Client", "farm", "%s", what)
	r, err := exchange(addr, m)
	if err != nil {
		t.Fatal(err)
	}
	var shown qos.Shown
	for _, o := range r.IsEdns0().Option {
		if l, ok := o.(*dns.EDNS0_LOCAL); ok {
			if shown, err = qos.ParseReply(l.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	tr.add(time.Now(), "farm", "Client", "the server's address, TTL %d; %s", r.Answer[0].Header().Ttl, shown.State)
	return shown, addresses(r)
}

// mermaid draws the sequence. Neither times nor numbers are in it, so that every run draws the same.
func mermaid(steps []step) string {
	var b strings.Builder
	b.WriteString("~~~ mermaid\nsequenceDiagram\n    autonumber\n")
	for _, who := range []string{"Client", "farm", "Redis", "Broker", "Element", "Server"} {
		fmt.Fprintf(&b, "    participant %s\n", who)
	}
	for _, s := range steps {
		fmt.Fprintf(&b, "    %s->>%s: %s\n", s.from, s.to, strings.ReplaceAll(s.says, ";", ","))
	}
	b.WriteString("~~~\n")
	return b.String()
}

// qosPage is the document that shows what these tests see.
const qosPage = "../docs/qos.md"

// writeSection puts a text between two marks of the document.
func writeSection(t *testing.T, mark, text string) {
	t.Helper()
	_, with := section(t, mark, text)
	if err := os.WriteFile(qosPage, []byte(with), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section returns what stands between two marks of the document, and what that is with another text there.
func section(t *testing.T, mark, text string) (is, with string) {
	t.Helper()
	page, err := os.ReadFile(qosPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), "<!-- "+mark+": ")
	head, rest, ok2 := strings.Cut(rest, "-->\n")
	is, after, ok3 := strings.Cut(rest, "<!-- /"+mark+" -->")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%s: expected the marks of %s", qosPage, mark)
	}
	return is, before + "<!-- " + mark + ": " + head + "-->\n" + text + "<!-- /" + mark + " -->" + after
}

// TestTrace follows one request for quality of service through all the parts, by their real messages: a client's lookups,
// what CoreDNS, the broker and the server tell Redis, what Redis tells them, and what the broker and the operator tell each
// other. The operator is the simulator. docs/qos.md shows the sequence.
func TestTrace(t *testing.T) {
	tr := new(trace)
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	token := newIssuer(t, db).token("alice")
	web := startWebServer(t, local(freePort(t)), 2, time.Millisecond)
	host, port, _ := strings.Cut(web.addr, ":")
	c := startCoreDNS(t, fmt.Sprintf(tracedCorefile, redis.URL))
	s := &site{t: t, redis: redis.URL}
	s.farm("server", "set", levelledName, "web1", "--address", host, "--port", port)
	operator := startOperator(t, tr, redis.URL)
	awaitGiven(t, c.addr, levelledName, host)
	ready := question("_grant.www.example.org.", dns.TypeTXT)
	ready.IsEdns0().Option = append(ready.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65400, Data: qos.AppendOption(nil, handleOf(token), []byte("alice"))})
	await(t, "CoreDNS to accept the handle", func() bool {
		r, err := exchange(c.addr, ready)
		return err == nil && len(r.Answer) == 1
	})
	tr.listen(t, redis)

	s.farm("report", levelledName, "web1", "--utilization", "0.2", "--rps", "40", "--lease", "5m")
	await(t, "the report to be there", func() bool { return tr.has("stream: report") })
	provided := make(chan struct{})
	go func() { // once the broker has seen that it takes a while
		defer close(provided)
		await(t, "the broker to look at the session", func() bool { return tr.has("200 REQUESTED") })
		operator.Provide(operator.Sessions()[0].SessionID)
	}()
	var shown qos.Shown
	var addrs []string
	await(t, "gold to be granted", func() bool { // within the wait of the first lookup, if the machine is not too busy
		shown, addrs = tr.lookup(t, c.addr, token, func(a *qos.Asked) { a.Wait = true })
		return shown.State == qos.Granted
	})
	<-provided
	if shown.Level != "gold" || shown.Server != "web1" || !slices.Equal(addrs, []string{host}) {
		t.Fatalf("Expected gold to be granted at web1, got %+v at %v", shown, addrs)
	}
	tr.add(time.Now(), "Client", "Server", "GET /")
	if err := web.get("/"); err != nil {
		t.Fatal(err)
	}
	tr.add(time.Now(), "Server", "Client", "200")
	tr.lookup(t, c.addr, token, func(a *qos.Asked) { a.Drop, a.HasRelease, a.Release = true, true, shown.Grant })
	// What Redis shows of its commands comes a moment later than what they bring about.
	await(t, "the session to be deleted", func() bool { return tr.has("204") && tr.has("stream: grant ended") })

	got := mermaid(tr.sequence())
	is, _ := section(t, "trace", got)
	switch {
	case *docs:
		writeSection(t, "trace", got)
	case !inOrder(got, chain) || !contains(got, is):
		t.Errorf("Expected the messages of docs/qos.md (go test -run TestTrace ./test -docs writes it), got\n%s", got)
	}
}

// chain is what can only happen in this order. Other messages cross each other.
var chain = []string{
	"Client->>farm: A?", "farm->>Redis: ask", "Redis->>Broker: queue", "Broker->>Element: POST /sessions", "Element->>Broker: 201 REQUESTED",
	"Element->>Broker: 200 AVAILABLE", "Broker->>Redis: answer: granted", "Redis->>farm: stream: grant granted", "granted\n",
	"Client->>Server", "drop the grant", "farm->>Redis: end", "Broker->>Element: DELETE", "Element->>Broker: 204",
}

func inOrder(text string, words []string) bool {
	for _, w := range words {
		_, rest, ok := strings.Cut(text, w)
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

// contains says whether every line of one text stands in another. On a busy machine there is more: a lookup that asks again.
func contains(text, lines string) bool {
	for line := range strings.Lines(lines) {
		if !strings.Contains(text, line) {
			return false
		}
	}
	return lines != ""
}

func handleOf(token []byte) *qos.Asked {
	a := new(qos.Asked)
	a.HandleLen = uint8(copy(a.Handle[:], token))
	return a
}

func (tr *trace) has(says string) bool {
	return slices.ContainsFunc(tr.sequence(), func(s step) bool { return s.says == says })
}

const tracedCorefile = `example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis %s
        level gold {
            rank 20
            unit 0.1
            profile QOS_E
            requires both
            duration 5m
        }
        qos {
            wait 2s
        }
    }
}
`

// startOperator starts an operator, whose API is listened to, and a broker that asks it.
func startOperator(t *testing.T, tr *trace, redis string) *sim.Provider {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("operator's secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	operator := sim.New(sim.Config{Secret: "operator's secret", Setup: -1})
	t.Cleanup(operator.Close)
	api := tr.element(t, operator)
	conf := filepath.Join(t.TempDir(), "broker.yaml")
	err := os.WriteFile(conf, fmt.Appendf(nil, `redis: [%s]
name: broker1
elements:
  - name: operator
    camara:
      url: %s/quality-on-demand/v1
      poll: 100ms
      identifiers: [ipv4]
      oauth: {token_url: %s/oauth2/token, client_id: farm, secret_file: %q}
`, redis, api.URL, api.URL, secret), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	start(t, "broker", command(t, "farm"), "broker", "-c", conf).says("broker starts")
	return operator
}
