package main

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// value is a flag, or a setting, that is kept elsewhere: set reads text into that place, show says what it holds. Empty
// text is not said. The flag library puts the flag's name before what set says.
type value struct {
	kind  string // what the help calls it
	set   func(string) error
	show  func() string
	given []string // what it was set to, in order
}

func (v *value) String() string { return v.show() }
func (v *value) Type() string   { return v.kind }

func (v *value) Set(s string) error {
	v.given = append(v.given, s)
	return v.set(s)
}

// unset is what a number or a word of a list is set to when it is to be absent again. So is the empty text.
const unset = "default"

func isUnset(s string) bool { return s == "" || strings.EqualFold(s, unset) }

// bound is where a range of numbers begins.
type bound string

// The bounds, as errors name them.
const (
	fromZero  bound = "from 0 to"
	aboveZero bound = "above 0 and up to"
)

func (b bound) allows(x, most float64) bool { return x >= 0 && x <= most && (x > 0 || b == fromZero) }

// optional is a flag of a number that may be absent, where 0 is 0.
func optional[T any](p **T, of func(*T) *value) *value {
	show := func() string {
		if *p == nil {
			return ""
		}
		return of(*p).show()
	}
	return &value{kind: of(new(T)).kind, show: show, set: func(s string) error {
		if isUnset(s) {
			*p = nil
			return nil
		}
		x := new(T)
		err := of(x).set(s)
		if err == nil {
			*p = x
		}
		return err
	}}
}

// absentIfZero is a flag of a number that is absent when it is 0, and cannot be set to it.
func absentIfZero[T comparable](p *T, of func(*T) *value) *value {
	var zero T
	show := func() string {
		if *p == zero {
			return ""
		}
		return of(p).show()
	}
	return &value{kind: of(p).kind, show: show, set: func(s string) error {
		if isUnset(s) {
			*p = zero
			return nil
		}
		return of(p).set(s)
	}}
}

// orZero is a flag of a number that is 0 when it is absent.
func orZero(v *value) *value {
	set := v.set
	v.set = func(s string) error {
		if isUnset(s) {
			s = "0"
		}
		return set(s)
	}
	return v
}

// number is a flag of a number of at most most.
func number(p *float64, from bound, most float64) *value {
	return &value{kind: "n", show: func() string { return exact(*p) }, set: func(s string) error {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || !from.allows(x, most) {
			return fmt.Errorf("expected a number %s %v", from, most)
		}
		*p = x
		return nil
	}}
}

// part is a flag of a part of one, or a percentage.
func part(p *float64, from bound, most float64) *value {
	return &value{kind: "part", show: func() string { return exactPercent(*p) }, set: func(s string) error {
		digits, isPercent := strings.CutSuffix(s, "%")
		x, err := strconv.ParseFloat(digits, 64)
		if isPercent {
			x /= 100
		}
		if err != nil || !from.allows(x, most) {
			return fmt.Errorf("expected a part of one %s %v, or a percentage", from, most)
		}
		*p = x
		return nil
	}}
}

// said shows a number, unless it is 0: that is absent.
func said(x float64, show func(float64) string) string {
	if x == 0 {
		return ""
	}
	return show(x)
}

func exact(x float64) string {
	if x == 0 {
		x = 0 // There is a -0, too.
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}

// exactPercent shows a part of one to a millionth, which is what grants are reckoned in.
func exactPercent(x float64) string { return exact(math.Round(x*1e6)/1e4) + "%" }

// whole is a flag of an integer.
func whole[T int | uint8 | uint16](p *T, least, most int) *value {
	return &value{kind: "n", show: func() string { return strconv.Itoa(int(*p)) }, set: func(s string) error {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || x != math.Trunc(x) || !(x >= float64(least) && x <= float64(most)) {
			return fmt.Errorf("expected a whole number from %d to %d", least, most)
		}
		*p = T(x)
		return nil
	}}
}

// parseSeconds reads seconds, or a duration such as 1m30s, of at most most seconds.
func parseSeconds(s string, from bound, most int) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		var d time.Duration
		d, err = time.ParseDuration(s)
		x = d.Seconds()
	}
	if err != nil || !from.allows(x, float64(most)) {
		return 0, fmt.Errorf("expected a duration %s %s, such as 90s", from, spanOf(float64(most)))
	}
	return x, nil
}

