package store

import (
	"encoding/json"
	"strings"
)

// notZero are the fields of records that mean nothing when they are 0: such a one is a mistake, and not the same as an
// absent one.
var notZero = []string{"answers", "hard", "port", "capacity", "ceiling", "unit", "share", "keep", "up", "down", "delay", "jitter", "duration"}

// checkZeros returns an error if a field of a record is 0 and cannot be. It looks at the text, for what is decoded has 0 for
// absent.
func checkZeros(data string) error {
	if !mayHaveZero(data) {
		return nil
	}
	var rec map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &rec); err != nil {
		return bad("json", "%s", clip(err.Error()))
	}
	for name, value := range rec {
		if err := checkZero(name, value); err != nil {
			return err
		}
	}
	var levels []json.RawMessage
	if json.Unmarshal(rec["levels"], &levels) == nil {
		for _, l := range levels {
			if err := checkZeros(string(l)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkZero(name string, value json.RawMessage) error {
	for _, n := range notZero {
		// Names of fields are read without regard to case, as encoding/json does.
		var x *float64
		if strings.EqualFold(n, name) && json.Unmarshal(value, &x) == nil && x != nil && *x == 0 {
			return bad("range", "%s 0: expected a number above 0, or no %s", n, n)
		}
	}
	return nil
}

// mayHaveZero reports whether a value of a JSON object begins with a 0. Most records have none, and need no second look.
func mayHaveZero(data string) bool {
	for {
		_, value, ok := strings.Cut(data, ":")
		if !ok {
			return false
		}
		if value = strings.TrimLeft(value, " \t\r\n-"); strings.HasPrefix(value, "0") {
			return true
		}
		data = value
	}
}
