package agent

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// The part of PromQL that expressions may use, and docs/agent.md lists. Everything else is refused by name when the
// configuration is read.
var (
	rangeFunctions = map[string]func(w *span) (float64, bool){
		"rate":          (*span).rate,
		"increase":      (*span).increase,
		"irate":         (*span).instantRate,
		"delta":         (*span).delta,
		"avg_over_time": (*span).average,
		"min_over_time": (*span).minimum,
		"max_over_time": (*span).maximum,
	}
	valueFunctions = map[string]func(v, arg float64) float64{
		"abs":       func(v, _ float64) float64 { return math.Abs(v) },
		"clamp_min": math.Max,
		"clamp_max": math.Min,
	}
	aggregations = map[parser.ItemType]func(v []series) float64{
		parser.SUM:   sumOf,
		parser.AVG:   func(v []series) float64 { return sumOf(v) / float64(len(v)) },
		parser.MIN:   func(v []series) float64 { return reduce(v, math.Min) },
		parser.MAX:   func(v []series) float64 { return reduce(v, math.Max) },
		parser.COUNT: func(v []series) float64 { return float64(len(v)) },
	}
	// operators are those between numbers; comparisons are 1 or 0.
	operators = map[parser.ItemType]func(a, b float64) float64{
		parser.ADD:  func(a, b float64) float64 { return a + b },
		parser.SUB:  func(a, b float64) float64 { return a - b },
		parser.MUL:  func(a, b float64) float64 { return a * b },
		parser.DIV:  func(a, b float64) float64 { return a / b },
		parser.MOD:  math.Mod,
		parser.POW:  math.Pow,
		parser.EQLC: func(a, b float64) float64 { return truth(a == b) },
		parser.NEQ:  func(a, b float64) float64 { return truth(a != b) },
		parser.GTR:  func(a, b float64) float64 { return truth(a > b) },
		parser.GTE:  func(a, b float64) float64 { return truth(a >= b) },
		parser.LSS:  func(a, b float64) float64 { return truth(a < b) },
		parser.LTE:  func(a, b float64) float64 { return truth(a <= b) },
	}
)

// maxExpression bounds the length of an expression, in octets.
const maxExpression = 4096

// maxRange bounds the window of a rate.
const maxRange = time.Hour

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func sumOf(v []series) float64 {
	sum := 0.0
	for _, s := range v {
		sum += s.value
	}
	return sum
}

func reduce(v []series, f func(a, b float64) float64) float64 {
	out := v[0].value
	for _, s := range v[1:] {
		out = f(out, s.value)
	}
	return out
}

// parseNumber parses an expression that makes a number.
func parseNumber(text string) (parser.Expr, error) { return parseExpression(text, false) }

// parseCondition parses an expression that is true or false. Beyond what numbers can be made of, it may compare, and
// join comparisons by "and" and "or".
func parseCondition(text string) (parser.Expr, error) { return parseExpression(text, true) }

func parseExpression(text string, condition bool) (parser.Expr, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("an expression of %d octets, expected at most %d", len(text), maxExpression)
	}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if errs, ok := errors.AsType[parser.ParseErrors](err); ok && len(errs) > 0 {
		return nil, errorAt(errs[0].PositionRange.Start, "%w", errs[0].Err)
	}
	if err != nil {
		return nil, err
	}
	check := checkNumber
	if condition {
		check = checkCondition
	}
	if err := check(expr); err != nil {
		return nil, err
	}
	return expr, nil
}

func errorAt(p posrange.Pos, format string, args ...any) error {
	return fmt.Errorf("character %d: %w", p+1, fmt.Errorf(format, args...))
}

func unsupported(n parser.Node, what string, supported []string) error {
	slices.Sort(supported)
	return errorAt(n.PositionRange().Start, "%s is not supported, expected one of %s", what, strings.Join(supported, ", "))
}

