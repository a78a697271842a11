package agent

import (
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxPoints bounds what all windows of a collector keep.
const maxPoints = 200_000

// point is one reading of a series.
type point struct {
	at    time.Time
	value float64
}

// window keeps the readings of a selector's series for as long as rates look back.
type window struct {
	name     string
	matchers []*labels.Matcher
	keep     time.Duration
	trails   map[string]*trail // by the labels
	points   int               // in all trails
	since    time.Time         // the first reading after which there was no gap longer than keep
	last     time.Time         // the last reading
	full     time.Time         // until when nothing is kept, because it was too much
}

// trail is the readings of one series, the oldest first.
type trail struct {
	labels labels.Labels
	points []point
}

func newWindow(m *parser.MatrixSelector) *window {
	w := &window{keep: m.Range, trails: make(map[string]*trail)}
	w.name, w.matchers = splitSelector(m.VectorSelector.(*parser.VectorSelector))
	return w
}

// add keeps the readings of one scrape, forgets what is too old, and returns whether it all fits.
func (w *window) add(e *exposition, now time.Time, room int) bool {
	if now.Before(w.full) {
		return false
	}
	if w.last.IsZero() || now.Sub(w.last) > w.keep {
		w.since = now
	}
	w.expire(now)
	if now.After(w.last) {
		w.last = now
		w.append(e.selectSeries(w.name, w.matchers), now)
	}
	if w.points > room {
		w.trails, w.points, w.last = make(map[string]*trail), 0, time.Time{}
		w.full = now.Add(w.keep)
		return false
	}
	return true
}

func (w *window) append(chosen []series, now time.Time) {
	for _, s := range chosen {
		key := string(s.labels.Bytes(nil))
		t := w.trails[key]
		if t == nil {
			t = &trail{labels: s.labels}
			w.trails[key] = t
		}
		t.points = append(t.points, point{now, s.value})
		w.points++
	}
}

func (w *window) expire(now time.Time) {
	for key, t := range w.trails {
		old := 0
		for old < len(t.points) && now.Sub(t.points[old].at) >= w.keep {
			old++
		}
		t.points = t.points[:copy(t.points, t.points[old:])]
		w.points -= old
		if len(t.points) == 0 {
			delete(w.trails, key)
		}
	}
}

// span is the readings of one series within a range that ends now.
type span struct {
	points     []point
	start, end time.Time
	length     time.Duration // of the range as it is written
}

// spanOf cuts the readings of a trail to a range. Before the agent has watched for the whole range, the range begins
// with its first reading: else the rate of a counter that runs for long would be taken for that of one that began now.
func (w *window) spanOf(t *trail, length time.Duration, now time.Time) *span {
	s := &span{points: t.points, start: now.Add(-length), end: now, length: length}
	for len(s.points) > 0 && !s.points[0].at.After(s.start) {
		s.points = s.points[1:]
	}
	if w.since.After(s.start) {
		s.start = w.since
	}
	return s
}

func (s *span) rate() (float64, bool) { return s.extrapolate(true) }

func (s *span) increase() (float64, bool) { return s.overLength(s.extrapolate(true)) }

func (s *span) delta() (float64, bool) { return s.overLength(s.extrapolate(false)) }

func (s *span) overLength(perSecond float64, ok bool) (float64, bool) {
	return perSecond * s.length.Seconds(), ok
}

// extrapolate returns the change a second, as Prometheus computes it (promql/functions.go, extrapolatedRate): what
// changed between the first reading and the last one is extended to the ends of the range, if the readings come near
// them; a counter that fell was reset, and is not extended to below 0.
func (s *span) extrapolate(counter bool) (float64, bool) {
	if len(s.points) < 2 {
		return 0, false
	}
	first, last := s.points[0], s.points[len(s.points)-1]
	change := last.value - first.value
	for i, p := range s.points[1:] {
		if before := s.points[i]; counter && p.value < before.value {
			change += before.value
		}
	}
	sampled := last.at.Sub(first.at).Seconds()
	gap := sampled / float64(len(s.points)-1)
	toStart, toEnd := first.at.Sub(s.start).Seconds(), s.end.Sub(last.at).Seconds()
	if toStart >= gap*1.1 {
		toStart = gap / 2
	}
	if counter && change > 0 && first.value >= 0 {
		toStart = min(toStart, sampled*(first.value/change))
	}
	if toEnd >= gap*1.1 {
		toEnd = gap / 2
	}
	return change * ((sampled + toStart + toEnd) / sampled) / s.end.Sub(s.start).Seconds(), true
}

// instantRate returns the rate between the last two readings.
func (s *span) instantRate() (float64, bool) {
	if len(s.points) < 2 {
		return 0, false
	}
	a, b := s.points[len(s.points)-2], s.points[len(s.points)-1]
	change := b.value - a.value
	if b.value < a.value {
		change = b.value
	}
	return change / b.at.Sub(a.at).Seconds(), true
}

func (s *span) average() (float64, bool) {
	sum, ok := s.fold(func(a, b float64) float64 { return a + b })
	return sum / float64(len(s.points)), ok
}

func (s *span) minimum() (float64, bool) { return s.fold(math.Min) }

func (s *span) maximum() (float64, bool) { return s.fold(math.Max) }

func (s *span) fold(f func(a, b float64) float64) (float64, bool) {
	if len(s.points) == 0 {
		return 0, false
	}
	out := s.points[0].value
	for _, p := range s.points[1:] {
		out = f(out, p.value)
	}
	return out, true
}
