package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HAProxy is the collector of an agent-check server: whatever HAProxy could ask for its weight can be asked by farm.
type HAProxy struct {
	Address string `yaml:"address"` // host:port of the agent-check server
	Send    string `yaml:"send"`    // what to send first (HAProxy's agent-send)
}

func (h *HAProxy) validate() error { return checkAddress(h.Address) }

// checkAddress says whether s is host:port.
func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || host == "" || e != nil || n == 0 {
		return fmt.Errorf("address: %.100q, expected host:port", s)
	}
	return nil
}

// maxAgentLine is longer than any line HAProxy itself would read.
const maxAgentLine = 1024

type haproxyCollector struct {
	address, send string
	state         agentCheck
}

func newHAProxy(cfg *HAProxy) *haproxyCollector {
	return &haproxyCollector{address: cfg.Address, send: cfg.Send}
}

func (h *haproxyCollector) collect(ctx context.Context, _ time.Time) (Sample, error) {
	line, err := askLine(ctx, h.address, h.send)
	if err != nil {
		return Sample{}, err
	}
	next, err := h.state.next(line)
	if err != nil {
		return Sample{}, err
	}
	h.state = next
	return next.sample(), nil
}

// askLine connects, sends what is to be sent, and reads one line.
func askLine(ctx context.Context, address, send string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if send != "" {
		if _, err := io.WriteString(conn, send); err != nil {
			return "", err
		}
	}
	return readLine(conn)
}

func readLine(r io.Reader) (string, error) {
	buf := make([]byte, maxAgentLine)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		n += k
		if i := bytes.IndexAny(buf[:n], "\r\n"); i >= 0 {
			return string(buf[:i]), nil
		}
		if err == io.EOF {
			return string(buf[:n]), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("line is longer than %d octets", maxAgentLine)
}

// agentCheck is what an agent-check server has said so far: what a line does not mention keeps its state. The
// administrative state and the operational one are apart, as in HAProxy.
type agentCheck struct {
	admin  string // "", ready, drain, maint
	oper   string // "", up, down
	reason string // of oper
	weight *float64
}

// next returns the state after one more line: words separated by space, tab or comma, in any order, and after a "#"
// a reason for people.
func (a agentCheck) next(line string) (agentCheck, error) {
	words, reason, _ := strings.Cut(line, "#")
	found := false
	for w := range strings.FieldsFuncSeq(words, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		if err := a.word(w, reason); err != nil {
			return agentCheck{}, err
		}
		found = true
	}
	if !found {
		return agentCheck{}, errors.New("empty line, expected agent-check words")
	}
	return a, nil
}

func (a *agentCheck) word(w, reason string) error {
	percent, isWeight := strings.CutSuffix(w, "%")
	maxconn, isMaxconn := strings.CutPrefix(w, "maxconn:")
	switch {
	case slices.Contains([]string{"ready", "drain", "maint"}, w):
		a.admin = w
	case w == "up":
		a.oper, a.reason = "up", ""
	case slices.Contains([]string{"down", "failed", "stopped"}, w):
		a.oper, a.reason = "down", strings.TrimSpace(w+" "+reason)
	case isWeight:
		n, err := strconv.ParseUint(percent, 10, 16)
		if err != nil {
			return fmt.Errorf("word %.40q, expected a percentage", w)
		}
		a.weight = new(float64(n) / 100)
	case isMaxconn:
		if _, err := strconv.ParseUint(maxconn, 10, 32); err != nil {
			return fmt.Errorf("word %.40q, expected a number of connections", w)
		}
	default:
		return fmt.Errorf("word %.40q, expected an agent-check word", w)
	}
	return nil
}

// sample takes the weight for what is free, which is how agents choose it. A draining server is as full as can be: it
// gets nobody new unless nothing else is left.
func (a agentCheck) sample() Sample {
	var s Sample
	if a.weight != nil {
		s.Utilization = new(max(0, 1-*a.weight))
	}
	switch {
	case a.admin == "maint":
		s.Health, s.Reason = Down, "agent-check: maint"
	case a.oper == "down":
		s.Health, s.Reason = Down, "agent-check: "+a.reason
	case a.admin == "drain":
		s.Utilization, s.Health, s.Reason = new(1.0), Up, "agent-check: drain"
	case a.oper == "up" || a.admin == "ready":
		s.Health = Up
	}
	return s
}
