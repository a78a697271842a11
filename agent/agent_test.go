package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

const testService = "www.example.org."

// record is a log that tests can look at.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), text)
}

func (r *record) await(t *testing.T, text string) {
	t.Helper()
	await(t, "the log to say "+text, func() bool { return r.count(text) > 0 })
}

// running is an agent under test.
type running struct {
	t    *testing.T
	db   *storetest.Redis
	log  *record
	stop context.CancelFunc
	done chan error
}

// rapid is a configuration with a rhythm for tests.
func rapid(db *storetest.Redis) Config {
	return Config{
		Redis: []string{db.URL}, Server: "web-1", Services: []Service{{Name: testService}}, Addresses: []string{"192.0.2.1"},
		Interval: 20 * time.Millisecond, Lease: 20 * time.Second, Drain: new(100 * time.Millisecond),
	}
}

func start(t *testing.T, db *storetest.Redis, cfg Config) *running {
	ctx, stop := context.WithCancel(t.Context())
	r := &running{t: t, db: db, log: new(record), stop: stop, done: make(chan error, 1)}
	go func() { r.done <- Run(ctx, cfg, slog.New(slog.NewTextHandler(r.log, nil))) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log.text.String())
		}
	})
	return r
}

// end waits for the agent's own end.
func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("the agent does not end")
		return nil
	}
}

// field reads a field of one of the service's hashes: srvs, adms or reps.
func field(db *storetest.Redis, hash, name string) string {
	for _, key := range store.Keys(store.DefaultPrefix, testService) {
		if strings.Contains(key, ":"+hash+":") {
			return strings.TrimSpace(db.Do("HGET", key, name))
		}
	}
	panic("no such hash: " + hash)
}

// report reads the report that stands, nil if there is none.
func (r *running) report(of string) *store.Report {
	text := field(r.db, "reps", of)
	if text == "" {
		return nil
	}
	rep := new(store.Report)
	if err := json.Unmarshal([]byte(text), rep); err != nil {
		r.t.Fatalf("report %q: %v", text, err)
	}
	return rep
}

// awaitReport waits for a report that is so.
func (r *running) awaitReport(of, what string, so func(*store.Report) bool) *store.Report {
	r.t.Helper()
	var rep *store.Report
	await(r.t, what, func() bool {
		rep = r.report(of)
		return rep != nil && so(rep)
	})
	return rep
}

func whatever(*store.Report) bool { return true }

func TestAgentRegistersReportsDrainsAndLeaves(t *testing.T) {
	db := storetest.Start(t)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2) // the first call of a process starts a goroutine that stays
	signal.Stop(signals)
	before := runtime.NumGoroutine()
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(orcaHeader, "TEXT application_utilization=0.25,rps_fractional=12")
	})
	cfg := rapid(db)
	cfg.Port, cfg.Region, cfg.Capacity, cfg.Classes = 443, "eu", 100, []string{"fast"}
	cfg.Services[0].Weight = new(2.0)
	cfg.Collect = []Collect{
		{ORCA: &ORCA{URL: app.URL}},
		{Command: &Command{Run: sh("echo utilization=0.5 in_flight=3")}},
		{HAProxy: &HAProxy{Address: refused(t)}, Timeout: 10 * time.Millisecond},
	}
	cfg.Probe = []Probe{{HTTP: &HTTPProbe{URL: app.URL}}}
	for i := range cfg.Collect[:2] {
		cfg.Collect[i].Timeout = cfg.Interval
	}
	r := start(t, db, cfg)
	rep := r.awaitReport("web-1", "a full report", func(rep *store.Report) bool {
		return rep.RPS != nil && rep.InFlight != nil && rep.Seq > 2
	})
	if *rep.Utilization != 0.5 || *rep.RPS != 12 || rep.Health != "degraded" || rep.Lease != 20 || rep.EPS != nil {
		t.Errorf("report is %+v", rep)
	}
	if !strings.HasPrefix(rep.Reason, "collect[2].haproxy: ") {
		t.Errorf("reason is %q, want the collector that fails", rep.Reason)
	}
	if r.log.count("collector fails") != 1 || r.log.count("error=\"collect[2].haproxy: ") != 1 {
		t.Error("the log does not say once which collector fails")
	}
	want := `{"addresses":["192.0.2.1"],"port":443,"weight":2,"capacity":100,"region":"eu","classes":["fast"],"by":"agent"}`
	if got := field(db, "srvs", "web-1"); got != want {
		t.Errorf("server is\n%s, want\n%s", got, want)
	}

	r.stop()
	await(t, "the drain", func() bool { return strings.Contains(field(db, "adms", "web-1"), `"drain"`) })
	seq := r.report("web-1").Seq
	r.awaitReport("web-1", "a report during the drain", func(rep *store.Report) bool { return rep.Seq > seq })
	wantError(t, r.end(), "")
	for _, hash := range []string{"srvs", "reps"} {
		if got := field(db, hash, "web-1"); got != "" {
			t.Errorf("%s still has %s", hash, got)
		}
	}
	if got := field(db, "adms", "web-1"); !strings.Contains(got, `"left":"stopped"`) {
		t.Errorf("Expected it to be remembered that the server left, got %q", got)
	}
	app.Close()
	http.DefaultClient.CloseIdleConnections()
	await(t, "its goroutines' end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestAgentOutlivesTheDatabase(t *testing.T) {
	db := storetest.Start(t)
	r := start(t, db, rapid(db))
	r.awaitReport("web-1", "a report", whatever)

	db.Do("FLUSHALL")
	r.awaitReport("web-1", "a report after the flush", whatever)
	r.log.await(t, "registering it again")

	db.Kill()
	r.log.await(t, "cannot report")
	db.Restart()
	r.awaitReport("web-1", "a report after the restart", whatever)
	r.log.await(t, "reports again")
	if n := r.log.count("cannot report"); n != 1 {
		t.Errorf("the log says %d times that the database is lost, want once", n)
	}

	db.Stop()
	awaitCount(t, r.log, "cannot report", 2)
	db.Cont()
	awaitCount(t, r.log, "reports again", 2)
	r.stop()
	wantError(t, r.end(), "")
}

