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

// A number without a unit is seconds, as it is of flags and in the Corefile.
func TestDurationsWithoutUnit(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "1.5": 1500 * time.Millisecond, "-1": -time.Second, "0s": 0, "1m30s": 90 * time.Second,
		`"5"`: 5 * time.Second, "'2s'": 2 * time.Second, "2s # so long": 2 * time.Second, "&d 2s": 2 * time.Second,
	} {
		cfg, err := Parse[config]([]byte("drain: "+text+"\n"), noWords)
		if err != nil || cfg.Drain == nil || *cfg.Drain != want {
			t.Errorf("drain: %s: got %v, %v, want %v", text, cfg.Drain, err, want)
		}
	}
	for _, absent := range []string{"drain:\n", "drain: null\n", "interval: ~\n"} {
		if cfg, err := Parse[config]([]byte(absent), noWords); err != nil || cfg.Drain != nil || cfg.Interval != 0 {
			t.Errorf("%q: got %v, %v", absent, cfg.Drain, err)
		}
	}
	for _, text := range []string{"soon", "1e300", "NaN", "5 apples", "redis://:Sup3rSecret@h", "u:Sup3rSecret@h", "[1]", "true"} {
		_, err := Parse[config]([]byte("name: x\ninterval: "+text+"\n"), noWords)
		if err == nil || !strings.Contains(err.Error(), "2:11: interval: expected a duration, such as 2s") && text != "[1]" || strings.Contains(err.Error(), "Sup3r") {
			t.Errorf("interval: %s: got %v", text, err)
		}
	}
}

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
