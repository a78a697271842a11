package store

import (
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/steer"
)

// Reports are most of what a replica reads, and nearly all are flat objects of plain numbers and strings. Those are
// read here, several times faster than by encoding/json; whatever is the least bit unusual (nesting, escapes, null,
// names in other cases, unknown ones) is left to it.

// flatReport reads a plain report into r. When it returns false, r is to be thrown away and the text read by encoding/json.
func flatReport(text string, r *Report) bool {
	p := flat{text: text}
	var nums [7]float64
	if !p.token('{') {
		return false
	}
	for {
		name, ok := p.str()
		if !ok || !p.token(':') || !p.field(name, r, &nums) {
			return false
		}
		if p.token(',') {
			continue
		}
		return p.token('}') && p.end()
	}
}

// field reads the value of one field.
func (p *flat) field(name string, r *Report, nums *[7]float64) (ok bool) {
	switch name {
	case "utilization":
		r.Utilization, ok = p.ref(&nums[0])
	case "cpu":
		r.CPU, ok = p.ref(&nums[1])
	case "mem":
		r.Mem, ok = p.ref(&nums[2])
	case "rps":
		r.RPS, ok = p.ref(&nums[3])
	case "eps":
		r.EPS, ok = p.ref(&nums[4])
	case "in_flight":
		r.InFlight, ok = p.ref(&nums[5])
	case "latency":
		r.Latency, ok = p.ref(&nums[6])
	case "lease":
		r.Lease, ok = p.num()
	case "health":
		var s string
		s, ok = p.copied()
		r.Health = steer.Health(s)
	case "reason":
		r.Reason, ok = p.copied()
	case "agent":
		r.Agent, ok = p.copied()
	case "seq":
		r.Seq, ok = p.whole()
	case "well":
		var n uint64
		n, ok = p.whole()
		r.Well = int64(n)
		ok = ok && n <= maxTime
	case "at":
		var n uint64
		n, ok = p.whole()
		r.At = int64(n)
		ok = ok && n <= maxTime
	}
	return ok
}

// flat is a place in a text.
type flat struct {
	text string
	at   int
}

func (p *flat) skip() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t' || p.text[p.at] == '\r') {
		p.at++
	}
}

func (p *flat) token(c byte) bool {
	p.skip()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *flat) end() bool {
	p.skip()
	return p.at == len(p.text)
}

// str reads a string without escapes.
func (p *flat) str() (string, bool) {
	if !p.token('"') {
		return "", false
	}
	start := p.at
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[start : p.at-1], true
		case c == '\\' || c < ' ':
			return "", false
		}
	}
	return "", false
}

// copied reads a string that may outlive the text.
func (p *flat) copied() (string, bool) {
	s, ok := p.str()
	if s == string(steer.Up) {
		return string(steer.Up), ok // nearly always
	}
	return strings.Clone(s), ok
}

// digits reads decimal digits and returns how many.
func (p *flat) digits() int {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at - start
}

// whole reads a whole number.
func (p *flat) whole() (uint64, bool) {
	p.skip()
	start := p.at
	n := p.digits()
	if n == 0 || n > 1 && p.text[start] == '0' || p.at < len(p.text) && (p.text[p.at] == '.' || p.text[p.at]|0x20 == 'e') {
		return 0, false
	}
	v, err := strconv.ParseUint(p.text[start:p.at], 10, 64)
	return v, err == nil
}

// num reads a number without a sign or an exponent.
func (p *flat) num() (float64, bool) {
	p.skip()
	start := p.at
	n := p.digits()
	if n == 0 || n > 1 && p.text[start] == '0' {
		return 0, false
	}
	if p.at < len(p.text) && p.text[p.at] == '.' {
		p.at++
		if p.digits() == 0 {
			return 0, false
		}
	}
	if p.at < len(p.text) && p.text[p.at]|0x20 == 'e' {
		return 0, false
	}
	v, err := strconv.ParseFloat(p.text[start:p.at], 64)
	return v, err == nil
}

func (p *flat) ref(into *float64) (*float64, bool) {
	v, ok := p.num()
	*into = v
	return into, ok
}
