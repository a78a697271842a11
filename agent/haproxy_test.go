package agent

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// agentCheckTests are lines of an agent-check server, one after the other, and what they mean. TestAgentCheckAsHAProxy asks
// a real HAProxy about each.
var agentCheckTests = []struct {
	lines []string
	want  string
	odd   string // the word that is passed over
}{
	{[]string{"75% up maxconn:30"}, "utilization=0.25 health=up", ""},
	{[]string{"0%"}, "utilization=1", ""},
	{[]string{"150%"}, "utilization=0", ""},
	{[]string{"007%"}, "utilization=0.93", ""},
	{[]string{"99999999999999999999%"}, "utilization=0", ""},
	{[]string{"up,\tready , 50%"}, "utilization=0.5 health=up", ""},
	{[]string{"Up 50%"}, "utilization=0.5 health=up", ""},
	{[]string{"50%\r"}, "utilization=0.5", ""},
	{[]string{"10% 20%"}, "utilization=0.8", ""},
	{[]string{"MAXCONN:100 30%"}, "utilization=0.7", ""},
	{[]string{"maxconn:many 30%"}, "utilization=0.7", ""},
	{[]string{"maint"}, `health=down reason="agent-check: maint"`, ""},
	{[]string{"MAINT"}, `health=down reason="agent-check: maint"`, ""},
	{[]string{"maint drain"}, `health=up drain reason="agent-check: drain"`, ""},
	{[]string{"drain maint ready"}, "health=up", ""},
	{[]string{"drain"}, `health=up drain reason="agent-check: drain"`, ""},
	{[]string{"Drain 40%"}, `utilization=0.6 health=up drain reason="agent-check: drain"`, ""},
	{[]string{"down"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"DOWN"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"\tdown\t"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"down #disk is full"}, `health=down reason="agent-check: down disk is full"`, ""},
	{[]string{"fail"}, `health=down reason="agent-check: fail"`, ""},
	{[]string{"FAIL # Disk"}, `health=down reason="agent-check: fail Disk"`, ""},
	{[]string{"stopped"}, `health=down reason="agent-check: stopped"`, ""},
	{[]string{"up down"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"down up"}, "health=up", ""},
	// What a line does not mention keeps its state.
	{[]string{"40% up", "up"}, "utilization=0.6 health=up", ""},
	{[]string{"40% down", "50%"}, `utilization=0.5 health=down reason="agent-check: down"`, ""},
	{[]string{"down #x", "ready"}, `health=down reason="agent-check: down x"`, ""},
	{[]string{"down", ""}, `health=down reason="agent-check: down"`, ""},
	{[]string{"down", "#only a description"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"down", "maxconn:5"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"drain", "up 30%"}, `utilization=0.7 health=up drain reason="agent-check: drain"`, ""},
	{[]string{"drain", "ready"}, "health=up", ""},
	{[]string{"drain", "down"}, `health=down drain reason="agent-check: down"`, ""},
	{[]string{"maint", "ready 30%"}, "utilization=0.7 health=up", ""},
	{[]string{"maint", "up"}, `health=down reason="agent-check: maint"`, ""},
	{[]string{"down", "maint", "ready"}, `health=down reason="agent-check: down"`, ""},
	{[]string{"down", "maint", "up", "ready"}, "health=up", ""},
	{[]string{"down #x", "up"}, "health=up", ""},
	// Words that are not known are passed over.
	{[]string{"up fine"}, "health=up", "fine"},
	{[]string{"fine UP 50%"}, "utilization=0.5 health=up", "fine"},
	{[]string{"down", "fine"}, `health=down reason="agent-check: down"`, "fine"},
	{[]string{"stop"}, "", "stop"},
	{[]string{"down."}, "", "down."},
	{[]string{"\"down\""}, "", "\"down\""},
	{[]string{"down\x0bup"}, "", "down\x0bup"},
	{[]string{"d\xc3\xb6wn"}, "", "d\xc3\xb6wn"},
	{[]string{"up;30%"}, "", "up;30%"},
	{[]string{"50"}, "", "50"},
	{[]string{"50 %"}, "", "50"},
	{[]string{"x%"}, "", "x%"},
	{[]string{"-5%"}, "", "-5%"},
	{[]string{"+5%"}, "", "+5%"},
	{[]string{"5.5%"}, "", "5.5%"},
	{[]string{"50%%"}, "", "50%%"},
	{[]string{"20% 5x%"}, "", "5x%"},
	{[]string{"", " , ", "#"}, "", ""},
	{[]string{"up#x", "30%#x", "ready#x"}, "", "ready#x"},
}