func checkCondition(expr parser.Expr) error {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return checkCondition(e.Expr)
	case *parser.BinaryExpr:
		switch {
		case e.Op.IsSetOperator():
			return checkJoin(e)
		case e.Op.IsComparisonOperator():
			return checkOperands(e)
		}
	}
	return checkNumber(expr)
}

// checkJoin checks "and" and "or". They join comparisons: of two bare metrics PromQL asks only whether they exist.
func checkJoin(e *parser.BinaryExpr) error {
	if e.Op != parser.LAND && e.Op != parser.LOR {
		return unsupported(e, e.Op.String(), []string{"and", "or"})
	}
	for _, side := range []parser.Expr{e.LHS, e.RHS} {
		inner, ok := unwrap(side).(*parser.BinaryExpr)
		if !ok || !inner.Op.IsSetOperator() && !inner.Op.IsComparisonOperator() {
			return errorAt(side.PositionRange().Start, "%q of %q, expected a comparison", side, e.Op)
		}
		if err := checkCondition(side); err != nil {
			return err
		}
	}
	return checkMatching(e)
}

func unwrap(expr parser.Expr) parser.Expr {
	for {
		p, ok := expr.(*parser.ParenExpr)
		if !ok {
			return expr
		}
		expr = p.Expr
	}
}

func checkNumber(expr parser.Expr) error {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return checkNumber(e.Expr)
	case *parser.UnaryExpr:
		return checkNumber(e.Expr)
	case *parser.NumberLiteral:
		if math.IsNaN(e.Val) || math.IsInf(e.Val, 0) {
			return errorAt(e.PosRange.Start, "%v, expected a finite number", e.Val)
		}
		return nil
	case *parser.VectorSelector:
		return checkSelector(e)
	case *parser.Call:
		return checkCall(e)
	case *parser.AggregateExpr:
		return checkAggregation(e)
	case *parser.BinaryExpr:
		return checkBinary(e)
	}
	return errorAt(expr.PositionRange().Start, "%q is not supported, expected a number, a metric, an operator or a function", expr)
}

func checkSelector(s *parser.VectorSelector) error {
	if s.OriginalOffset != 0 || s.OriginalOffsetExpr != nil || s.Timestamp != nil || s.StartOrEnd != 0 {
		return errorAt(s.PosRange.Start, "offset and @ are not supported, expected a metric as it is now")
	}
	if name, _ := splitSelector(s); name == "" {
		return errorAt(s.PosRange.Start, "expected the metric's name")
	}
	return nil
}

func checkRange(arg parser.Expr) error {
	m, ok := unwrap(arg).(*parser.MatrixSelector)
	if !ok {
		return errorAt(arg.PositionRange().Start, "%q, expected a metric and a window such as [30s]", arg)
	}
	if m.Range > maxRange {
		return errorAt(m.PositionRange().Start, "[%v], expected at most %v", m.Range, maxRange)
	}
	return checkNumber(m.VectorSelector)
}

func checkCall(c *parser.Call) error {
	name := c.Func.Name
	if name != "time" && rangeFunctions[name] == nil && valueFunctions[name] == nil {
		names := slices.Concat(slices.Collect(maps.Keys(rangeFunctions)), slices.Collect(maps.Keys(valueFunctions)))
		return unsupported(c, name, append(names, "time"))
	}
	if rangeFunctions[name] != nil {
		return checkRange(c.Args[0])
	}
	for _, arg := range c.Args {
		if err := checkNumber(arg); err != nil {
			return err
		}
	}
	return nil
}

func checkAggregation(a *parser.AggregateExpr) error {
	if aggregations[a.Op] == nil {
		var names []string
		for op := range aggregations {
			names = append(names, op.String())
		}
		return unsupported(a, a.Op.String(), names)
	}
	if len(a.Grouping) > 0 || a.Without {
		return errorAt(a.PosRange.Start, "by and without are not supported, expected an aggregation over all series")
	}
	return checkNumber(a.Expr)
}

