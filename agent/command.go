package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Command is the collector of a command's standard output: a JSON object of report fields, or words like
// "utilization=0.4 rps=10 health=up". As a probe it passes when it exits with 0.
type Command struct {
	Run []string `yaml:"run"` // the program and its arguments; no shell
}

func (c *Command) validate() error {
	if len(c.Run) == 0 || c.Run[0] == "" {
		return errors.New("run: expected a program and its arguments")
	}
	return nil
}

type commandCollector struct{ argv []string }

func (c *commandCollector) collect(ctx context.Context, _ time.Time) (Sample, error) {
	out, err := runCommand(ctx, c.argv)
	if err != nil {
		return Sample{}, err
	}
	return parseOutput(out)
}

// parseOutput parses what a command says.
func parseOutput(out []byte) (Sample, error) {
	out = bytes.TrimSpace(out)
	if bytes.HasPrefix(out, []byte("{")) {
		return parseJSON(out)
	}
	return parseWords(string(out))
}

// parseJSON parses an object of report fields. A field that cannot be used costs itself.
func parseJSON(out []byte) (Sample, error) {
	dec := json.NewDecoder(bytes.NewReader(out))
	var fields map[string]json.RawMessage
	if err := dec.Decode(&fields); err != nil {
		return Sample{}, fmt.Errorf("output: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Sample{}, errors.New("output: more than one JSON object")
	}
	var s Sample
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		takeField(&s, strings.ToLower(name), fields[name])
	}
	return s, nil
}

func takeField(s *Sample, name string, value json.RawMessage) {
	p := s.number(name)
	switch {
	case p != nil:
		if json.Unmarshal(value, p) != nil {
			*p = nil
			s.lack(name, fmt.Sprintf("is %.40q, expected a number", value))
		}
	case name == "health":
		s.Health = Health(strings.ToLower(textOf(value)))
	case name == "reason":
		s.Reason = textOf(value)
	default:
		s.lackWord(name)
	}
}

// textOf returns a JSON string, and anything else as it is written.
func textOf(value json.RawMessage) string {
	var text *string
	if json.Unmarshal(value, &text) != nil {
		return string(value)
	}
	if text == nil {
		return ""
	}
	return *text
}

// lackWord names the first word that is no field of a report.
func (s *Sample) lackWord(word string) {
	if !s.lacks("word") {
		s.lack("word", fmt.Sprintf("%.40q, expected a report field", word))
	}
}

// parseWords parses words of NAME=VALUE. A word that cannot be used costs itself.
func parseWords(out string) (Sample, error) {
	var s Sample
	known := 0
	for w := range strings.FieldsSeq(out) {
		name, value, _ := strings.Cut(w, "=")
		p := s.number(name)
		switch {
		case p != nil:
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.lack(name, fmt.Sprintf("is %.40q, expected a number", value))
				break
			}
			*p = &v
		case name == "health":
			s.Health = Health(strings.ToLower(value))
		case name == "reason":
			s.Reason = value
		default:
			s.lackWord(w)
			continue
		}
		known++
	}
	if known == 0 && s.lacks("word") {
		return Sample{}, fmt.Errorf("output: %.40q, expected report fields", out)
	}
	return s, nil
}
