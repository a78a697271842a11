package agent

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// evaluation evaluates expressions over one scrape and the readings before it. An expression has a value or an error
// that names what is missing.
//
// Inside of an aggregation, evaluation is PromQL's: functions and operators apply series by series, and series on both
// sides of an operator meet if their labels are equal. Outside, where one number is needed, several series are summed up.
type evaluation struct {
	scrape  *exposition
	windows map[string]*window // by the selector
	now     time.Time
}

// earlyError says that something cannot be known yet.
type earlyError string

func (e earlyError) Error() string { return string(e) }

// condition returns whether an expression is true. What is unknown decides nothing: "and" is false if one side is, "or"
// is true if one side is, whatever the other one would be.
func (e *evaluation) condition(expr parser.Expr) (bool, error) {
	switch x := unwrap(expr).(type) {
	case *parser.BinaryExpr:
		switch {
		case x.Op.IsSetOperator():
			return e.join(x)
		case x.Op.IsComparisonOperator():
			v, err := e.operate(x)
			return v != 0, err
		}
	}
	v, err := e.number(expr)
	return v != 0, err
}

func (e *evaluation) join(x *parser.BinaryExpr) (bool, error) {
	decisive := x.Op == parser.LOR
	l, lerr := e.condition(x.LHS)
	r, rerr := e.condition(x.RHS)
	if lerr == nil && l == decisive || rerr == nil && r == decisive {
		return decisive, nil
	}
	return !decisive, firstError(lerr, rerr)
}

// number returns the value of an expression where one number is needed.
func (e *evaluation) number(expr parser.Expr) (float64, error) {
	v, err := e.evaluate(expr)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = fmt.Errorf("%s is %v", expr, v)
	}
	return v, err
}

func (e *evaluation) evaluate(expr parser.Expr) (float64, error) {
	switch x := expr.(type) {
	case *parser.NumberLiteral:
		return x.Val, nil
	case *parser.ParenExpr:
		return e.number(x.Expr)
	case *parser.UnaryExpr:
		v, err := e.number(x.Expr)
		return sign(x) * v, err
	case *parser.BinaryExpr:
		return e.operate(x)
	case *parser.AggregateExpr:
		v, err := e.vector(x.Expr)
		if err != nil {
			return 0, err
		}
		return aggregations[x.Op](v), nil
	case *parser.Call:
		if x.Func.Name == "time" {
			return float64(e.now.UnixMilli()) / 1000, nil
		}
		if f := valueFunctions[x.Func.Name]; f != nil {
			return e.apply(x, f)
		}
	}
	v, err := e.vector(expr)
	return sumOf(v), err
}

func sign(x *parser.UnaryExpr) float64 {
	if x.Op == parser.SUB {
		return -1
	}
	return 1
}

func (e *evaluation) operate(x *parser.BinaryExpr) (float64, error) {
	l, err := e.number(x.LHS)
	if err != nil {
		return 0, err
	}
	r, err := e.number(x.RHS)
	if err != nil {
		return 0, err
	}
	if x.Op == parser.DIV && r == 0 {
		return 0, fmt.Errorf("the divisor %s is 0", x.RHS)
	}
	return operators[x.Op](l, r), nil
}

func (e *evaluation) apply(x *parser.Call, f func(v, arg float64) float64) (float64, error) {
	v, err := e.number(x.Args[0])
	if err != nil {
		return 0, err
	}
	arg, err := e.argument(x)
	return f(v, arg), err
}

// argument returns the second argument of a function, 0 if it has none.
func (e *evaluation) argument(x *parser.Call) (float64, error) {
	if len(x.Args) < 2 {
		return 0, nil
	}
	return e.number(x.Args[1])
}

// vector returns the elements of an expression, at least one, inside of an aggregation.
func (e *evaluation) vector(expr parser.Expr) ([]series, error) {
	switch x := expr.(type) {
	case *parser.VectorSelector:
		return e.instant(x)
	case *parser.ParenExpr:
		return e.vector(x.Expr)
	case *parser.UnaryExpr:
		v, err := e.vector(x.Expr)
		return mapValues(v, func(f float64) float64 { return sign(x) * f }), err
	case *parser.AggregateExpr:
		v, err := e.number(x)
		return []series{{value: v}}, err
	case *parser.Call:
		return e.call(x)
	case *parser.BinaryExpr:
		return e.operateSeries(x)
	}
	return nil, fmt.Errorf("%s is no metric", expr)
}

func mapValues(v []series, f func(float64) float64) []series {
	out := make([]series, len(v))
	for i, s := range v {
		out[i] = series{s.labels, f(s.value)}
	}
	return out
}

