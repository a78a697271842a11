package agent

import (
	"io"
	"net"
	"strings"
	"testing"
)

var agentCheckTests = []struct {
	lines []string
	want  string
	err   string
}{
	{[]string{"75% up maxconn:30"}, "utilization=0.25 health=up", ""},
	{[]string{"0%"}, "utilization=1", ""},
	{[]string{"150%"}, "utilization=0", ""},
	{[]string{"up,\tready , 50%"}, "utilization=0.5 health=up", ""},
	{[]string{"maint"}, `health=down reason="agent-check: maint"`, ""},
	{[]string{"drain"}, `utilization=1 health=up reason="agent-check: drain"`, ""},
	{[]string{"down #disk is full"}, `health=down reason="agent-check: down disk is full"`, ""},
	{[]string{"stopped"}, `health=down reason="agent-check: stopped"`, ""},
	{[]string{"failed"}, `health=down reason="agent-check: failed"`, ""},
	// What a line does not mention keeps its state.
	{[]string{"40% up", "up"}, "utilization=0.6 health=up", ""},
	{[]string{"40% down", "50%"}, `utilization=0.5 health=down reason="agent-check: down"`, ""},
	{[]string{"down #x", "ready"}, `health=down reason="agent-check: down x"`, ""},
	{[]string{"drain", "up 30%"}, `utilization=1 health=up reason="agent-check: drain"`, ""},
	{[]string{"maint", "ready 30%"}, "utilization=0.7 health=up", ""},
	{[]string{"down #x", "up"}, "health=up", ""},
	{[]string{""}, "", "empty line"},
	{[]string{" , "}, "", "empty line"},
	{[]string{"#only a reason"}, "", "empty line"},
	{[]string{"x%"}, "", "expected a percentage"},
	{[]string{"-5%"}, "", "expected a percentage"},
	{[]string{"maxconn:many"}, "", "expected a number of connections"},
	{[]string{"up fine"}, "", "expected an agent-check word"},
}

func TestAgentCheck(t *testing.T) {
	for _, tt := range agentCheckTests {
		t.Run(strings.Join(tt.lines, "|"), func(t *testing.T) {
			var a agentCheck
			var err error
			for _, line := range tt.lines {
				a, err = a.next(line)
			}
			if !wantError(t, err, tt.err) {
				wantSample(t, a.sample(), tt.want)
			}
		})
	}
}

func TestHAProxyServer(t *testing.T) {
	for _, tt := range []struct {
		name, send string
		talk       func(net.Conn)
		want, err  string
	}{
		{"line", "", func(c net.Conn) { io.WriteString(c, "80% up\r\n"); hold(c) }, "utilization=0.2 health=up", ""},
		{"no line end", "", func(c net.Conn) { io.WriteString(c, "up 80%") }, "utilization=0.2 health=up", ""},
		{"asked first", "web-1\n", func(c net.Conn) {
			line, _ := readLine(c)
			if line == "web-1" {
				io.WriteString(c, "60%\n")
			}
		}, "utilization=0.4", ""},
		{"nothing", "", func(c net.Conn) {}, "", "empty line"},
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
