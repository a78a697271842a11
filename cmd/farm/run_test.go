package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestLongFlags(t *testing.T) {
	a := &app{out: io.Discard, err: io.Discard, env: func(string) string { return "" }}
	for in, want := range map[string]string{
		"agent -config a.yaml -check":               "agent --config a.yaml --check",
		"agent -config=a.yaml":                      "agent --config=a.yaml",
		"agent -c a.yaml":                           "agent -c a.yaml",
		"status -ojson -o wide":                     "status -ojson -o wide",
		"service set www.example.org -policy x":     "service set www.example.org --policy x",
		"report s w --utilization -1":               "report s w --utilization -1",
		"status -- -config":                         "status -- -config",
		"-redis redis://127.0.0.1:1 status -nosuch": "--redis redis://127.0.0.1:1 status -nosuch",
	} {
		if got := longFlags(a.rootCommand(), strings.Fields(in)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: expected %s, got %s", in, want, strings.Join(got, " "))
		}
	}
}
