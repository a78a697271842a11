package main

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// none stands in a table for what is not known or not said.
const none = "-"

// percent shows a part of one, such as a utilisation.
func percent(x float64) string {
	return exact(math.Round(x*100)) + "%"
}

// share shows a part of one to a tenth of a percent.
func share(x float64) string {
	return exact(math.Round(x*1000)/10) + "%"
}

// quantity shows a number of three digits, with k, M, G or T for thousands.
func quantity(x float64) string {
	unit := ""
	for _, u := range []string{"k", "M", "G", "T"} {
		if math.Abs(x) < 999.5 {
			break
		}
		x, unit = x/1000, u
	}
	digits := 0
	if math.Abs(x) < 9.95 {
		digits = 1
	}
	scale := math.Pow10(digits)
	return exact(math.Round(x*scale)/scale) + unit
}

// span shows a duration by its one or two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0 && d.Round(time.Millisecond) < 0:
		return "-" + span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return two(d, time.Minute, "m", time.Second, "s")
	case d < 48*time.Hour:
		return two(d, time.Hour, "h", time.Minute, "m")
	}
	return two(d, 24*time.Hour, "d", time.Hour, "h")
}

func two(d, big time.Duration, bigName string, small time.Duration, smallName string) string {
	d = d.Round(small)
	if rest := d % big / small; rest > 0 {
		return fmt.Sprintf("%d%s%d%s", d/big, bigName, rest, smallName)
	}
	return fmt.Sprintf("%d%s", d/big, bigName)
}

// spanOf shows a number of seconds.
func spanOf(s float64) string { return span(seconds(s)) }

// seconds makes a duration of a number of seconds.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// orNone is s, or a dash when it is empty.
func orNone(s string) string { return cmp.Or(s, none) }
