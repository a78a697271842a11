package measured

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	does := func(err error) func() (Execute, error) {
		return func() (Execute, error) { return func(context.Context) error { return err }, nil }
	}
	fails := func(err error) func() (Execute, error) { return func() (Execute, error) { return nil, err } }
	for _, tc := range []struct {
		what  string
		parse func() (Execute, error)
		code  int
		says  string
	}{
		{"well", does(nil), ExitOK, ""},
		{"help", fails(flag.ErrHelp), ExitOK, ""},
		{"a mistake", fails(errors.New("what?")), ExitUsage, "it: what?\n"},
		{"a mistake that is found late", does(Misused(errors.New("what?"))), ExitUsage, "it: what?\n"},
		{"a failure", does(errors.New("no")), ExitFailure, "it: no\n"},
	} {
		var stderr bytes.Buffer
		if code := Run("it", &stderr, tc.parse); code != tc.code || stderr.String() != tc.says {
			t.Errorf("%s: expected %d and %q, got %d and %q", tc.what, tc.code, tc.says, code, &stderr)
		}
	}
}

func TestSection(t *testing.T) {
	root := t.TempDir()
	s := Section{File: "page.md", Begin: "<begin>", End: "<end>"}
	if _, err := s.With(root, ""); err == nil || !strings.Contains(err.Error(), "expected the root of the repository") {
		t.Errorf("Expected to be told where to be, got %v", err)
	}
	for page, want := range map[string]string{
		"a\n<begin>\nold\n<end>\nb\n": "a\n<begin>\nnew\n<end>\nb\n",
		"<begin>\n<end>\n":            "<begin>\nnew\n<end>\n",
		"<end>\n<begin>\n":            "",
		"nothing\n":                   "",
	} {
		if err := Replace(filepath.Join(root, s.File), []byte(page)); err != nil {
			t.Fatal(err)
		}
		got, err := s.With(root, "new\n")
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: expected %q, got %q and %v", page, want, got, err)
		}
	}
}

func TestReplaceLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "taken"), nil); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("Expected an error that names the file, got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("Expected no other file to be left, got %v", left)
	}
}

func TestMarkdown(t *testing.T) {
	const want = "| a | b |\n|---|---:|\n| c | 1 |\n"
	if got := Markdown([]string{"a", "b"}, [][]string{{"c", "1"}}); got != want {
		t.Errorf("Expected %q, got %q", want, got)
	}
}
