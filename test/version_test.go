package test

import (
	"os/exec"
	"strings"
	"testing"
)

// Both programs name the version of farm.
func TestVersions(t *testing.T) {
	for _, args := range [][]string{{"coredns", "-version"}, {"farm", "--version"}, {"farm", "version"}} {
		out, err := exec.Command(command(t, args[0]), args[1:]...).Output()
		if err != nil || !strings.Contains(string(out), "farm (devel)") && !strings.Contains(string(out), "farm v") {
			t.Errorf("%s: got %q, %v", strings.Join(args, " "), out, err)
		}
	}
}
