package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Bounds of an exposition. A large application exposes a few megabytes; what a report needs of it is a few series.
const (
	maxExposition = 16 << 20 // octets, decompressed
	maxLine       = 64 << 10 // octets
	maxSeries     = 10_000   // that are kept
)

// maxSampleAge is how old the timestamp of a sample may be: Prometheus looks back as far, and calls the rest stale.
const maxSampleAge = 5 * time.Minute

// acceptExposition asks for OpenMetrics before the text format, and for names in UTF-8, as Prometheus does.
const acceptExposition = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," +
	"application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3," +
	"text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

// exposition is what one scrape gave of the wanted metrics, by their names.
type exposition struct {
	metrics map[string]*metric
	kinds   map[string]string // by name, from TYPE lines
	faults  map[string]fault  // by name: the first line of the metric that was left out
	ended   bool              // whether "# EOF" was read
}

// metric is the series of one metric.
type metric struct {
	series []series
	index  map[string]int // by the labels
}

// series is one series, or an element of an instant vector.
type series struct {
	labels labels.Labels // without the name
	value  float64
}

// fault is a line of an exposition that was left out.
type fault struct {
	line int
	why  string
}

func (f fault) String() string { return fmt.Sprintf("line %d: %s", f.line, f.why) }

// isOpenMetrics says whether a Content-Type is OpenMetrics' text format.
func isOpenMetrics(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == "application/openmetrics-text"
}

// expositionReader reads an exposition line by line. Lines of metrics that are not wanted are skipped unparsed, so that
// what is kept in memory does not grow with what the other side exposes; a line that is wrong costs only itself.
type expositionReader struct {
	wanted      map[string]bool
	openMetrics bool
	now         time.Time

	parser expfmt.TextParser
	line   int // the number of the current line in the file
	kept   int // lines of wanted metrics
	out    exposition
}

