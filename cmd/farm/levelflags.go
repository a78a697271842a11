package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// rateUnits are those of rates, in kbit/s, the largest first.
var rateUnits = []struct {
	name string
	kbit float64
}{{"G", 1e6}, {"M", 1e3}, {"k", 1}}

// rate is a flag of a rate in bit/s, kept in kbit/s.
func rate(p *uint32) *value {
	return &value{kind: "rate", show: func() string { return rateText(*p) }, set: func(s string) error {
		for _, u := range rateUnits {
			digits, ok := strings.CutSuffix(s, u.name)
			x, err := strconv.ParseFloat(digits, 64)
			if kbit := math.Round(x * u.kbit); ok && err == nil && kbit >= 1 && kbit <= math.MaxInt32 {
				*p = uint32(kbit)
				return nil
			}
		}
		return fmt.Errorf("expected a rate in bit/s with its unit, as 500k, 8M or 1.5G")
	}}
}

// rateText shows a rate in kbit/s by its largest unit; empty is 0.
func rateText(kbit uint32) string {
	for _, u := range rateUnits {
		if x := float64(kbit) / u.kbit; x >= 1 {
			return exact(x) + u.name
		}
	}
	return ""
}

// milliseconds is a flag of a duration in whole milliseconds.
func milliseconds(p *uint16) *value {
	return &value{kind: "duration", show: func() string { return millisecondsText(*p) }, set: func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil || d < time.Millisecond || d > math.MaxUint16*time.Millisecond || d%time.Millisecond != 0 {
			return fmt.Errorf("expected whole milliseconds from 1ms to %dms", math.MaxUint16)
		}
		*p = uint16(d.Milliseconds())
		return nil
	}}
}

func millisecondsText(ms uint16) string {
	if ms == 0 {
		return ""
	}
	return strconv.Itoa(int(ms)) + "ms"
}

// yes is a flag that stands alone. Not given it is not said.
func yes(p *bool) *value {
	return &value{kind: "bool", show: func() string { return yesText(*p) }, set: func(s string) (err error) {
		*p = false
		if s != "" {
			*p, err = strconv.ParseBool(s)
		}
		if err != nil {
			return fmt.Errorf("expected true or false")
		}
		return nil
	}}
}

// yesOrNo is a flag that may be absent.
func yesOrNo(p **bool) *value {
	show := func() string {
		switch {
		case *p == nil:
			return ""
		case !**p:
			return "no"
		}
		return yesText(true)
	}
	return &value{kind: "bool", show: show, set: func(s string) error {
		*p = nil
		if s == "" {
			return nil
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("expected true or false")
		}
		*p = &b
		return nil
	}}
}

func yesText(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

// codePoint is a flag of a code point by number or name. 0 is not among them: it marks nothing.
func codePoint(p *uint8) *value {
	return &value{kind: "dscp", show: func() string { return codePointText(*p) }, set: func(s string) error {
		n, err := strconv.ParseUint(s, 10, 6)
		if code, ok := qos.CodePoint(s); ok {
			n, err = uint64(code), nil
		}
		if err != nil || n == 0 {
			return fmt.Errorf("expected a code point from 1 to 63, or its name, as EF, AF41 or CS5")
		}
		*p = uint8(n)
		return nil
	}}
}

// codePointText shows a code point by its name, if it has one; empty is 0.
func codePointText(n uint8) string {
	if n == 0 {
		return ""
	}
	if name := qos.CodePointName(n); name != "" {
		return name
	}
	return strconv.Itoa(int(n))
}
