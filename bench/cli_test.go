package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/measured"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"-list", measured.ExitOK, ""},
		{"-h", measured.ExitOK, "go run ./bench freshness"},
		{"-rounds 0", measured.ExitUsage, "-rounds 0: expected 1 to 1000"},
		{"-seconds NaN", measured.ExitUsage, "-seconds NaN: expected 0.1 to 3600"},
		{"-o xml", measured.ExitUsage, "expected table or json"},
		{"fresh", measured.ExitUsage, `command "fresh": expected one of compare, profile, freshness, scale`},
		{"scale now", measured.ExitUsage, `unexpected argument "now"`},
		{"scale -docs", measured.ExitUsage, "-docs measures everything"},
		{"-docs -rows file", measured.ExitUsage, "-docs measures everything"},
		{"-rows nosuch", measured.ExitUsage, `no name server "nosuch"`},
		{"-nosuch", measured.ExitUsage, "nosuch"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(c.args), &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: expected exit code %d and %q, got %d and\n%s", c.args, c.code, c.says, code, &stderr)
		}
	}
}

func TestList(t *testing.T) {
	var out, notes bytes.Buffer
	run([]string{"-list"}, &out, &notes)
	for _, r := range rows {
		if !strings.Contains(out.String(), r.name) {
			t.Errorf("Expected %s to be listed", r.name)
		}
	}
}

// TestChooseRows: what others are set against comes first, whether asked for or not.
func TestChooseRows(t *testing.T) {
	for names, want := range map[string]string{
		"gdnsd": "whoami gdnsd", "gdnsd,file": "whoami file gdnsd", "whoami": "whoami",
	} {
		chosen, err := chooseRows(names)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range chosen {
			got = append(got, r.name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: expected %s, got %v", names, want, got)
		}
	}
	if all, err := chooseRows(allRows); err != nil || len(all) != len(rows) {
		t.Errorf("Expected all rows, got %d and %v", len(all), err)
	}
}
