package measured

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Section is a part of a page that a command writes; the rest of the page is written by hand. It stands between two lines.
type Section struct {
	File       string // from the root of the repository
	Begin, End string
}

// With returns the page as it is now, below root, with this text as its section.
func (s Section) With(root, text string) ([]byte, error) {
	page, err := os.ReadFile(filepath.Join(root, s.File))
	if err != nil {
		return nil, fmt.Errorf("cannot write the docs: expected the root of the repository here: %w", err)
	}
	head, rest, begun := strings.Cut(string(page), s.Begin+"\n")
	_, tail, ended := strings.Cut(rest, s.End+"\n")
	if !begun || !ended {
		return nil, fmt.Errorf("%s: expected the line %q, and %q further down", s.File, s.Begin, s.End)
	}
	return []byte(head + s.Begin + "\n" + text + s.End + "\n" + tail), nil
}

// Markdown is a table for a page: numbers stand to the right, the first column to the left.
func Markdown(head []string, lines [][]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)-1))
	for _, l := range lines {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(l, " | "))
	}
	return b.String()
}

// Replace writes a file whole or not at all.
func Replace(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".measured-*")
	if err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	defer os.Remove(f.Name()) // it is gone by then, if all went well
	_, err = f.Write(text)
	if e := f.Chmod(0o644); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}