func awaitCount(t *testing.T, log *record, text string, n int) {
	t.Helper()
	await(t, "the log to say again "+text, func() bool { return log.count(text) >= n })
}

// An agent starts, and leaves, without a database.
func TestAgentWithoutADatabase(t *testing.T) {
	db := storetest.Start(t)
	db.Kill()
	r := start(t, db, rapid(db))
	r.log.await(t, "cannot report")
	r.stop()
	wantError(t, r.end(), "")
	r.log.await(t, "server drains")
}

func TestTheNewerAgentHasTheServer(t *testing.T) {
	db := storetest.Start(t)
	old := start(t, db, rapid(db))
	first := old.awaitReport("web-1", "a report", whatever)
	newer := start(t, db, rapid(db))
	if err := old.end(); !errors.Is(err, ErrClaimed) {
		t.Errorf("the old agent ends with %v, want ErrClaimed", err)
	}
	if n := old.log.count("another agent, started later"); n != maxClaims {
		t.Errorf("the old agent says it %d times, want %d", n, maxClaims)
	}
	newer.awaitReport("web-1", "the newer agent's report", func(rep *store.Report) bool {
		return rep.Agent != first.Agent && rep.Seq > 5
	})
	newer.stop()
	wantError(t, newer.end(), "")
}

// An agent that could not report at first takes over from the run before it, whose lease still stands.
func TestARestartInAnOutageTakesOver(t *testing.T) {
	db := storetest.Start(t)
	before, err := store.Dial([]string{db.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if _, err := before.Report(soon(t), store.Report{
		Service: testService, ID: "web-1", Reporter: "p1", Lease: 3600, Agent: "before", Seq: 1,
	}); err != nil {
		t.Fatal(err)
	}
	db.Do("CONFIG", "SET", "min-replicas-to-write", "1") // refuses every write
	interval := 20 * time.Millisecond
	p := start(t, db, Config{
		Redis: []string{db.URL}, Reporter: "p1", Interval: interval, Lease: time.Minute,
		Servers: []Probed{{Server: "web-1", Services: []string{testService},
			Probe: []Probe{{TCP: &TCPProbe{Address: listen(t, hold)}, Timeout: interval}}}},
	})
	p.log.await(t, "cannot report")
	db.Do("CONFIG", "SET", "min-replicas-to-write", "0")
	p.awaitReport("web-1@p1", "a report of this run", func(rep *store.Report) bool { return rep.Agent != "before" })
	p.stop()
	wantError(t, p.end(), "")
}

func TestDrainsOfAgentsAndOperators(t *testing.T) {
	db := storetest.Start(t)
	op, err := store.Dial([]string{db.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer op.Close()
	for _, tt := range []struct {
		name, by, state string
		stays           bool
	}{
		{"the agent's own drain ends with its start", store.ByAgent, "drain", false},
		{"an operator's drain stands", store.ByOperator, "drain", true},
		{"an operator's maint stands", store.ByOperator, "maint", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db.Do("FLUSHALL")
			set(t, op, tt.state, tt.by)
			r := start(t, db, rapid(db))
			r.awaitReport("web-1", "a report", whatever)
			if got := field(db, "adms", "web-1"); strings.Contains(got, tt.state) != tt.stays {
				t.Errorf("after the start the admin state is %q", got)
			}
			r.stop()
			wantError(t, r.end(), "")
			got := field(db, "adms", "web-1")
			if strings.Contains(got, tt.state) != tt.stays || (field(db, "srvs", "web-1") != "") != tt.stays {
				t.Errorf("after the end the admin state is %q, the server %q", got, field(db, "srvs", "web-1"))
			}
		})
	}
}

func set(t *testing.T, op *store.Client, state, by string) {
	t.Helper()
	var err error
	if state == "drain" {
		_, err = op.SetAdmin(soon(t), testService, "web-1", "drain", by)
	} else {
		_, err = op.SetAdmin(soon(t), testService, "web-1", "maint", by)
	}
	wantError(t, err, "")
}

// What an operator wrote about a server is not the agent's to replace or to remove.
func TestAnOperatorsServerStands(t *testing.T) {
	db := storetest.Start(t)
	op, err := store.Dial([]string{db.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer op.Close()
	cfg := rapid(db)
	rec, err := serverRecord(&cfg, Service{Port: 8080})
	wantError(t, err, "")
	_, err = op.PutServer(soon(t), testService, rec, store.ByOperator)
	wantError(t, err, "")
	r := start(t, db, cfg)
	r.awaitReport("web-1", "a report", whatever)
	r.stop()
	wantError(t, r.end(), "")
	if got := field(db, "srvs", "web-1"); !strings.Contains(got, "8080") {
		t.Errorf("server is %q, want the operator's", got)
	}
}

func TestASecondSignalLeavesAtOnce(t *testing.T) {
	db := storetest.Start(t)
	cfg := rapid(db)
	cfg.Drain = new(time.Hour)
	r := start(t, db, cfg)
	r.awaitReport("web-1", "a report", whatever)
	r.stop()
	r.log.await(t, "server drains")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantError(t, r.end(), "")
	if got := field(db, "srvs", "web-1"); got != "" {
		t.Errorf("server is still %s", got)
	}
}

func TestProbesDecideHealth(t *testing.T) {
	db := storetest.Start(t)
	var broken atomic.Bool
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(500)
		}
	})
	cfg := rapid(db)
	cfg.Drain = new(time.Duration(-1))
	cfg.Probe = []Probe{{HTTP: &HTTPProbe{URL: app.URL}, Timeout: cfg.Interval}}
	r := start(t, db, cfg)
	r.awaitReport("web-1", "an up", func(rep *store.Report) bool { return rep.Health == "up" })
	broken.Store(true)
	rep := r.awaitReport("web-1", "a down", func(rep *store.Report) bool { return rep.Health == "down" })
	if rep.Reason != "probe[0].http: status 500" {
		t.Errorf("reason is %q", rep.Reason)
	}
	broken.Store(false)
	r.awaitReport("web-1", "an up again", func(rep *store.Report) bool { return rep.Health == "up" })
	r.stop()
	wantError(t, r.end(), "")
	if r.log.count("server drains") != 0 {
		t.Error("it drains, though it was told not to")
	}
}

func TestProber(t *testing.T) {
	db := storetest.Start(t)
	agent := start(t, db, rapid(db))
	agent.awaitReport("web-1", "a report", whatever)
	app := listen(t, hold)
	interval := 20 * time.Millisecond
	p := start(t, db, Config{
		Redis: []string{db.URL}, Reporter: "p1", Interval: interval, Lease: time.Minute,
		Servers: []Probed{
			{Server: "web-1", Services: []string{testService}, Probe: []Probe{{TCP: &TCPProbe{Address: app}, Timeout: interval}}},
			{Server: "web-2", Services: []string{testService}, Probe: []Probe{{TCP: &TCPProbe{Address: refused(t)}, Timeout: interval}}},
		},
	})
	p.awaitReport("web-1@p1", "an up", func(rep *store.Report) bool { return rep.Health == "up" && rep.Utilization == nil })
	p.awaitReport("web-2@p1", "a down", func(rep *store.Report) bool { return rep.Health == "down" })
	p.stop()
	wantError(t, p.end(), "")
	if got := field(db, "srvs", "web-2"); got != "" {
		t.Errorf("the prober registered %s", got)
	}
	if got := field(db, "srvs", "web-1"); got == "" {
		t.Error("the prober took the server with it")
	}
	agent.stop()
	wantError(t, agent.end(), "")
}

// A server is not announced before every probe has had a result.
func TestNotAnnouncedOnAGuess(t *testing.T) {
	db := storetest.Start(t)
	cfg := rapid(db).withDefaults()
	cfg.Probe = probeDefaults([]Probe{{TCP: &TCPProbe{Address: listen(t, hold)}}}, time.Second)
	client, err := store.Dial(cfg.Redis, cfg.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	a, err := newAgent(t.Context(), &cfg, client, quiet)
	wantError(t, err, "")
	_, err = a.round(soon(t), time.Now())
	wantError(t, err, "")
	if got := field(db, "srvs", "web-1"); got != "" {
		t.Errorf("server is %s before its probe", got)
	}
	a.subjects[0].probes[0].once(soon(t))
	_, err = a.round(soon(t), time.Now())
	wantError(t, err, "")
	if got := field(db, "srvs", "web-1"); got == "" {
		t.Error("server is not announced after its probe")
	}

	// An agent that starves says so.
	_, err = a.round(soon(t), time.Now().Add(-cfg.Interval))
	wantError(t, err, "")
	if got := field(db, "reps", "web-1"); !strings.Contains(got, "agent starves: 1 deadlines missed") {
		t.Errorf("report is %s", got)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg Config
		err string
	}{
		{Config{}, "config: redis: expected at least one URL"},
		{Config{Redis: []string{"gopher://x"}, Server: "a", Services: []Service{{Name: "x.org"}}, Addresses: []string{"192.0.2.1"}}, "config: redis"},
		{Config{Redis: []string{"redis://x"}, Server: "a", Services: []Service{{Name: "x.org"}}, Addresses: []string{"192.0.2.1"},
			Collect: []Collect{{Host: &Host{Proc: "/nowhere"}}}}, "config: collect[0].host: proc"},
	} {
		wantError(t, Run(t.Context(), tt.cfg, quiet), tt.err)
	}
}

func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "10000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	said := make(chan string, 1000)
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			select {
			case said <- string(buf[:n]):
			default:
			}
		}
	}()
	db := storetest.Start(t)
	cfg := rapid(db)
	cfg.Interval = 10 * time.Second // the watchdog is heard from between reports
	r := start(t, db, cfg)
	r.log.await(t, "agent starts")
	want := []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"}
	for i, w := range want {
		if i == len(want)-1 {
			r.stop()
		}
		awaitSaid(t, said, w)
	}
	wantError(t, r.end(), "")
}

