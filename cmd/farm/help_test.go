package main

import (
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	f := &farm{T: t}
	for _, command := range []string{
		"", "agent", "broker", "drain", "explain",
		"grant", "grant list", "grant revoke", "handle", "handle issue", "handle show", "key", "key rotate", "level", "level set",
		"report", "script", "server", "server delete", "server set", "service", "status",
	} {
		f.golden("help-"+strings.ReplaceAll("farm "+command, " ", "-"), f.ok(append(strings.Fields(command), "--help")...))
	}
}

func TestHelpOfGroups(t *testing.T) {
	f := &farm{T: t}
	for _, group := range []string{"", "service", "server", "level", "grant", "key", "handle"} {
		with := f.ok(append(strings.Fields(group), "--help")...)
		if without := f.ok(strings.Fields(group)...); without != with {
			t.Errorf("farm %s: want the help, got %q", group, without)
		}
	}
}

func TestVersion(t *testing.T) {
	f := &farm{T: t}
	if got := f.ok("version"); !strings.HasPrefix(got, "farm ") || !strings.Contains(got, "go1.") {
		t.Errorf("version: %q", got)
	}
	if got, flag := f.ok("version"), f.ok("--version"); flag != got {
		t.Errorf("--version: got %q, version %q", flag, got)
	}
	if got := f.ok("version", "-o", "json"); !strings.Contains(got, `"version": `) {
		t.Errorf("version as JSON: %q", got)
	}
}

func TestCompletionScripts(t *testing.T) {
	f := &farm{T: t}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := f.ok("completion", shell); !strings.Contains(got, "farm") {
			t.Errorf("completion %s: %q", shell, got)
		}
	}
}

func TestScript(t *testing.T) {
	f := &farm{T: t}
	for _, name := range strings.Fields(f.ok("script")) {
		if got := f.ok("script", name); !strings.Contains(got, "redis.call") {
			t.Errorf("script %s: %q", name, got)
		}
	}
	if r := f.run("script", "repot"); r.code != exitNotFound || !strings.Contains(r.err, "report") {
		t.Errorf("script repot: %+v", r)
	}
}
