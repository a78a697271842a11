package agent

import (
	"testing"
	"testing/quick"
)

func TestHysteresis(t *testing.T) {
	none, up, down := hysteresis{}, hysteresis{known: true, up: true}, hysteresis{known: true}
	with := func(h hysteresis, run int) hysteresis { h.run = run; return h }
	tests := []struct {
		name string
		from hysteresis
		pass bool
		want hysteresis
	}{
		{"first pass", none, true, up},
		{"first failure", none, false, down},
		{"up stays up", up, true, up},
		{"one failure", up, false, with(up, 1)},
		{"two failures", with(up, 1), false, with(up, 2)},
		{"third failure", with(up, 2), false, down},
		{"a pass forgets failures", with(up, 2), true, up},
		{"down stays down", down, false, down},
		{"one pass", down, true, with(down, 1)},
		{"second pass", with(down, 1), true, up},
		{"a failure forgets passes", with(down, 1), false, down},
	}
	for _, tt := range tests {
		if got := tt.from.next(tt.pass, 2, 3); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// The state changes exactly when the last rise, or fall, results all say otherwise.
func TestHysteresisProperty(t *testing.T) {
	holds := func(results []bool, r, f uint8) bool {
		rise, fall := int(r%4)+1, int(f%4)+1
		var h hysteresis
		for i, pass := range results {
			before := h
			h = h.next(pass, rise, fall)
			if i == 0 {
				continue
			}
			need := rise
			if before.up {
				need = fall
			}
			same := i+1 >= need
			for j := i; same && j > i-need; j-- {
				same = results[j] != before.up
			}
			// The very first result sets the state by itself, so it never contradicts it.
			if changed := h.up != before.up; changed != same {
				return false
			}
		}
		return true
	}
	if err := quick.Check(holds, nil); err != nil {
		t.Error(err)
	}
}

func TestAwareness(t *testing.T) {
	var a awareness
	for range 2 * maxDoubt {
		a.missed()
	}
	if a.level() != maxDoubt {
		t.Errorf("doubt is %d, want at most %d", a.level(), maxDoubt)
	}
	for range 2 * maxDoubt {
		a.kept()
	}
	if a.level() != 0 {
		t.Errorf("doubt is %d, want 0", a.level())
	}
}
