package main

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestHelpOfCamaraSim(t *testing.T) {
	f := &farm{T: t}
	f.golden("help-farm-camara-sim", f.ok("camara-sim", "--help"))
}

func TestCamaraSimUsage(t *testing.T) {
	f := &farm{T: t}
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	must(os.WriteFile(empty, nil, 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "--secret-file"},
		{[]string{"--secret-file", empty}, exitRefused, "octets"},
		{[]string{"--secret-file", dir + "/s", "--cert", "x"}, exitUsage, "--key"},
		{[]string{"--secret-file", dir + "/s", "--sink-ca", empty}, exitRefused, "--sink-ca"},
		{[]string{"--secret-file", dir + "/s", "--fail", "createSession=200"}, exitUsage, "400 to 599"},
		{[]string{"--secret-file", dir + "/s", "--setup", "soon"}, exitUsage, "duration"},
		{[]string{"--secret-file", dir + "/s", "--listen", "nowhere"}, exitFailed, "--listen"},
	} {
		if r := f.run(append([]string{"camara-sim"}, c.args...)...); r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
}

var addressForm = regexp.MustCompile(`address=(\S+)`)

// The simulator makes a secret, answers to it, fails as it is told to, and ends at a signal.
func TestCamaraSim(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	c := exec.Command(os.Args[0], "camara-sim", "--listen", "127.0.0.1:0", "--secret-file", secretFile, "--fail", "token=503x1")
	c.Env = append(os.Environ(), "FARM_TEST_AS_PROGRAM=1")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := c.StderrPipe()
	must(err)
	must(c.Start())
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	lines := bufio.NewReader(log)
	line, err := lines.ReadString('\n')
	address := addressForm.FindStringSubmatch(line)
	if err != nil || address == nil {
		t.Fatalf("expected a line with the address, got %q, %v", line, err)
	}
	secret, err := os.ReadFile(secretFile)
	must(err)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"farm"}, "client_secret": {strings.TrimSpace(string(secret))}}
	for _, want := range []int{503, 200} {
		resp, err := http.PostForm("http://"+address[1]+"/oauth2/token", form)
		must(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("token: expected %d, got %s", want, resp.Status)
		}
	}
	must(c.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(lines)
	must(err)
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if strings.Contains(line+string(rest), strings.TrimSpace(string(secret))) {
		t.Error("the secret is in the log")
	}
}
