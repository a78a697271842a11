package agent

import (
	"reflect"
	"strings"
	"testing"
)

// fillTexts puts a text into every string of a configuration, and makes what holds more of them.
func fillTexts(v reflect.Value, text string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillTexts(v.Elem(), text, depth-1)
		}
	case reflect.Slice:
		if depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fillTexts(v.Index(0), text, depth-1)
		}
	case reflect.Map:
		if v.Type() == reflect.TypeFor[map[string]string]() {
			v.Set(reflect.ValueOf(map[string]string{text: text}))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillTexts(v.Field(i), text, depth)
			}
		}
	}
}

// secretTexts are values that hold a password, as operators mistype them.
var secretTexts = []string{"redis://:Sup3rSecret@h", "u:Sup3rSecret@h", "http://u:Sup3rSecret/xyz@h", "u:Sup3rSecret@h:80", `x"Sup3rSecret@h`}

// No error of a configuration repeats what may hold a password, whichever key it stands at.
func TestErrorsKeepSecrets(t *testing.T) {
	kinds := func(base Config, text string) []Config {
		configs := []Config{base}
		fillTexts(reflect.ValueOf(&configs[0]).Elem(), text, 6)
		// A collector and a probe are of one kind each, and are checked in full only then.
		for i := range reflect.TypeFor[Collect]().NumField() {
			var c Collect
			if f := reflect.ValueOf(&c).Elem().Field(i); f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
				fillTexts(f, text, 6)
				configs = append(configs, Config{Collect: []Collect{c}})
			}
		}
		for i := range reflect.TypeFor[Probe]().NumField() {
			var p Probe
			if f := reflect.ValueOf(&p).Elem().Field(i); f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
				fillTexts(f, text, 6)
				configs = append(configs, Config{Probe: []Probe{p}})
			}
		}
		return configs
	}
	for _, text := range secretTexts {
		for _, cfg := range kinds(Config{}, text) {
			if err := cfg.Validate(); err == nil || strings.Contains(err.Error(), "Sup3r") {
				t.Errorf("%q: got %v", text, err)
			}
		}
	}
}

// Nor does one of a file.
func FuzzErrorsKeepSecrets(f *testing.F) {
	for _, key := range []string{"interval", "port", "redis", "collect", "probe", "services", "weight", "levels", "drain", "x"} {
		f.Add(key, "redis://:%@h")
		f.Add(key, "[u:%@h]")
		f.Add(key, "{url: 'http://u:%@h'}")
		f.Add(key, "- tcp: {address: u:%@h}")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		const secret = "Sup3rSecretXyz"
		if !strings.Contains(value, "%@") || strings.ContainsAny(key, "%") {
			return
		}
		cfg, err := Parse([]byte(key + ": " + strings.ReplaceAll(value, "%@", secret+"@") + "\n"))
		if err == nil {
			err = cfg.Validate()
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %s: %v", key, value, err)
		}
	})
}
