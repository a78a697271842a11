package conf

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// checkNumbers refuses what is no duration, and a 0 that is written where the configuration cannot tell it from an absent key: it would silently become
// the default. A number that may be 0 is a pointer, or has the tag zero:"ok" where absent means 0.
func checkNumbers(b []byte, t reflect.Type) error {
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return err
	}
	for _, doc := range file.Docs {
		if err := zeroIn(doc.Body, t); err != nil {
			return err
		}
	}
	return nil
}

// zeroIn looks through a node that is decoded into a t.
func zeroIn(n ast.Node, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		return zeroIn(n.Value, t)
	case *ast.MappingNode:
		return zeroAmong(n.Values, t)
	case *ast.MappingValueNode:
		return zeroAmong([]*ast.MappingValueNode{n}, t)
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for _, e := range n.Values {
			if err := zeroIn(e, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

// zeroAmong looks through the keys of a mapping that is decoded into a struct.
func zeroAmong(pairs []*ast.MappingValueNode, t reflect.Type) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, p := range pairs {
		key := p.Key.GetToken().Value
		field, ok := fieldOf(t, key)
		if !ok {
			continue
		}
		if scalar, ok := p.Value.(ast.ScalarNode); ok && isDuration(field.Type) && p.Value.Type() != ast.NullType {
			if _, err := parseDuration(strings.TrimSpace(fmt.Sprint(scalar.GetValue()))); err != nil {
				at := p.Value.GetToken().Position
				return fmt.Errorf("%d:%d: %s: %w", at.Line, at.Column, key, err)
			}
		}
		if isNumber(field.Type) && field.Tag.Get("zero") != "ok" && isZero(p.Value) {
			at := p.Value.GetToken().Position
			return fmt.Errorf("%d:%d: %s: expected more than 0, or no %s", at.Line, at.Column, key, key)
		}
		if err := zeroIn(p.Value, field.Type); err != nil {
			return err
		}
	}
	return nil
}

// fieldOf returns the field of a struct that a key is decoded into.
func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == key {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

func isDuration(t reflect.Type) bool {
	return t == reflect.TypeFor[time.Duration]() || t == reflect.TypeFor[*time.Duration]()
}

func isNumber(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
}

// isZero reports whether a scalar is 0, as a number or a duration.
func isZero(n ast.Node) bool {
	scalar, ok := n.(ast.ScalarNode)
	if !ok {
		return false
	}
	text := strings.TrimSpace(fmt.Sprint(scalar.GetValue()))
	if d, err := time.ParseDuration(text); err == nil {
		return d == 0
	}
	x, err := strconv.ParseFloat(text, 64)
	return err == nil && x == 0
}