func checkBinary(e *parser.BinaryExpr) error {
	if e.Op.IsComparisonOperator() && !e.ReturnBool {
		return errorAt(e.PositionRange().Start, "%q leaves series out, expected \"%s bool\", which is 1 or 0", e.Op, e.Op)
	}
	return checkOperands(e)
}

func checkOperands(e *parser.BinaryExpr) error {
	if operators[e.Op] == nil {
		var names []string
		for op := range operators {
			names = append(names, op.String())
		}
		return unsupported(e, e.Op.String(), names)
	}
	if n, ok := unwrap(e.RHS).(*parser.NumberLiteral); ok && e.Op == parser.DIV && n.Val == 0 {
		return errorAt(n.PosRange.Start, "a divisor of 0, expected another number")
	}
	return errors.Join(checkMatching(e), checkNumber(e.LHS), checkNumber(e.RHS))
}

// checkMatching refuses what changes which series meet: on, ignoring, group_left, group_right.
func checkMatching(e *parser.BinaryExpr) error {
	m := e.VectorMatching
	if m != nil && (m.On || len(m.MatchingLabels) > 0 || m.Card == parser.CardOneToMany || m.Card == parser.CardManyToOne) {
		return errorAt(e.PositionRange().Start, "on, ignoring and group are not supported, expected series with equal labels")
	}
	return nil
}

// splitSelector returns the name of the metric that a selector chooses, and what else it asks of labels. The name is
// empty if there is not exactly one.
func splitSelector(s *parser.VectorSelector) (name string, matchers []*labels.Matcher) {
	names := 0
	for _, m := range s.LabelMatchers {
		switch {
		case m.Name != model.MetricNameLabel:
			matchers = append(matchers, m)
		case m.Type == labels.MatchEqual:
			name = m.Value
			names++
		default:
			names = 2
		}
	}
	if names != 1 {
		name = ""
	}
	return name, matchers
}

// metricsOf adds to names the metrics that an expression needs.
func metricsOf(expr parser.Expr, names map[string]bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			name, _ := splitSelector(s)
			names[name] = true
		}
		return nil
	})
}

// rangesOf returns the windows that an expression looks at.
func rangesOf(expr parser.Expr) (out []*parser.MatrixSelector) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if m, ok := n.(*parser.MatrixSelector); ok {
			out = append(out, m)
		}
		return nil
	})
	return out
}

// readingsOf returns the selectors whose present value an expression takes for an amount: not those inside of a range
// function or of count, and not divisors.
func readingsOf(expr parser.Expr) []*parser.VectorSelector {
	switch e := expr.(type) {
	case *parser.VectorSelector:
		return []*parser.VectorSelector{e}
	case *parser.ParenExpr:
		return readingsOf(e.Expr)
	case *parser.UnaryExpr:
		return readingsOf(e.Expr)
	case *parser.AggregateExpr:
		if e.Op != parser.COUNT {
			return readingsOf(e.Expr)
		}
	case *parser.Call:
		var out []*parser.VectorSelector
		for _, arg := range e.Args {
			out = append(out, readingsOf(arg)...)
		}
		return out
	case *parser.BinaryExpr:
		out := readingsOf(e.LHS)
		if e.Op != parser.DIV && !e.Op.IsComparisonOperator() {
			out = append(out, readingsOf(e.RHS)...)
		}
		return out
	}
	return nil
}

// checkReadings refuses counters where an amount is expected. By its name, a counter ends in _total.
func checkReadings(expr parser.Expr) error {
	for _, s := range readingsOf(expr) {
		if name, _ := splitSelector(s); strings.HasSuffix(name, "_total") {
			return errorAt(s.PosRange.Start, "%w", counterError{s})
		}
	}
	return nil
}

// counterError says that a counter stands where an amount is expected.
type counterError struct{ s *parser.VectorSelector }

func (e counterError) Error() string {
	return fmt.Sprintf("%s is a counter, expected rate(%s[30s])", e.s, e.s)
}