// readExposition reads what r exposes of the wanted metrics. An error is one of the transfer or of a bound; lines that
// are wrong are among the exposition's faults.
func readExposition(r io.Reader, wanted map[string]bool, openMetrics bool, now time.Time) (*exposition, error) {
	e := &expositionReader{
		wanted: wanted, openMetrics: openMetrics, now: now, parser: expfmt.NewTextParser(model.UTF8Validation),
		out: exposition{metrics: map[string]*metric{}, kinds: map[string]string{}, faults: map[string]fault{}},
	}
	lines := bufio.NewReaderSize(bounded(r, maxExposition), maxLine)
	for {
		line, long, err := readLongLine(lines)
		if len(line) > 0 {
			if err := e.add(line, long); err != nil {
				return nil, err
			}
		}
		if err == io.EOF {
			return &e.out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readLongLine reads a line. Of a line that does not fit the buffer it returns the beginning, and skips the rest.
func readLongLine(r *bufio.Reader) (line []byte, long bool, err error) {
	line, err = r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, false, err
	}
	line = bytes.Clone(line[:min(len(line), 1024)])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	return line, true, err
}

// add reads one line.
func (e *expositionReader) add(line []byte, long bool) error {
	e.line++
	if e.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	line = bytes.Trim(line, " \t\r\n")
	switch {
	case len(line) == 0:
		return nil
	case line[0] == '#':
		e.addComment(line)
		return nil
	}
	text, rest := cutSeries(line)
	names := e.wantedNames(text)
	if len(names) == 0 {
		return nil
	}
	if e.kept++; e.kept > maxSeries {
		return fmt.Errorf("line %d: more than %d series, expected narrower metrics", e.line, maxSeries)
	}
	parsed, err := e.parseLine(text, rest, long)
	for _, name := range names {
		if err == nil {
			err = e.out.add(name, parsed)
		}
		if _, known := e.out.faults[name]; err != nil && !known {
			e.out.faults[name] = fault{e.line, err.Error()}
		}
	}
	return nil
}

// addComment takes the type of wanted metrics, and the end of OpenMetrics.
func (e *expositionReader) addComment(line []byte) {
	fields := bytes.Fields(line)
	if e.openMetrics && len(fields) == 2 && string(fields[1]) == "EOF" {
		e.out.ended = true
	}
	if len(fields) != 4 || string(fields[1]) != "TYPE" {
		return
	}
	name := string(fields[2])
	if unquoted, err := strconv.Unquote(name); err == nil {
		name = unquoted
	}
	// The type of an OpenMetrics counter x is that of the series x_total.
	for _, of := range []string{name, name + "_total"} {
		if _, known := e.out.kinds[of]; e.wanted[of] && !known {
			e.out.kinds[of] = string(fields[3])
		}
	}
}

// wantedNames returns the names under which a series is wanted.
func (e *expositionReader) wantedNames(text []byte) (names []string) {
	if text[0] == '{' {
		name := quotedName(text)
		if e.wanted[name] {
			names = append(names, name)
		}
		// To those who do not ask for UTF-8, curl among them, the metric is shown under this name.
		if escaped := model.EscapeName(name, model.UnderscoreEscaping); escaped != name && e.wanted[escaped] {
			names = append(names, escaped)
		}
		return names
	}
	if i := bytes.IndexAny(text, "{ \t"); i >= 0 {
		text = text[:i]
	}
	if e.wanted[string(text)] {
		names = append(names, string(text))
	}
	// A client library that has no _total in its text format adds it in OpenMetrics.
	base, isTotal := bytes.CutSuffix(text, []byte("_total"))
	if isTotal && e.openMetrics && e.wanted[string(base)] && e.out.kinds[string(base)] == "counter" {
		names = append(names, string(base))
	}
	return names
}

// parseLine parses a line of a wanted metric.
func (e *expositionReader) parseLine(text, rest []byte, long bool) (series, error) {
	switch {
	case long:
		return series{}, fmt.Errorf("longer than %d octets", maxLine)
	case e.out.ended:
		return series{}, errors.New("stands after # EOF")
	}
	value, err := e.checkValue(rest)
	if err != nil {
		return series{}, err
	}
	return e.parseSeries(text, value)
}

// add adds a series to a metric. Of a series that is there twice the first is taken, as Prometheus does.
func (e *exposition) add(name string, s series) error {
	m := e.metrics[name]
	if m == nil {
		m = &metric{index: make(map[string]int)}
		e.metrics[name] = m
	}
	key := string(s.labels.Bytes(nil))
	i, twice := m.index[key]
	if !twice {
		m.index[key] = len(m.series)
		m.series = append(m.series, s)
		return nil
	}
	if first := m.series[i].value; first != s.value && !(math.IsNaN(first) && math.IsNaN(s.value)) {
		return fmt.Errorf("%s is there twice, with %g and %g; the first is taken", s.labels, first, s.value)
	}
	return nil
}

// checkValue returns the value of what stands behind the labels: a value, perhaps a timestamp, perhaps an exemplar.
func (e *expositionReader) checkValue(rest []byte) (value []byte, err error) {
	if i := bytes.IndexByte(rest, '#'); i >= 0 {
		rest = rest[:i]
	}
	fields := bytes.Fields(rest)
	switch len(fields) {
	case 1:
		return fields[0], nil
	case 2:
		return fields[0], e.checkTimestamp(string(fields[1]))
	}
	return nil, fmt.Errorf("%.60q, expected a value, and perhaps a timestamp", bytes.TrimSpace(rest))
}

// checkTimestamp returns an error if a sample is stale. Timestamps are seconds in OpenMetrics and milliseconds in the
// text format; clients are known to mix them up, and the two are told apart by their size.
func (e *expositionReader) checkTimestamp(text string) error {
	const smallestInMilliseconds = 1e11 // 1973, and as seconds the year 5138
	t, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(t) || math.IsInf(t, 0) {
		return fmt.Errorf("%.40q, expected a timestamp", text)
	}
	if math.Abs(t) >= smallestInMilliseconds {
		t /= 1000
	}
	age := float64(e.now.UnixMilli())/1000 - t
	if age > maxSampleAge.Seconds() {
		return fmt.Errorf("its timestamp is %.0f s old, expected at most %.0f", age, maxSampleAge.Seconds())
	}
	return nil
}

// parseSeries parses one series, without timestamp and exemplar, which the library's parser of the text format refuses.
func (e *expositionReader) parseSeries(text, value []byte) (series, error) {
	line := make([]byte, 0, len(text)+len(value)+2)
	line = append(append(append(append(line, text...), ' '), value...), '\n')
	families, err := e.parser.TextToMetricFamilies(bytes.NewReader(line))
	if perr, ok := errors.AsType[expfmt.ParseError](err); ok {
		return series{}, errors.New(perr.Msg)
	}
	if err != nil {
		return series{}, err
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			return series{labelsOf(m.GetLabel()), m.GetUntyped().GetValue()}, nil
		}
	}
	return series{}, errors.New("expected a series")
}

func labelsOf(pairs []*dto.LabelPair) labels.Labels {
	b := labels.NewScratchBuilder(len(pairs))
	for _, p := range pairs {
		b.Add(p.GetName(), p.GetValue())
	}
	b.Sort()
	return b.Labels()
}

// cutSeries splits a line behind the name and labels of its series.
func cutSeries(line []byte) (text, rest []byte) {
	i := bytes.IndexAny(line, "{ \t")
	if i < 0 {
		return line, nil
	}
	open := len(line) - len(bytes.TrimLeft(line[i:], " \t"))
	if open == len(line) || line[open] != '{' {
		return line[:i], line[i:]
	}
	for quoted, k := false, open+1; k < len(line); k++ {
		switch c := line[k]; {
		case quoted && c == '\\':
			k++
		case c == '"':
			quoted = !quoted
		case c == '}' && !quoted:
			return line[:k+1], line[k+1:]
		}
	}
	return line, nil
}

// quotedName returns the name of a series that stands in quotes among its labels: {"my.metric",a="b"}.
func quotedName(text []byte) string {
	s := string(text)
	for {
		open := strings.IndexByte(s, '"')
		if open < 0 {
			return ""
		}
		isValue := strings.HasSuffix(strings.TrimRight(s[:open], " \t"), "=")
		quoted, err := strconv.QuotedPrefix(s[open:])
		if err != nil {
			return ""
		}
		s = strings.TrimLeft(s[open+len(quoted):], " \t")
		if !isValue && !strings.HasPrefix(s, "=") {
			name, _ := strconv.Unquote(quoted)
			return name
		}
	}
}
