package conf

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

type config struct {
	Interval time.Duration  `yaml:"interval"`
	Drain    *time.Duration `yaml:"drain"`
	Port     uint16         `yaml:"port"`
	Weight   *float64       `yaml:"weight"`
	Priority int            `yaml:"priority" zero:"ok"`
	Name     string         `yaml:"name"`
	Parts    []part         `yaml:"parts"`
	Part     *part          `yaml:"part"`
}

type part struct {
	Max      float64 `yaml:"max"`
	Statuses []int   `yaml:"statuses"`
}

func noWords(reflect.Type) string { return "" }

func TestZeroIsNotAbsent(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", ""},
		{"interval: 2s\nport: 80\n", ""},
		{"interval: 0s\n", "1:11: interval: expected more than 0, or no interval"},
		{"interval: 0\n", "1:11: "},
		{"port: 1\ninterval: 0h0m0s\n", "2:11: interval: expected more than 0"},
		{"port: 0\n", "1:7: port: expected more than 0, or no port"},
		{"{port: 0x0}\n", "1:8: port: expected more than 0"},
		{"parts: [{max: 1}, {max: 0.0}]\n", "1:25: max: expected more than 0"},
		{"parts:\n- max: -0\n", "2:8: max: expected more than 0"},
		{"part: {max: 0}\n", "1:13: max: expected more than 0"},
		{"part: &p\n  max: 0\n", "2:8: max: expected more than 0"},
		{"drain: 0s\nweight: 0\npriority: 0\nname: \"0\"\npart: {statuses: [0]}\n", ""},
	} {
		_, err := Parse[config]([]byte(tc.text), noWords)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: got %v, want %q", tc.text, err, tc.want)
		}
	}
	cfg, err := Parse[config]([]byte("drain: 0s\nweight: 0\n"), noWords)
	if err != nil || cfg.Drain == nil || *cfg.Drain != 0 || cfg.Weight == nil || *cfg.Weight != 0 {
		t.Errorf("What may be 0: got %+v, %v", cfg, err)
	}
	if cfg, err := Parse[config]([]byte("name: x\n"), noWords); err != nil || cfg.Drain != nil || cfg.Weight != nil {
		t.Errorf("What is absent: got %+v, %v", cfg, err)
	}
}