func awaitSaid(t *testing.T, said <-chan string, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case got := <-said:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("systemd was not told %s", want)
		}
	}
}

func TestPause(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		interval  time.Duration
		failures  int
		low, high time.Duration
	}{
		{2 * s, 0, 1800 * time.Millisecond, 2200 * time.Millisecond},
		{2 * s, 1, 125 * time.Millisecond, 250 * time.Millisecond},
		{2 * s, 2, 250 * time.Millisecond, 500 * time.Millisecond},
		{2 * s, 3, 500 * time.Millisecond, 1 * s},
		{2 * s, 4, 1 * s, 2 * s},
		{2 * s, 1000, 1 * s, 2 * s},
		{60 * s, 1000, 2500 * time.Millisecond, 5 * s},
	} {
		if low, high := pause(tt.interval, tt.failures, 0), pause(tt.interval, tt.failures, 1); low != tt.low || high != tt.high {
			t.Errorf("%v after %d failures: got %v to %v, want %v to %v", tt.interval, tt.failures, low, high, tt.low, tt.high)
		}
	}
}

func TestHostIdentity(t *testing.T) {
	if id, err := hostID(); err == nil && store.CheckID(id) != nil {
		t.Errorf("id is %q", id)
	}
	if a, b := newInstance(), newInstance(); a == b || len(a) != 16 {
		t.Errorf("instances are %q and %q", a, b)
	}
}