// agentCheckExtras are what farm takes and HAProxy passes over: "failed" stands in its manual, and what a description
// glued to a word for down means is beyond doubt.
var agentCheckExtras = []struct{ line, want string }{
	{"failed", `health=down reason="agent-check: failed"`},
	{"down#disk", `health=down reason="agent-check: down disk"`},
	{"Fail#disk is full", `health=down reason="agent-check: fail disk"`},
}

func TestAgentCheck(t *testing.T) {
	for _, tt := range agentCheckTests {
		t.Run(strings.Join(tt.lines, "|"), func(t *testing.T) {
			var a agentCheck
			var odd string
			for _, line := range tt.lines {
				odd = a.take(strings.TrimSuffix(line, "\r"))
			}
			wantSample(t, a.sample(), tt.want)
			if odd != tt.odd {
				t.Errorf("passed over %q, want %q", odd, tt.odd)
			}
		})
	}
	for _, tt := range agentCheckExtras {
		var a agentCheck
		a.take(tt.line)
		wantSample(t, a.sample(), tt.want)
	}
}

// TestAgentCheckAsHAProxy compares farm with a real HAProxy that asks the same agent-check server, line by line.
func TestAgentCheckAsHAProxy(t *testing.T) {
	h := startHAProxy(t)
	for _, tt := range agentCheckTests {
		h.compare(t, tt.lines, "\n")
	}
	// A line without any end is left out: HAProxy says that it ignores such, and at times reads on in its buffer.
	for _, end := range []string{"\x00\n", "\r\n", "\rdown\n", "\ndown\n"} {
		h.compare(t, []string{"up 40%", "drain 50%"}, end)
		h.compare(t, []string{"down"}, end)
	}
	h.compare(t, []string{"\ndown 30%"}, "\n")
	words := []string{"up", "DOWN", "fail", "stopped", "ready", "Drain", "maint", "70%", "5%", "200%", "1x%", "maxconn:9", "odd", "#", "# x", ",", "\t", "\n", "\r"}
	chance := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var lines []string
		for range 1 + chance.IntN(4) {
			var line []string
			for range chance.IntN(5) {
				line = append(line, words[chance.IntN(len(words))])
			}
			lines = append(lines, strings.Join(line, " "))
		}
		h.compare(t, lines, "\n")
	}
	for _, tt := range agentCheckExtras {
		h.say(t, "up ready 100%\n")
		h.say(t, tt.line+"\n")
		if got := h.state(t); got != "open 100%" {
			t.Errorf("HAProxy takes %q now, and is %s: it is no difference any more", tt.line, got)
		}
	}
}

// haproxy is a real HAProxy with one server, whose agent-check server says what the test wants.
type haproxy struct {
	socket string
	mu     sync.Mutex
	reply  string
	asked  int
}

func startHAProxy(t *testing.T) *haproxy {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("skipped: haproxy is missing; run make setup as root")
	}
	dir, err := os.MkdirTemp("", "farm") // a socket's path is short
	wantError(t, err, "")
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &haproxy{socket: filepath.Join(dir, "stats")}
	_, port, err := net.SplitHostPort(listen(t, h.answer))
	wantError(t, err, "")
	conf := filepath.Join(dir, "haproxy.cfg")
	wantError(t, os.WriteFile(conf, []byte(fmt.Sprintf(`global
    stats socket %s mode 600 level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    timeout check 5s
listen b
    bind unix@%s/front
    server s 127.0.0.1:9 weight 100 agent-check agent-addr 127.0.0.1 agent-port %s agent-inter 10ms
`, h.socket, dir, port)), 0o600), "")
	c := exec.Command(path, "-db", "-f", conf)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	wantError(t, c.Start(), "")
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	await(t, "HAProxy to ask", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.asked > 0 })
	return h
}

func (h *haproxy) answer(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	io.WriteString(c, h.reply)
	h.asked++
}

// say answers checks with the reply, until HAProxy has dealt with one: it asks again only then. A check that timed out, as
// on a busy machine, does not count.
func (h *haproxy) say(t *testing.T, reply string) {
	t.Helper()
	h.mu.Lock()
	h.reply = reply
	until := h.asked + 2
	h.mu.Unlock()
	asked := func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.asked >= until }
	await(t, "HAProxy to hear the reply", func() bool { return asked() && !strings.Contains(h.lastCheck(t), "TOUT") })
}

