package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// spoken are the report fields that a command may say.
type spoken struct {
	Utilization *float64 `json:"utilization"`
	CPU         *float64 `json:"cpu"`
	Mem         *float64 `json:"mem"`
	RPS         *float64 `json:"rps"`
	EPS         *float64 `json:"eps"`
	InFlight    *float64 `json:"in_flight"`
	Latency     *float64 `json:"latency"`
	Health      Health   `json:"health"`
	Reason      string   `json:"reason"`
}

func parseJSON(out []byte) (Sample, error) {
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.DisallowUnknownFields()
	var s spoken
	if err := dec.Decode(&s); err != nil {
		return Sample{}, fmt.Errorf("output: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Sample{}, errors.New("output: more than one JSON object")
	}
	return Sample{
		Utilization: s.Utilization, CPU: s.CPU, Mem: s.Mem, RPS: s.RPS, EPS: s.EPS, InFlight: s.InFlight, Latency: s.Latency,
		Health: s.Health, Reason: s.Reason,
	}, nil
}

func parseWords(out string) (Sample, error) {
	var s Sample
	for w := range strings.FieldsSeq(out) {
		name, value, _ := strings.Cut(w, "=")
		switch p := s.number(name); {
		case p != nil:
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return Sample{}, fmt.Errorf("output: %.40q, expected %s=NUMBER", w, name)
			}
			*p = &v
		case name == "health":
			s.Health = Health(value)
		case name == "reason":
			s.Reason = value
		default:
			return Sample{}, fmt.Errorf("output: %.40q, expected a report field", w)
		}
	}
	return s, nil
}
