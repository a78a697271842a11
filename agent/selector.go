package agent

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// selector chooses series of one metric, in the notation of Prometheus: name{label="value",label=~"regexp"}.
type selector struct {
	name   string
	labels []matcher
}

type matcher struct {
	label string
	not   bool // != and !~
	value string
	re    *regexp.Regexp // nil for = and !=
}

var (
	metricName  = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	matcherForm = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")\s*(,|\})`)
)

// parseSelector parses one selector and returns what stands behind it.
func parseSelector(s string) (sel selector, rest string, err error) {
	s = strings.TrimSpace(s)
	sel.name = metricName.FindString(s)
	if sel.name == "" {
		return sel, "", fmt.Errorf("%.100q, expected a metric name", s)
	}
	rest, inBraces := strings.CutPrefix(strings.TrimSpace(s[len(sel.name):]), "{")
	for inBraces {
		if after, ok := strings.CutPrefix(strings.TrimSpace(rest), "}"); ok {
			rest = after
			break
		}
		m := matcherForm.FindStringSubmatch(rest)
		if m == nil {
			return sel, "", fmt.Errorf("%.100q, expected label=\"value\" and a closing brace", rest)
		}
		label, err := newMatcher(m[1], m[2], m[3])
		if err != nil {
			return sel, "", err
		}
		sel.labels = append(sel.labels, label)
		rest, inBraces = rest[len(m[0]):], m[4] == ","
	}
	return sel, strings.TrimSpace(rest), nil
}

func newMatcher(label, op, quoted string) (matcher, error) {
	value, err := strconv.Unquote(quoted)
	if err != nil {
		return matcher{}, fmt.Errorf("label %s: %s, expected a quoted string", label, quoted)
	}
	m := matcher{label: label, not: op[0] == '!', value: value}
	if strings.HasSuffix(op, "~") {
		m.re, err = regexp.Compile("^(?:" + value + ")$")
	}
	return m, err
}

// parseWhole parses a selector that stands alone.
func parseWhole(s string) (selector, error) {
	sel, rest, err := parseSelector(s)
	if err == nil && rest != "" {
		err = fmt.Errorf("%.100q, expected nothing after the metric", rest)
	}
	return sel, err
}

// matches says whether the series has the labels. A label that a series lacks is the empty string, as in Prometheus.
func (s *selector) matches(labels []*dto.LabelPair) bool {
	for _, m := range s.labels {
		value := ""
		for _, l := range labels {
			if l.GetName() == m.label {
				value = l.GetValue()
			}
		}
		if m.match(value) == m.not {
			return false
		}
	}
	return true
}

func (m *matcher) match(value string) bool {
	if m.re != nil {
		return m.re.MatchString(value)
	}
	return value == m.value
}

// ratio is a gauge, or one gauge over another or over a number.
type ratio struct {
	over  selector
	under *selector
	scale float64 // if under is nil
}

func parseRatio(s string) (r ratio, err error) {
	over, rest, err := parseSelector(s)
	if err != nil {
		return r, err
	}
	r = ratio{over: over, scale: 1}
	under, ok := strings.CutPrefix(rest, "/")
	if !ok {
		if rest != "" {
			err = fmt.Errorf("%.100q, expected / and what to divide by", rest)
		}
		return r, err
	}
	under = strings.TrimSpace(under)
	if n, err := strconv.ParseFloat(under, 64); err == nil {
		if !(n > 0) {
			return r, errors.New("divisor: expected a number above 0")
		}
		r.scale = n
		return r, nil
	}
	sel, err := parseWhole(under)
	r.under = &sel
	return r, err
}
