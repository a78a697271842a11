package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain lets a test run this very program as a process of its own, which can be sent signals.
func TestMain(m *testing.M) {
	if os.Getenv("FARM_TEST_AS_PROGRAM") != "" {
		main()
	}
	os.Exit(m.Run())
}

// farm is the program with an environment.
type farm struct {
	*testing.T
	env map[string]string
}

// result is what a run of the program left behind.
type result struct {
	out, err string
	code     int
}

func (f *farm) run(args ...string) result {
	var out, errs bytes.Buffer
	code := run(args, &out, &errs, func(name string) string { return f.env[name] })
	return result{out.String(), errs.String(), code}
}

// ok runs the program and fails the test if it fails.
func (f *farm) ok(args ...string) string {
	f.Helper()
	r := f.run(args...)
	if r.code != exitOK || r.err != "" {
		f.Fatalf("farm %v: exit code %d, standard error %q", args, r.code, r.err)
	}
	return r.out
}

// onRedis returns the program before an empty, real Redis.
func onRedis(t *testing.T) (*farm, *storetest.Redis) {
	r := storetest.Start(t)
	return &farm{t, map[string]string{"FARM_REDIS": r.URL}}, r
}

// golden compares text with a file.
func (f *farm) golden(name, got string) {
	f.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if got != string(want) {
		f.Errorf("%s: got\n%s\nwant\n%s\n(go test ./cmd/farm -update writes it anew)", path, got, want)
	}
}

var (
	agoForm = regexp.MustCompile(`just now|[0-9][0-9.a-z]* ago`)
	urlForm = regexp.MustCompile(`redis://127\.0\.0\.1:[0-9]+`)
)

// timeless hides what differs from run to run.
func timeless(s string) string {
	s = agoForm.ReplaceAllString(s, "AGO")
	return urlForm.ReplaceAllString(s, "URL")
}
