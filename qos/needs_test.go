package qos_test

import (
	"math/rand/v2"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
)

func TestParseNeeds(t *testing.T) {
	for text, want := range map[string]qos.Needs{
		"d20-n8000":              {Delay: 20, Down: 8000},
		"n8000-d20":              {Delay: 20, Down: 8000},
		"u4294967295":            {Up: 1<<32 - 1},
		"d65535-j65535-l255":     {Delay: 65535, Jitter: 65535, Loss: 255},
		"d1-j2-l3-n4-t5-u6":      {Delay: 1, Jitter: 2, Loss: 3, Down: 4, Duration: 5, Up: 6},
		"t4294967295-n999999999": {Duration: 1<<32 - 1, Down: 999999999},
	} {
		got, err := qos.ParseNeeds(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := qos.ParseNeeds(got.String()); err != nil || again != want {
			t.Errorf("%s is written %s: %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-", "d", "d0", "d01", "d1-", "-d1", "d1--j1", "d1-d1", "d65536", "j65536", "l256", "n4294967296", "x1", "D1", "d1.5", "d+1", "d12345678901"} {
		if got, err := qos.ParseNeeds(text); err == nil || got != (qos.Needs{}) {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestCheapest(t *testing.T) {
	levels := []steer.Level{
		{Name: "gold", Rank: 30, Up: 5000, Down: 20000, Delay: 20, Jitter: 5, Loss: 4},
		{Name: "bronze", Rank: 10, Down: 2000},
		{Name: "plain", Rank: 5},
		{Name: "silver", Rank: 20, Up: 1000, Down: 8000, Delay: 50, Loss: 3},
	}
	for needs, want := range map[string]string{
		"t600":             "plain",
		"n1":               "bronze",
		"n2000":            "bronze",
		"n2001":            "silver",
		"n8001":            "gold",
		"n20001":           "",
		"u1":               "silver",
		"u1001":            "gold",
		"d50":              "silver", // bronze promises no delay
		"d49":              "gold",
		"d19":              "",
		"j5":               "gold", // silver promises no jitter
		"j4":               "",
		"l3":               "silver",
		"l4":               "gold",
		"l5":               "",
		"d100-n100-u1-t60": "silver",
		"d20-n8000":        "gold",
	} {
		n, err := qos.ParseNeeds(needs)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if l := qos.Cheapest(levels, n); l != nil {
			got = l.Name
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", needs, got, want)
		}
	}
	if l := qos.Cheapest(nil, qos.Needs{}); l != nil {
		t.Errorf("of no levels: %s", l.Name)
	}
}

// TestCheapestIsEnough: the level that is chosen promises all that is needed, and no cheaper one does.
func TestCheapestIsEnough(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	few := func() uint32 { return rnd.Uint32N(4) }
	enough := func(l *steer.Level, n *qos.Needs) bool {
		soon := func(level, need uint16) bool { return need == 0 || level != 0 && level <= need }
		return l.Up >= n.Up && l.Down >= n.Down && l.Loss >= n.Loss && soon(l.Delay, n.Delay) && soon(l.Jitter, n.Jitter)
	}
	for range 5000 {
		levels := make([]steer.Level, rnd.IntN(5))
		for i, rank := range rnd.Perm(len(levels)) {
			levels[i] = steer.Level{Rank: uint8(1 + rank), Up: few(), Down: few(), Delay: uint16(few()), Jitter: uint16(few()), Loss: uint8(few())}
		}
		n := qos.Needs{Up: few(), Down: few(), Delay: uint16(few()), Jitter: uint16(few()), Loss: uint8(few())}
		got := qos.Cheapest(levels, n)
		if got != nil && !enough(got, &n) {
			t.Fatalf("%+v for %+v", got, n)
		}
		for i := range levels {
			if l := &levels[i]; enough(l, &n) && (got == nil || l.Rank < got.Rank) {
				t.Fatalf("%+v is cheaper than %+v for %+v", l, got, n)
			}
		}
	}
}
