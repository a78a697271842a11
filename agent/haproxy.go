package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/suggest"
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
		return fmt.Errorf("address: %.100q, expected host:port", suggest.Shown(s))
	}
	return nil
}

// maxAgentLine bounds a line, in octets. Real ones have a few dozen.
const maxAgentLine = 1024

type haproxyCollector struct {
	address, send string
	state         agentCheck
}

func newHAProxy(cfg *HAProxy) *haproxyCollector {
	return &haproxyCollector{address: cfg.Address, send: cfg.Send}
}

// promises says that this is a source of health, also before it said any.
func (h *haproxyCollector) promises() []string { return []string{"health"} }

func (h *haproxyCollector) collect(ctx context.Context, _ time.Time) (Sample, error) {
	line, err := askLine(ctx, h.address, h.send)
	if err != nil {
		return Sample{}, err
	}
	odd := h.state.take(line)
	s := h.state.sample()
	if odd != "" {
		s.lack("word", fmt.Sprintf("%.40q, expected one of agent-check", odd))
	}
	return s, nil
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

// readLine reads up to the end of a line. One that does not end is not taken, as in HAProxy: half of a line may say
// something else than all of it.
func readLine(r io.Reader) (string, error) {
	buf := make([]byte, maxAgentLine)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		n += k
		if i := bytes.IndexAny(buf[:n], "\r\n\x00"); i >= 0 && buf[i] != 0 {
			return string(buf[:i]), nil
		} else if i >= 0 {
			return "", fmt.Errorf("line %.40q: zero octet, expected the end of the line", buf[:i])
		}
		if err == io.EOF {
			return "", fmt.Errorf("line %.40q: connection closed, expected the end of the line", buf[:n])
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
	oper   string // "", up, or a word for down
	reason string // of oper
	weight *float64
}

// take takes one more line: words separated by space, tab or comma, in any order and any case, and after a "#" at the start
// of a word a description for people. The last word of each kind counts. Words that are not known are passed over; the
// first of them is returned. All of this is as HAProxy does it, but for "failed", which only its manual has, and
// "down#description", which it passes over.
func (a *agentCheck) take(line string) (odd string) {
	words, description := cutDescription(line)
	weight := ""
	for w := range strings.FieldsFuncSeq(words, isSeparator) {
		word := strings.ToLower(w)
		glued, text, _ := strings.Cut(word, "#")
		switch {
		case word == "ready" || word == "drain" || word == "maint":
			a.admin = word
		case word == "up":
			a.oper, a.reason = word, ""
		case isDown(word):
			a.oper, a.reason = word, description
		case isDown(glued):
			a.oper, a.reason = glued, strings.TrimSpace(text+" "+description)
		case word[0] >= '0' && word[0] <= '9' && strings.Contains(word, "%"):
			weight = word
		case strings.HasPrefix(word, "maxconn:"):
		case odd == "":
			odd = w
		}
	}
	if weight != "" && !a.takeWeight(weight) && odd == "" {
		odd = weight
	}
	return odd
}

func isSeparator(r rune) bool { return r == ' ' || r == '\t' || r == ',' }

func isDown(word string) bool {
	return word == "down" || word == "fail" || word == "failed" || word == "stopped"
}

// cutDescription cuts a line at the first "#" that begins a word.
func cutDescription(line string) (words, description string) {
	for i, r := range line {
		if r == '#' && (i == 0 || isSeparator(rune(line[i-1]))) {
			return line[:i], strings.TrimSpace(line[i+1:])
		}
	}
	return line, ""
}

// takeWeight takes a percentage and says whether it is one. A weight that is too large to be a number is one.
func (a *agentCheck) takeWeight(word string) bool {
	percent, ok := strings.CutSuffix(word, "%")
	n, err := strconv.ParseUint(percent, 10, 16)
	if !ok || err != nil && !errors.Is(err, strconv.ErrRange) {
		return false
	}
	a.weight = new(float64(n) / 100)
	return true
}

// sample takes the weight for what is free, which is how agents choose it.
func (a *agentCheck) sample() Sample {
	s := Sample{Drain: a.admin == "drain"}
	if a.weight != nil {
		s.Utilization = new(max(0, 1-*a.weight))
	}
	switch {
	case a.admin == "maint":
		s.Health, s.Reason = Down, "agent-check: maint"
	case isDown(a.oper):
		s.Health, s.Reason = Down, strings.TrimSpace("agent-check: "+a.oper+" "+a.reason)
	case a.oper == "up" || a.admin != "":
		s.Health = Up
	}
	if s.Drain && s.Reason == "" {
		s.Reason = "agent-check: drain"
	}
	return s
}
