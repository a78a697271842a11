package test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

// TestStateDisk lets the disk fill up, and then be read-only, while CoreDNS writes its state file. Nobody who asks
// notices. Who restarts meanwhile has the last state that was written, whole; and writing goes on when it can.
func TestStateDisk(t *testing.T) {
	t.Parallel()
	disk := tmpfs(t)
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
		db.report(service, id, 0.3)
	}
	state := filepath.Join(disk, "farm.state")
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "STATE", state).Replace(stateCorefile))
	other := startOn(t, redis.URL)
	awaitGiven(t, other.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	asked := startSteady(t, of(c.addr).orElse(of(other.addr)), service)
	await(t, "the state file", func() bool { _, err := os.Stat(state); return err == nil })

	t.Log("full")
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	db.server(service, "web4", "192.0.2.4")
	db.report(service, "web4", 0.3)
	c.says("tries again every")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")

	// Killed now, without a database.
	redis.Stop()
	c.kill()
	c.again()
	got := given(t, c.addr, service)
	if !slices.Equal(got, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
		t.Errorf("Expected the last state that was written, got %v", got)
	}
	redis.Cont()
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
	c.says("tries again every")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	await(t, "the state file to be written again", func() bool { return holds(t, state, "192.0.2.4") })

	t.Log("read-only")
	remount(t, disk, syscall.MS_RDONLY)
	before := strings.Count(c.log.String(), "tries again every")
	db.server(service, "web5", "192.0.2.5")
	await(t, "the server to say so", func() bool { return strings.Count(c.log.String(), "tries again every") > before })
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")
	remount(t, disk, 0)
	await(t, "the state file to be written again", func() bool { return holds(t, state, "192.0.2.5") })
	asked.noneFailed()
}

// tmpfs mounts a small disk for the time of the test.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k")
	if errors.Is(err, syscall.EPERM) {
		t.Skip("a small disk can be mounted by root alone")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Nobody uses it any more: what was started after it, has ended before.
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("cannot unmount %s: %v", dir, err)
		}
	})
	return dir
}

func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	await(t, "the disk to be mounted anew", func() bool {
		// It is busy while somebody writes.
		return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|flags, "size=64k") == nil
	})
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Expected the disk to be full, got %v", err)
	}
}

func holds(t *testing.T, path, text string) bool {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(got), text)
}