// lastCheck returns how the last check ended.
func (h *haproxy) lastCheck(t *testing.T) string {
	lines := h.command(t, "show stat b 4 -1")
	column := slices.Index(strings.Split(lines[0], ","), "agent_status")
	return strings.Split(lines[1], ",")[column]
}

// command returns the lines that the statistics socket answers.
func (h *haproxy) command(t *testing.T, command string) []string {
	t.Helper()
	conn, err := net.Dial("unix", h.socket)
	wantError(t, err, "")
	defer conn.Close()
	io.WriteString(conn, command+"\n")
	all, err := io.ReadAll(conn)
	wantError(t, err, "")
	return strings.Split(string(all), "\n")
}

// The columns of the statistics socket's server states, and bits of the administrative state.
const (
	columnOper   = 5
	columnAdmin  = 6
	columnWeight = 7
	adminMaint   = 0x01
	adminDrain   = 0x08
)

// state returns what HAProxy holds of its server.
func (h *haproxy) state(t *testing.T) string {
	t.Helper()
	for _, line := range h.command(t, "show servers state b") {
		f := strings.Fields(line)
		if len(f) <= columnWeight || f[1] != "b" {
			continue
		}
		admin, _ := strconv.Atoi(f[columnAdmin])
		switch {
		case admin&adminMaint != 0:
			return "maint " + f[columnWeight] + "%"
		case f[columnOper] == "0":
			return "down " + f[columnWeight] + "%"
		case admin&adminDrain != 0:
			return "drain " + f[columnWeight] + "%"
		}
		return "open " + f[columnWeight] + "%"
	}
	t.Fatal("HAProxy does not say how its server is")
	return ""
}

// compare has HAProxy and farm hear the same lines.
func (h *haproxy) compare(t *testing.T, lines []string, end string) {
	t.Helper()
	var a agentCheck
	a.take("up ready 100%")
	h.say(t, "up ready 100%\n")
	for _, line := range lines {
		h.say(t, line+end)
		if got, err := readLine(strings.NewReader(line + end)); err == nil {
			a.take(got)
		}
	}
	state := "open"
	switch s := a.sample(); {
	case a.admin == "maint":
		state = "maint"
	case s.Health == Down:
		state = "down"
	case s.Drain:
		state = "drain"
	}
	// HAProxy's weights end at 256.
	if got, want := h.state(t), fmt.Sprintf("%s %.0f%%", state, min(*a.weight*100, 256)); got != want {
		t.Errorf("%q with end %q: HAProxy is %s, farm %s", lines, end, got, want)
	}
}

func TestHAProxyServer(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		talk       func(net.Conn)
		want, err  string
	}{
		{"line", "", func(c net.Conn) { io.WriteString(c, "80% up\r\n"); hold(c) }, "utilization=0.2 health=up", ""},
		{"odd word", "", func(c net.Conn) { io.WriteString(c, "80% up well\n") },
			`utilization=0.2 health=up (word: "well", expected one of agent-check)`, ""},
		{"in pieces", "", func(c net.Conn) {
			for _, b := range []byte("80% up\n") {
				c.Write([]byte{b})
			}
		}, "utilization=0.2 health=up", ""},
		{"no line end", "", func(c net.Conn) { io.WriteString(c, "up 80%") }, "", `line "up 80%": connection closed, expected the end of the line`},
		{"asked first", "web-1\n", func(c net.Conn) {
			line, _ := readLine(c)
			if line == "web-1" {
				io.WriteString(c, "60%\n")
			}
		}, "utilization=0.4", ""},
		{"nothing", "", func(c net.Conn) {}, "", "expected the end of the line"},
		{"endless", "", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "up up up "); err != nil {
					return
				}
			}
		}, "", "longer than"},
		{"silent", "", hold, "", "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHAProxy(&HAProxy{Address: listen(t, tt.talk), Send: tt.send})
			ctx := soon(t)
			if tt.name == "silent" {
				ctx = brief(t)
			}
			s, err := h.collect(ctx, epoch)
			if !wantError(t, err, tt.err) {
				wantSample(t, s, tt.want)
			}
		})
	}
	_, err := newHAProxy(&HAProxy{Address: refused(t)}).collect(soon(t), epoch)
	wantError(t, err, "refused")
}
