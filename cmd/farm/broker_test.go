package main

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

const brokerYAML = `
elements:
  - name: edge
    linux:
      dry_run: true
      links:
        - {interface: eth0, rate: 10000, toward: clients}
`

func brokerFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "broker.yaml")
	must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestBrokerCheck(t *testing.T) {
	f := &farm{T: t}
	good := brokerFile(t, brokerYAML)
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"-c " + good, exitOK, "the configuration is valid"},
		{"-c " + good + " --redis nowhere", exitRefused, "redis"},
		{"", exitUsage, "flag -c: expected a configuration file"},
		{"-c /nowhere/broker.yaml", exitRefused, "no such file"},
		{"-c " + brokerFile(t, "element: []\n"), exitRefused, `broker.yaml: 1:1: unknown field "element"`},
		{"-c " + brokerFile(t, strings.Replace(brokerYAML, "10000", "1", 1)), exitRefused, "elements[0].linux.links[0].rate: expected"},
		{"-c " + good + " more", exitUsage, "arguments: 1: expected none"},
	} {
		got := f.run(append([]string{"broker", "--check"}, strings.Fields(tc.args)...)...)
		if got.code != tc.code || !strings.Contains(got.out+got.err, tc.want) {
			t.Errorf("farm broker --check %s: %+v, want exit code %d and %q", tc.args, got, tc.code, tc.want)
		}
	}
}

// A broker that finds a request says what it would do about it; one that runs does it; and it ends when it is told to.
func TestBroker(t *testing.T) {
	f, r := onRedis(t)
	file := brokerFile(t, brokerYAML)
	db, err := store.Dial([]string{r.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	g, err := db.Ask(t.Context(), store.Request{Grant: qos.Grant{
		Service: "www.example.org.", Client: qos.Client(qos.KindID, "alice"), Server: "web1", Asked: "gold",
		Offer:      qos.Offer{Level: "gold", Network: true, Down: 5000, Duration: 300},
		ClientAddr: netip.MustParseAddr("192.0.2.1"), ServerAddr: netip.MustParseAddr("198.51.100.1"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	const class = "tc class replace dev eth0 parent fa00:1 classid fa00:10 htb rate 5000kbit"
	for _, want := range []string{class, "# request " + g.ID.String() + " of www.example.org.: granted"} {
		if out := f.ok("broker", "-c", file, "--dry-run"); !strings.Contains(out, want) {
			t.Errorf("a dry run: expected %q in\n%s", want, out)
		}
	}

	var out, log bytes.Buffer
	c := exec.Command(os.Args[0], "broker", "--redis", r.URL, "-c", file)
	c.Env = append(os.Environ(), "FARM_TEST_AS_PROGRAM=1")
	c.Stdout, c.Stderr = &out, &log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	storetest.Eventually(t, "the request is granted", func() bool {
		now, _, err := db.Grant(t.Context(), g.Service, g.ID)
		return err == nil && now.State == qos.Granted
	})
	must(c.Process.Signal(syscall.SIGTERM))
	if err := <-ended; err != nil || !strings.Contains(out.String(), class) || !strings.Contains(log.String(), "broker ends") {
		t.Errorf("the broker ended with %v; it wrote\n%s\nits log:\n%s", err, &out, &log)
	}
}
