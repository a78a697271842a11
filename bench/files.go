package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// replaceFile writes a file whole or not at all.
func replaceFile(file string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".bench-*")
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