func (e *evaluation) instant(x *parser.VectorSelector) ([]series, error) {
	name, matchers := splitSelector(x)
	if out := e.scrape.selectSeries(name, matchers); len(out) > 0 {
		return out, nil
	}
	return nil, e.scrape.explainMissing(name, matchers, x)
}

func (e *evaluation) call(x *parser.Call) ([]series, error) {
	if f := rangeFunctions[x.Func.Name]; f != nil {
		return e.overRange(x, f)
	}
	arg, err := e.argument(x)
	if err != nil {
		return nil, err
	}
	v, err := e.vector(x.Args[0])
	return mapValues(v, func(f float64) float64 { return valueFunctions[x.Func.Name](f, arg) }), err
}

// overRange applies a function to the readings of each series within a window.
func (e *evaluation) overRange(x *parser.Call, f func(*span) (float64, bool)) ([]series, error) {
	m := unwrap(x.Args[0]).(*parser.MatrixSelector)
	w := e.windows[windowKey(m)]
	var out []series
	for _, t := range w.trails {
		if v, ok := f(w.spanOf(t, m.Range, e.now)); ok {
			out = append(out, series{t.labels, v})
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case e.now.Before(w.full):
		return nil, fmt.Errorf("%s has more than %d readings, expected fewer series or a shorter window", m, maxPoints)
	case len(w.trails) == 0:
		return nil, e.scrape.explainMissing(w.name, w.matchers, m.VectorSelector)
	}
	return nil, earlyError(fmt.Sprintf("no rate yet: %s", x))
}

// operateSeries applies an operator to each series and a number, or to the series of both sides that have equal labels.
func (e *evaluation) operateSeries(x *parser.BinaryExpr) ([]series, error) {
	f := operators[x.Op]
	switch {
	case x.LHS.Type() == parser.ValueTypeScalar:
		l, err := e.number(x.LHS)
		if err != nil {
			return nil, err
		}
		r, err := e.vector(x.RHS)
		return mapValues(r, func(v float64) float64 { return f(l, v) }), err
	case x.RHS.Type() == parser.ValueTypeScalar:
		r, err := e.number(x.RHS)
		if err != nil {
			return nil, err
		}
		l, err := e.vector(x.LHS)
		return mapValues(l, func(v float64) float64 { return f(v, r) }), err
	}
	l, err := e.vector(x.LHS)
	if err != nil {
		return nil, err
	}
	r, err := e.vector(x.RHS)
	if err != nil {
		return nil, err
	}
	return meet(x, l, r)
}

// meet applies an operator to the series that have equal labels.
func meet(x *parser.BinaryExpr, l, r []series) ([]series, error) {
	byLabels := make(map[string]float64, len(r))
	for _, s := range r {
		byLabels[string(s.labels.Bytes(nil))] = s.value
	}
	var out []series
	for _, s := range l {
		if v, ok := byLabels[string(s.labels.Bytes(nil))]; ok {
			out = append(out, series{s.labels, operators[x.Op](s.value, v)})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no series of %s and %s have equal labels", x.LHS, x.RHS)
	}
	return out, nil
}

// windowKey names the window of a selector.
func windowKey(m *parser.MatrixSelector) string { return m.VectorSelector.String() }

// selectSeries returns the series of a metric that have the labels.
func (e *exposition) selectSeries(name string, matchers []*labels.Matcher) []series {
	m := e.metrics[name]
	if m == nil {
		return nil
	}
	var out []series
	for _, s := range m.series {
		if matchesAll(s.labels, matchers) {
			out = append(out, s)
		}
	}
	return out
}

// matchesAll says whether a series has the labels. A label that it lacks is the empty string, as in Prometheus.
func matchesAll(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// unknownLabel returns the first label that is asked for and that no series of the metric has, which is most likely misspelt.
func (e *exposition) unknownLabel(name string, matchers []*labels.Matcher) string {
	for _, m := range matchers {
		has := func(s series) bool { return s.labels.Has(m.Name) }
		if !m.Matches("") && !slices.ContainsFunc(e.metrics[name].series, has) {
			return m.Name
		}
	}
	return ""
}

// explainMissing says why a selector chooses no series.
func (e *exposition) explainMissing(name string, matchers []*labels.Matcher, selector fmt.Stringer) error {
	if e.metrics[name] != nil {
		if label := e.unknownLabel(name, matchers); label != "" {
			return fmt.Errorf("no series of %s has the label %s", name, label)
		}
		return fmt.Errorf("no series matches %s", selector)
	}
	if f, ok := e.faults[name]; ok {
		return errors.New(f.String())
	}
	return fmt.Errorf("%s is not exposed", name)
}
