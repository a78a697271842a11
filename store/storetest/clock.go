package storetest

import (
	_ "embed"
	wire "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// The Go tool would take a .c file of the package for a part of it.
//
//go:embed clock.c.txt
var clockSource string

// StartWithClock starts a redis-server whose clock shift sets: so far ahead of the machine's, or behind.
func StartWithClock(t testing.TB) (r *Redis, shift func(time.Duration)) {
	t.Helper()
	dir := t.TempDir()
	lib, file := filepath.Join(dir, "clock.so"), filepath.Join(dir, "offset")
	source := writeFile(t, dir, "clock.c", clockSource)
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", lib, source).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %s: %s", err, out)
	}
	shift = func(by time.Duration) {
		t.Helper()
		setOffset(t, file, int64(by/time.Second))
	}
	shift(0)
	r = startIn(t, []string{"LD_PRELOAD=" + lib, "CLOCK_OFFSET=" + file})
	shift(time.Hour)
	ahead, err := strconv.ParseInt(r.Do("--raw", "EVAL", "return redis.call('TIME')[1]", "0"), 10, 64)
	if err != nil || time.Until(time.Unix(ahead, 0)) < 50*time.Minute {
		t.Fatalf("the clock of redis-server cannot be set: it says %d, %v", ahead, err)
	}
	shift(0)
	return r, shift
}

// setOffset writes into the file without making it anew: the process has it in its memory.
func setOffset(t testing.TB, file string, seconds int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := wire.Write(f, wire.NativeEndian, seconds); err != nil {
		t.Fatal(err)
	}
}
