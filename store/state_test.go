package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// saved returns the state file of a world.
func (w *world) saved() []byte {
	w.t.Helper()
	data, err := encodeState(w.r.lines(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// restored is a world that has only the state file.
func (w *world) restored(data []byte) *world {
	w.t.Helper()
	lines, err := decodeState(data)
	if err != nil {
		w.t.Fatal(err)
	}
	next := newWorld(w.t)
	next.now, next.epoch, next.rev = w.now, w.epoch, w.rev
	next.r.restore(lines, next.now)
	return next
}

func TestStateHoldsEverything(t *testing.T) {
	w := newWorld(t)
	w.rev = 3
	w.load(record{kindService, svc, "", `{"policy":"first"}`}, serverRec("a"), serverRec("b"), serverRec("c"), serverRec("d"))
	silent := w.report("d", 5, "")
	w.follow(silent, w.report("a", 60, ""), w.admin("b", "drain"))
	w.pass(10_000)
	alive := w.report("a", 10, `,"utilization":0.5,"health":"degraded","reason":"x"`)
	w.follow(alive, w.report("c@p1", 10, `,"health":"down"`), w.admin("c", "ready"))
	before := w.gates()
	if before != "a:open b:open c:down d:silent" {
		t.Fatal(before)
	}
	next := w.restored(w.saved())
	next.want(before)
	in, _, _ := next.board.input(next.r, svc, next.now, nil)
	if in.Service.Policy != "first" {
		t.Error("the service's record is lost")
	}
	next.now += 3_600_000 // Redis is not there: nobody's lease runs out
	next.want(before)
	if again := next.r.lines(next.now); len(again) != len(w.r.lines(w.now)) {
		t.Errorf("%d lines, had %d", len(again), len(w.r.lines(w.now)))
	}

	// The same database: what has not reported since is what it was, and what is gone is gone.
	next.load(serverRec("a"), serverRec("d"), alive, silent)
	next.want("a:open d:silent")
	// Another database: all are kept.
	other := w.restored(w.saved())
	other.epoch = 9
	other.load(serverRec("a"), alive)
	other.want(before)
}

func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	w.load(serverRec("a"), w.report("a", 10, ""))
	good := w.saved()
	for i := range good {
		damaged := append([]byte(nil), good...)
		damaged[i] ^= 1
		if _, err := decodeState(damaged); !errors.Is(err, errDamaged) {
			t.Fatalf("octet %d changed: got %v, want that it is damaged", i, err)
		}
		if _, err := decodeState(good[:i]); !errors.Is(err, errDamaged) {
			t.Fatalf("cut after %d: got %v, want that it is damaged", i, err)
		}
	}
}

func TestDamagedStateIsKeptAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log []string
	s := &Store{cfg: Config{StateFile: path, Logger: Logger{Warnf: func(f string, _ ...any) { log = append(log, f) }}}, replica: newReplica()}
	s.warm()
	if s.Ready() || len(log) != 1 {
		t.Errorf("ready %v, log %q", s.Ready(), log)
	}
	if kept, err := os.ReadFile(path + ".damaged"); err != nil || string(kept) != "half a fi" {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// What a process left that was killed while it wrote is removed; what somebody may still be writing is not.
func TestTemporaryFilesAreSwept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for name, age := range map[string]time.Duration{path + ".tmp1": 2 * oldTemp, path + ".tmp2": 0, path + "2": 2 * oldTemp} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s := &Store{cfg: Config{StateFile: path}, replica: newReplica()}
	s.warm()
	left, _ := filepath.Glob(path + "*")
	if want := []string{path + ".tmp2", path + "2"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// A disk that is full is said once, tried on, and its end is said too.
func TestStateFileCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	var log []string
	say := func(f string, _ ...any) { log = append(log, f) }
	s := &Store{cfg: Config{StateFile: filepath.Join(dir, "state"), Logger: Logger{Infof: say, Warnf: say}}, replica: newReplica()}
	s.save()
	if len(log) != 0 {
		t.Errorf("it tried to write before anything was read: %q", log)
	}
	for i := range Shards {
		s.replica.load(i, &dump{now: 1}, 1)
	}
	s.save()
	s.save()
	if len(log) != 1 || !strings.Contains(log[0], "tries again every") {
		t.Errorf("log %q, want one line", log)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.save()
	if len(log) != 2 || s.tally.saveErr != "" {
		t.Errorf("log %q, want a second line", log)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files left: %v", left)
	}
}

func FuzzState(f *testing.F) {
	w := newWorld(&testing.T{})
	w.load(serverRec("a"), w.report("a", 10, ""), w.grantRec(1, 1, "granted", 10_000, ""))
	good, _ := encodeState(w.r.lines(w.now))
	f.Add(good)
	f.Add([]byte(stateMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = decodeState(body)
		// With a checksum that fits, lines are checked as if they came from Redis.
		_, lines, _ := strings.Cut(string(body), "\n")
		if got, err := decodeState(seal([]byte(lines))); err == nil {
			r := newReplica()
			r.restore(got, 1)
			checkReplica(t, r, 1)
		}
	})
}
