package suggest

import "testing"

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"web1": "web1", "redis://:Sup3rSecret@h": "(a URL)", "u:Sup3rSecret@h": "(a URL)", "": "",
	} {
		if got := Shown(in); got != want {
			t.Errorf("Shown(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		`time: invalid duration "u:Sup3rSecret@h"`:     `time: invalid duration "(a URL)"`,
		`a "b" and "redis://x\"Sup3rSecret" and "c"`:   `a "b" and "(a URL)" and "c"`,
		`expected a URL such as redis://HOST, not "x"`: `expected a URL such as redis://HOST, not "x"`,
	} {
		if got := ShownQuotes(in); got != want {
			t.Errorf("ShownQuotes(%s) = %s, want %s", in, got, want)
		}
	}
}
