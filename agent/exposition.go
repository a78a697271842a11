package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of an exposition. A large application exposes a few megabytes; what a report needs of it is a few series.
const (
	maxExposition = 16 << 20 // octets, decompressed
	maxLine       = 64 << 10 // octets
	maxSeries     = 10_000   // that are kept
)

// exposition is the series of the wanted metrics, by metric name.
type exposition map[string]*dto.MetricFamily

// readExposition parses the series of the wanted metrics and skips the rest unparsed, so that what is kept in memory
// does not grow with what the other side exposes. Types are not looked at: the configuration says what a metric means.
func readExposition(r io.Reader, wanted map[string]bool) (exposition, error) {
	var kept bytes.Buffer
	n := 0
	lines := bufio.NewScanner(bounded(r, maxExposition))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := bytes.TrimLeft(lines.Bytes(), " \t")
		if !wanted[string(nameOf(line))] {
			continue
		}
		if n++; n > maxSeries {
			return nil, fmt.Errorf("more than %d series, expected narrower metrics", maxSeries)
		}
		kept.Write(line)
		kept.WriteByte('\n')
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(&kept)
}

func nameOf(line []byte) []byte {
	if i := bytes.IndexAny(line, "{ \t"); i >= 0 {
		return line[:i]
	}
	return line
}

// series returns the values that the selector chooses, by their labels. It is nil if there is no such metric at all,
// and empty if only its labels differ. NaN is no value.
func (e exposition) series(s *selector) map[string]float64 {
	family, ok := e[s.name]
	if !ok {
		return nil
	}
	out := make(map[string]float64)
	for _, m := range family.GetMetric() {
		if v := m.GetUntyped().GetValue(); s.matches(m.GetLabel()) && !math.IsNaN(v) {
			out[labelKey(m.GetLabel())] = v
		}
	}
	return out
}

func labelKey(labels []*dto.LabelPair) string {
	var b strings.Builder
	for _, l := range labels {
		fmt.Fprintf(&b, "%q=%q,", l.GetName(), l.GetValue())
	}
	return b.String()
}

// gauge returns the sum of the chosen series, nil if there are none.
func (e exposition) gauge(s *selector) *float64 {
	series := e.series(s)
	if len(series) == 0 {
		return nil
	}
	sum := 0.0
	for _, v := range series {
		sum += v
	}
	return &sum
}

// ratio returns the gauge, divided by what it is over; nil if either is not there, or the divisor is 0.
func (e exposition) ratio(r *ratio) *float64 {
	over, under := e.gauge(&r.over), &r.scale
	if r.under != nil {
		under = e.gauge(r.under)
	}
	if over == nil || under == nil || *under == 0 {
		return nil
	}
	return new(*over / *under)
}
