package linux

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inNamespace is set in a process of the tests that has a network namespace of its own.
const inNamespace = "FARM_TEST_IN_NAMESPACE"

// TestMain runs the tests in a network namespace of their own, where that can be had: the tests change links, and what
// they leave goes with the process.
func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), inNamespace+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := c.Start()
	if err != nil {
		fmt.Fprintf(os.Stderr, "tests of the kernel are skipped: no network namespace can be made: %v\n", err)
		os.Exit(m.Run())
	}
	_ = c.Wait()
	os.Exit(c.ProcessState.ExitCode())
}

func needNamespace(t testing.TB) {
	t.Helper()
	if os.Getenv(inNamespace) == "" {
		t.Skip("skipped: it needs a network namespace of its own; run the tests as root")
	}
}
