package main

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value is a flag that checks what it is given. The flag library puts the flag's name before what set says.
type value struct {
	kind string // what the help calls it
	text string
	set  func(string) error
}

func (v *value) String() string { return v.text }
func (v *value) Type() string   { return v.kind }

func (v *value) Set(s string) error {
	v.text = s
	return v.set(s)
}

// number is a flag from lo to hi; a percentage is as good. 0 or nothing is not said.
func number(p *float64, kind string, lo, hi float64) *value {
	return &value{kind: kind, set: func(s string) error {
		digits, isPercent := strings.CutSuffix(s, "%")
		x, err := parseNumber(digits)
		if isPercent {
			x /= 100
		}
		if err != nil || x != 0 && (x < lo || x > hi) || math.IsNaN(x) {
			return fmt.Errorf("want a number from %v to %v", lo, hi)
		}
		*p = x
		return nil
	}}
}

func parseNumber(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.ParseFloat(s, 64)
}

// whole is a flag of an integer from 0 to hi. 0 or nothing is not said.
func whole[T int | uint16](p *T, kind string, hi int) *value {
	return &value{kind: kind, set: func(s string) error {
		x, err := parseNumber(s)
		if err != nil || x != math.Trunc(x) || !(x >= 0 && x <= float64(hi)) {
			return fmt.Errorf("want a whole number from 0 to %d", hi)
		}
		*p = T(x)
		return nil
	}}
}

// duration is a flag of seconds, or of a duration such as 1m30s, from 0 to hi seconds. 0 or nothing is not said.
func duration(p *float64, hi int) *value {
	return &value{kind: "duration", set: func(s string) error {
		x, err := parseNumber(s)
		if err != nil {
			var d time.Duration
			d, err = time.ParseDuration(s)
			x = d.Seconds()
		}
		if err != nil || !(x >= 0 && x <= float64(hi)) {
			return fmt.Errorf("want a duration from 0s to %s, such as 90s", span(seconds(float64(hi))))
		}
		*p = x
		return nil
	}}
}

// ttl is a flag of whole seconds.
func ttl(p *uint32, hi int) *value {
	var x float64
	d := duration(&x, hi)
	return &value{kind: "duration", set: func(s string) error {
		if err := d.set(s); err != nil || x != math.Trunc(x) {
			return fmt.Errorf("want whole seconds from 0s to %s", span(seconds(float64(hi))))
		}
		*p = uint32(x)
		return nil
	}}
}

// oneOf is a flag of a word. Nothing is not said.
func oneOf[T ~string](p *T, kind string, words []T) *value {
	return &value{kind: kind, set: func(s string) error {
		for _, w := range append(words, "") {
			if string(w) == strings.ToLower(s) {
				*p = w
				return nil
			}
		}
		return fmt.Errorf("want one of %s", join(words))
	}}
}

func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}

// list is a flag that may be repeated, or be given several words with commas. An empty word empties it.
func list[T any](p *[]T, kind string, parse func(string) (T, error)) *value {
	return &value{kind: kind, set: func(s string) error {
		if s == "" {
			*p = nil
			return nil
		}
		for word := range strings.SplitSeq(s, ",") {
			x, err := parse(strings.TrimSpace(word))
			if err != nil {
				return err
			}
			*p = append(*p, x)
		}
		return nil
	}}
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("want an IP address without a zone, such as 192.0.2.1 or 2001:db8::1")
	}
	return a, nil
}

func parseName(s string) (string, error) { return fqdn(s), nil }
func parseWord(s string) (string, error) { return s, nil }

// name is a flag of a domain name. Nothing is not said.
func name(p *string) *value {
	return &value{kind: "name", set: func(s string) error {
		*p = ""
		if s != "" {
			*p = fqdn(s)
		}
		return nil
	}}
}

// prefix is a flag of a client: an address, or a subnet in CIDR form.
func prefix(p *netip.Prefix) *value {
	return &value{kind: "address", set: func(s string) error {
		a, err := netip.ParseAddr(s)
		if err == nil && a.Zone() == "" {
			a = a.Unmap()
			*p = netip.PrefixFrom(a, a.BitLen())
			return nil
		}
		*p, err = netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("want an IP address or a subnet, such as 192.0.2.7 or 192.0.2.0/24")
		}
		*p = p.Masked()
		return nil
	}}
}

// word is a flag of a plain word.
func word(p *string) *value {
	return &value{kind: "name", set: func(s string) error {
		*p = s
		return nil
	}}
}

// goDuration is a flag of a duration above zero.
func goDuration(p *time.Duration) *value {
	return &value{kind: "duration", set: func(s string) error {
		var x float64
		if err := duration(&x, 86_400).set(s); err != nil {
			return err
		}
		*p = seconds(x)
		return nil
	}}
}
