package agent

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// inNamespace is set in a process of the tests that has a network namespace of its own.
const inNamespace = "FARM_TEST_IN_NAMESPACE"

// inNetwork runs the test in a process with a network namespace of its own, with what ip is told. There it returns how ip
// is told more; in the process that started it, nil.
func inNetwork(t *testing.T, commands ...string) (ip func(command string)) {
	t.Helper()
	if os.Getenv(inNamespace) == "" {
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), inNamespace+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		out := new(bytes.Buffer)
		c.Stdout, c.Stderr = out, out
		if err := c.Start(); err != nil {
			t.Skipf("skipped: no network namespace can be made: %v; run the tests as root", err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("in the namespace: %v\n%s", err, out)
		}
		return nil
	}
	ip = func(command string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", command, err, out)
		}
	}
	for _, c := range commands {
		ip(c)
	}
	return ip
}

// house is a network with all that an agent should not announce.
var house = []string{
	"link set lo up",
	"link add eth0 type veth peer name peer0", "link set eth0 up", "link set peer0 up",
	"addr add 192.0.2.10/24 dev eth0", "addr add 192.0.2.250/32 dev eth0", "addr add 192.0.2.251/24 dev eth0",
	"addr add 2001:db8:1::10/64 dev eth0 nodad", "addr add 2001:db8:1::dead/64 dev eth0 nodad preferred_lft 0",
	"link add tailscale0 type bridge", "link set tailscale0 up", "addr add 100.101.102.103/32 dev tailscale0",
	"link add docker0 type bridge", "link set docker0 up", "addr add 172.17.0.1/16 dev docker0",
	"link add cilium_host type bridge", "link set cilium_host up", "addr add 10.0.1.7/32 dev cilium_host",
	"tuntap add dev vpn mode tun", "link set vpn up", "addr add 10.9.0.2/24 dev vpn",
	"link add eth1 type bridge", "addr add 198.51.100.9/24 dev eth1",
}

func TestAddressesOfTheKernel(t *testing.T) {
	ip := inNetwork(t, house...)
	if ip == nil {
		return
	}
	want := func(what string, lines ...string) {
		t.Helper()
		got, err := ExplainAddresses()
		wantError(t, err, "")
		for _, line := range lines {
			if !slices.Contains(got, line) {
				t.Errorf("%s: got\n%s\nwant %s", what, strings.Join(got, "\n"), line)
			}
		}
		if n := strings.Count(strings.Join(got, "\n"), ": taken"); n != strings.Count(strings.Join(lines, "\n"), ": taken") {
			t.Errorf("%s: %d are taken:\n%s", what, n, strings.Join(got, "\n"))
		}
	}
	want("without routes",
		"192.0.2.10 (eth0): taken",
		"192.0.2.250 (eth0): left out: it is a /32 beside others; another machine may have it tomorrow",
		"192.0.2.251 (eth0): left out: it is secondary; another machine may have it tomorrow",
		"100.101.102.103 (tailscale0): left out: its interface is of a tunnel or of containers",
		"172.17.0.1 (docker0): left out: its interface is of a tunnel or of containers",
		"10.0.1.7 (cilium_host): left out: its interface is of a tunnel or of containers",
		"10.9.0.2 (vpn): left out: its interface is of a tunnel or of containers",
		"198.51.100.9 (eth1): left out: its interface is down",
		"2001:db8:1::10 (eth0): taken",
		"2001:db8:1::dead (eth0): left out: it is deprecated",
	)
	ip("link set eth1 up")
	want("with two interfaces", "192.0.2.10 (eth0): taken", "198.51.100.9 (eth1): taken", "2001:db8:1::10 (eth0): taken")
	ip("route add default via 198.51.100.1")
	want("with a route", "198.51.100.9 (eth1): taken", "192.0.2.10 (eth0): left out: it is not the source of packets to the Internet",
		"2001:db8:1::10 (eth0): taken")
	ip("route replace default via 192.0.2.1 src 192.0.2.250")
	want("with a source in the route", "192.0.2.250 (eth0): taken", "2001:db8:1::10 (eth0): taken")
	ip("addr add 2001:db8:2::1/64 dev eth0 nodad")
	ip("-6 route add default via 2001:db8:2::ff src 2001:db8:2::1")
	want("with a route of IPv6", "192.0.2.250 (eth0): taken", "2001:db8:2::1 (eth0): taken",
		"2001:db8:1::10 (eth0): left out: it is not the source of packets to the Internet")
	ip("route replace unreachable default metric 0")
	want("with a route that refuses", "192.0.2.10 (eth0): taken", "198.51.100.9 (eth1): taken", "2001:db8:2::1 (eth0): taken")
}

// A router that announces itself and no prefix leaves an interface with a default route and a link-local address alone.
func TestRouteWithoutGlobalAddress(t *testing.T) {
	ip := inNetwork(t, "link set lo up",
		"link add eth0 address 02:00:00:00:00:01 type veth peer name peer0", "link set eth0 up", "link set peer0 up",
		"addr add fe80::10/64 dev eth0 nodad", "addr add 192.0.2.10/24 dev eth0",
		"route add default via 192.0.2.1", "-6 route add default via fe80::1 dev eth0")
	if ip == nil {
		return
	}
	got, err := ExplainAddresses()
	wantError(t, err, "")
	if !slices.Contains(got, "192.0.2.10 (eth0): taken") || !slices.Contains(got, "fe80::10 (eth0): left out: it is link-local") {
		t.Errorf("got %q", got)
	}
	ip("addr flush dev eth0 scope global")
	got, err = ExplainAddresses()
	wantError(t, err, "addresses: none of the machine's is fit")
	if !slices.Contains(got, "fe80::10 (eth0): left out: it is link-local") || strings.Contains(strings.Join(got, "\n"), ": taken") {
		t.Errorf("after the flush: got %q", got)
	}
}

func TestNoAddressesOfTheKernel(t *testing.T) {
	if inNetwork(t, "link set lo up") == nil {
		return
	}
	_, err := ExplainAddresses()
	wantError(t, err, "addresses: the machine has none; expected them in the configuration")
}
