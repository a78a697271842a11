package qos

import "testing"

func TestCodePoints(t *testing.T) {
	for name, want := range map[string]uint8{"CS0": 0, "LE": 1, "CS1": 8, "AF11": 10, "AF43": 38, "va": 44, "ef": 46, "CS7": 56} {
		if got, ok := CodePoint(name); !ok || got != want {
			t.Errorf("%s: expected %d, got %d, %v", name, want, got, ok)
		}
	}
	for _, name := range []string{"", "AF44", "CS8", "46"} {
		if _, ok := CodePoint(name); ok {
			t.Errorf("%q: expected no code point", name)
		}
	}
	for dscp := range uint8(64) {
		if name := CodePointName(dscp); name != "" {
			if got, ok := CodePoint(name); !ok || got != dscp {
				t.Errorf("%s: expected %d, got %d", name, dscp, got)
			}
		}
	}
}
