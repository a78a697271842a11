package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-farm/farm/measured"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asCommand in the environment makes the test binary the command itself.
const asCommand = "SIM_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// command runs the command and returns what it printed, and its exit code.
func command(args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return out.String(), err.String(), code
}

func TestTable(t *testing.T) {
	t.Parallel()
	const golden = "testdata/tiny.txt"
	got, stderr, code := command("-scenario", "testdata/tiny.yaml", "-policy", "oracle,uniform,weighted:2", "-seeds", "2")
	if code != measured.ExitOK || stderr != "" {
		t.Fatalf("Expected a table, got exit code %d: %s", code, stderr)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("Expected the table of %s (go test -update writes it anew), got\n%s", golden, got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	args := []string{"-scenario", "testdata/tiny.yaml", "-policy", "predict,predict+shared", "-seeds", "3", "-o", "json"}
	got, stderr, code := command(args...)
	if code != measured.ExitOK {
		t.Fatalf("Expected JSON, got exit code %d: %s", code, stderr)
	}
	var objects []map[string]any
	if err := json.Unmarshal([]byte(got), &objects); err != nil {
		t.Fatal(err)
	}
	if len(objects) != 2 {
		t.Fatalf("Expected an object for each policy, got %d", len(objects))
	}
	keys := []string{"dns_qps", "failed", "mean_ratio", "over100", "over90", "p99_ratio", "policy", "refused", "request_p99_ms", "scenario", "seeds"}
	for i, o := range objects {
		if have := slices.Sorted(maps.Keys(o)); !slices.Equal(have, keys) {
			t.Errorf("Expected the keys %v, got %v", keys, have)
		}
		if o["scenario"] != "tiny" || o["policy"] != []string{"predict", "predict+shared"}[i] || o["seeds"] != 3.0 {
			t.Errorf("Expected what was run, got %v", o)
		}
		if p99, ok := o["p99_ratio"].(float64); !ok || p99 < 1 {
			t.Errorf("Expected a ratio of at least 1, got %v", o["p99_ratio"])
		}
	}
	if again, _, _ := command(args...); again != got {
		t.Errorf("Expected the same again, got\n%s\nafter\n%s", again, got)
	}
}

// TestMatrix: the farms of -matrix have a line each, with the harm that predict does.
func TestMatrix(t *testing.T) {
	t.Parallel()
	got, stderr, code := command("-matrix", "-scenario", "testdata/tiny.yaml")
	if code != measured.ExitOK || stderr != "" {
		t.Fatalf("Expected a table, got exit code %d: %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if head := strings.Fields(lines[0]); !slices.Equal(head, []string{"farm", "headroom", "weighted+right", "predict", "harm"}) {
		t.Errorf("Expected the policies that are compared, got %q", lines[0])
	}
	if len(lines) != 2 || !strings.HasPrefix(lines[1], "tiny ") {
		t.Fatalf("Expected a line for the farm, got\n%s", got)
	}
	var p99, mean [4]float64
	if n, err := fmt.Sscanf(lines[1], "tiny %f / %f %f / %f %f / %f %f / %f",
		&p99[0], &mean[0], &p99[1], &mean[1], &p99[2], &mean[2], &p99[3], &mean[3]); n != 8 {
		t.Fatalf("Expected p99 and mean of each policy and of the harm, got %q: %v", lines[1], err)
	}
	for i, want := range []float64{p99[2] / min(p99[0], p99[1]), mean[2] / min(mean[0], mean[1])} {
		within(t, "harm", []float64{p99[3], mean[3]}[i], want, .01)
	}
}

func TestList(t *testing.T) {
	got, _, code := command("-list")
	if code != measured.ExitOK {
		t.Fatalf("Expected a list, got exit code %d", code)
	}
	for _, want := range []string{"S1", "S8", "oracle", "predict+shared", "fluid+root", "equal-one-unreported"} {
		if !strings.Contains(got, "  "+want+" ") {
			t.Errorf("Expected %s in\n%s", want, got)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, measured.ExitOK, "-scenario FILE.yaml"},
		{[]string{"-scenarios", "S1"}, measured.ExitUsage, "-scenarios"},
		{[]string{"S1"}, measured.ExitUsage, `unexpected argument "S1"`},
		{[]string{"-seeds", "0"}, measured.ExitUsage, "expected 1 to 1000"},
		{[]string{"-seeds", "many"}, measured.ExitUsage, "many"},
		{[]string{"-o", "xml"}, measured.ExitUsage, "expected table or json"},
		{[]string{"-docs", "-policy", "predict"}, measured.ExitUsage, "-docs runs everything"},
		{[]string{"-matrix", "-policy", "predict"}, measured.ExitUsage, "-matrix: expected no other options than -scenario and -first"},
		{[]string{"-matrix", "-seeds", "5"}, measured.ExitUsage, "-matrix: expected no other options"},
		{[]string{"-matrix", "-scenario", "S9"}, measured.ExitUsage, `unknown scenario "S9"`},
		{[]string{"-scenario", "S9"}, measured.ExitUsage, `unknown scenario "S9": expected all, a file that ends in .yaml, or one of S1, S2,`},
		{[]string{"-scenario", ""}, measured.ExitUsage, `unknown scenario ""`},
		{[]string{"-scenario", "S1,S1"}, measured.ExitUsage, "scenario S1 is there twice"},
		{[]string{"-scenario", "missing.yaml"}, measured.ExitUsage, "missing.yaml: no such file"},
		{[]string{"-scenario", "testdata/tiny.yaml", "-policy", "best"}, measured.ExitUsage, `unknown policy "best": expected all, or some of oracle, ideal,`},
		{[]string{"-scenario", "testdata/tiny.yaml", "-policy", "all,uniform"}, measured.ExitUsage, "policy uniform is there twice"},
		{[]string{"-scenario", "testdata/tiny.yaml", "-policy", "predict:99"}, measured.ExitFailure, "expected 1 to 8 addresses"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			stdout, stderr, code := command(tc.args...)
			if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("Expected exit code %d and %q, got %d: %s%s", tc.code, tc.want, code, stdout, stderr)
			}
		})
	}
}

// TestInterrupt ends the command while it simulates.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, plots := filepath.Join(dir, "long.yaml"), filepath.Join(dir, "plots")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-scenario", pipe, "-policy", "uniform", "-plots", plots)
	c.Env = append(os.Environ(), asCommand+"=1")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// The pipe opens once the command reads it, which is when it minds signals.
	if err := os.WriteFile(pipe, []byte("duration: 100000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != measured.ExitInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("Expected exit code %d, got %d: %s", measured.ExitInterrupted, code, stderr.String())
	}
	if _, err := os.Stat(plots); err == nil {
		t.Errorf("Expected nothing to be drawn")
	}
}
