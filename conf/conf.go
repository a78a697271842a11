// Package conf reads configuration files in YAML: those of agents and brokers.
package conf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/coredns-farm/farm/suggest"

	"github.com/goccy/go-yaml"
)

// MaxSize bounds a configuration, in octets.
const MaxSize = 1 << 20

// Words say what was expected where a value is not of the type that it should be, in terms of what an operator can write;
// empty leaves it to the decoder, which speaks of Go's types.
type Words func(reflect.Type) string

// Load reads a file as Parse does a text. Errors name the file, if it could be read.
func Load[T any](path string, words Words) (T, error) {
	var none T
	f, err := os.Open(path)
	if err != nil {
		return none, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return none, err
	}
	cfg, err := Parse[T](b, words)
	if err != nil {
		return none, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

// Parse parses one YAML document. Keys that are unknown or there twice are errors, and so is a 0 that would be taken for an
// absent key. Errors begin with LINE:COLUMN: where that
// is known, and never quote the text, which may hold passwords.
func Parse[T any](b []byte, words Words) (T, error) {
	var cfg, none T
	if len(b) > MaxSize {
		return none, fmt.Errorf("larger than %d octets", MaxSize)
	}
	dec := yaml.NewDecoder(strings.NewReader(string(b)), yaml.Strict(), yaml.CustomUnmarshaler(decodeDuration))
	if err := decodeNext(dec, &cfg); err != nil && err != io.EOF {
		if errors.Is(err, errDuration) {
			err = cmp.Or(checkNumbers(b, reflect.TypeFor[T]()), err)
		}
		return none, errors.New(suggest.ShownQuotes(located(err, words).Error()))
	}
	if err := decodeNext(dec, new(any)); err != io.EOF {
		return none, errors.New("expected one YAML document")
	}
	return cfg, checkNumbers(b, reflect.TypeFor[T]())
}

// maxSeconds is what fits into a duration.
const maxSeconds = float64(math.MaxInt64 / int64(time.Second))

// decodeDuration reads a duration such as 1m30s, or a number of seconds, as flags and the Corefile have it.
func decodeDuration(d *time.Duration, b []byte) (err error) {
	*d, err = parseDuration(strings.Trim(strings.TrimSpace(string(b)), `"'`))
	return err
}

var errDuration = errors.New("expected a duration, such as 2s")

func parseDuration(text string) (time.Duration, error) {
	if n, numErr := strconv.ParseFloat(text, 64); numErr == nil && math.Abs(n) <= maxSeconds {
		return time.Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errDuration
	}
	return d, nil
}

// decodeNext decodes the next document. The decoder panics on some texts, such as a tag before a list's place.
func decodeNext(dec *yaml.Decoder, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the YAML makes no sense; a tag, an anchor or an alias where none is expected")
		}
	}()
	return dec.Decode(into)
}

func located(err error, words Words) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil || y.GetToken().Position == nil {
		return err
	}
	message := y.GetMessage()
	if t, ok := errors.AsType[*yaml.TypeError](y); ok && t.DstType != nil {
		if said := words(t.DstType); said != "" {
			message = said
		}
	}
	at := y.GetToken().Position
	return fmt.Errorf("%d:%d: %s", at.Line, at.Column, message)
}