// duration is a flag of seconds.
func duration(p *float64, from bound, most int) *value {
	return &value{kind: "duration", show: func() string { return spanOf(*p) }, set: func(s string) error {
		x, err := parseSeconds(s, from, most)
		if err == nil {
			*p = x
		}
		return err
	}}
}

// durationOr is a flag of seconds from 0, or of a word that stands for a number.
func durationOr(p *float64, word string, number float64, most int) *value {
	d := duration(p, fromZero, most)
	show, set := d.show, d.set
	d.show = func() string {
		if *p == number {
			return word
		}
		return show()
	}
	d.set = func(s string) error {
		if strings.EqualFold(s, word) {
			*p = number
			return nil
		}
		if err := set(s); err != nil {
			return fmt.Errorf("%w, or %s", err, word)
		}
		return nil
	}
	return d
}

// ttl is a flag of whole seconds.
func ttl(p *uint32, from bound, most int) *value {
	return &value{kind: "duration", show: func() string { return spanOf(float64(*p)) }, set: func(s string) error {
		x, err := parseSeconds(s, from, most)
		if err != nil || x != math.Trunc(x) {
			return fmt.Errorf("expected whole seconds %s %s", from, spanOf(float64(most)))
		}
		*p = uint32(x)
		return nil
	}}
}

// goDuration is a flag of a duration of at most a day.
func goDuration(p *time.Duration, from bound) *value {
	return &value{kind: "duration", show: func() string { return spanOf(p.Seconds()) }, set: func(s string) error {
		x, err := parseSeconds(s, from, 86_400)
		if err == nil {
			*p = seconds(x)
		}
		return err
	}}
}

// oneOf is a flag of a word. Nothing is not said.
func oneOf[T ~string](p *T, kind string, words []T) *value {
	return &value{kind: kind, show: func() string { return string(*p) }, set: func(s string) error {
		for _, w := range append([]T{""}, words...) {
			if strings.EqualFold(string(w), s) {
				*p = w
				return nil
			}
		}
		return fmt.Errorf("expected one of %s", join(words))
	}}
}

func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}

// list is a flag that may be repeated, or be given several words with commas. What it is given first replaces what
// stood there; an empty word empties it.
func list[T any](p *[]T, kind string, parse func(string) (T, error)) *value {
	fresh := true
	return &value{kind: kind, show: func() string { return listText(*p) }, set: func(s string) error {
		if fresh || s == "" {
			*p, fresh = nil, false
		}
		for word := range strings.SplitSeq(s, ",") {
			if s == "" {
				return nil
			}
			x, err := parse(strings.TrimSpace(word))
			if err != nil {
				return err
			}
			*p = append(*p, x)
		}
		return nil
	}}
}

func listText[T any](list []T) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = fmt.Sprint(x)
	}
	return strings.Join(words, ",")
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("expected an IP address without a zone, such as 192.0.2.1 or 2001:db8::1")
	}
	return a.Unmap(), nil
}

func parseName(s string) (string, error)  { return fqdn(s), nil }
func parseWord(s string) (string, error)  { return s, nil }
func parseLabel(s string) (string, error) { return strings.ToLower(s), nil }

// name is a flag of a domain name. Nothing is not said.
func name(p *string) *value {
	return &value{kind: "name", show: func() string { return *p }, set: func(s string) error {
		*p = ""
		if s != "" {
			*p = fqdn(s)
		}
		return nil
	}}
}

// word is a flag of a plain word.
func word(p *string) *value {
	return &value{kind: "name", show: func() string { return *p }, set: func(s string) error {
		*p = s
		return nil
	}}
}

// label is a flag of a name that has no letter case, such as an id.
func label(p *string) *value {
	v := word(p)
	v.set = func(s string) error {
		*p = strings.ToLower(s)
		return nil
	}
	return v
}

// prefix is a flag of a client: an address, or a subnet in CIDR form.
func prefix(p *netip.Prefix) *value {
	return &value{kind: "address", show: func() string { return "" }, set: func(s string) error {
		a, err := netip.ParseAddr(s)
		if err == nil && a.Zone() == "" {
			a = a.Unmap()
			*p = netip.PrefixFrom(a, a.BitLen())
			return nil
		}
		*p, err = netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("expected an IP address or a subnet, such as 192.0.2.7 or 192.0.2.0/24")
		}
		*p = p.Masked()
		return nil
	}}
}
