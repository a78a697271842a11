package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestServerMoves shows that lookups follow the addresses of a machine whose agent has none in its configuration: no
// virtual, deprecated or tunnel's address is ever answered, and after a change the new one, without a restart.
func TestServerMoves(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: network namespaces need root; run the tests as root")
	}
	machine := fmt.Sprintf("farm%d-machine", os.Getpid())
	ip := func(command string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", command, err, out)
		}
	}
	if out, err := exec.Command("ip", "netns", "add", machine).CombinedOutput(); err != nil {
		t.Skipf("skipped: network namespaces cannot be made: %v: %s", err, out)
	}
	t.Cleanup(func() { ip("netns del " + machine) })
	for _, command := range []string{
		"link add eth0 type veth peer name wire", "link set eth0 up", "link set wire up",
		"addr add 192.0.2.10/24 dev eth0", "addr add 192.0.2.250/32 dev eth0",
		"addr add 2001:db8:1::10/64 dev eth0 nodad", "addr add 2001:db8:1::dead/64 dev eth0 nodad preferred_lft 0",
		"link add tailscale0 type bridge", "link set tailscale0 up", "addr add 100.101.102.103/32 dev tailscale0",
		"route add default via 192.0.2.1",
	} {
		ip("-n " + machine + " " + command)
	}

	socket := filepath.Join(t.TempDir(), "redis.sock")
	start(t, "redis-server", "redis-server", "--port", "0", "--save", "", "--dir", t.TempDir(), "--unixsocket", socket)
	await(t, "Redis to listen", func() bool { _, err := os.Stat(socket); return err == nil })
	url := "unix://" + socket
	c := startCoreDNS(t, fmt.Sprintf("example.org:PORT {\n    bind 127.0.0.1\n    errors\n    farm {\n        redis %s\n    }\n}\n", url))
	args := []string{"netns", "exec", machine, command(t, "farm"), "agent", "--redis", url, "--server", "web1", "--service", "www.example.org", "--interval", "10s", "--drain", "0s"}
	agent := start(t, "agent", "ip", args...)

	awaitAddresses(t, c, "192.0.2.10", "2001:db8:1::10")
	for _, line := range []string{
		"address is taken\" address=192.0.2.10 interface=eth0",
		"address is left out\" address=192.0.2.250 interface=eth0 reason=",
		"address is left out\" address=2001:db8:1::dead interface=eth0 reason=\"it is deprecated\"",
		"address is left out\" address=100.101.102.103 interface=tailscale0 reason=",
	} {
		if n := strings.Count(agent.log.String(), line); n != 1 {
			t.Errorf("Expected the log to say %q once, got %d times:\n%s", line, n, agent.log.String())
		}
	}

	// As a client of DHCP does it. Between the two there is no address, and the last one stands.
	ip("-n " + machine + " addr del 192.0.2.10/24 dev eth0")
	ip("-n " + machine + " addr add 192.0.2.11/24 dev eth0")
	ip("-n " + machine + " route replace default via 192.0.2.1")
	awaitAddresses(t, c, "192.0.2.11", "2001:db8:1::10")

	// A network that is renumbered: the old address is deprecated first.
	ip("-n " + machine + " addr add 2001:db8:2::10/64 dev eth0 nodad")
	ip("-n " + machine + " addr change 2001:db8:1::10/64 dev eth0 preferred_lft 0")
	awaitAddresses(t, c, "192.0.2.11", "2001:db8:2::10")

	ip("-n " + machine + " addr flush dev eth0")
	await(t, "the agent to find no address", func() bool { return strings.Contains(agent.log.String(), "keeps its addresses for want of others") })
	awaitAddresses(t, c, "192.0.2.11", "2001:db8:2::10")

	out, err := exec.Command("ip", append(args, "--check")...).CombinedOutput()
	if want := "address 100.101.102.103 (tailscale0): left out: its interface is of a tunnel or of containers\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("Expected --check to print %q, got %v\n%s", want, err, out)
	}
}

// awaitAddresses waits until lookups of the service are answered with the addresses.
func awaitAddresses(t *testing.T, c *coredns, want ...string) {
	t.Helper()
	await(t, fmt.Sprintf("lookups to be answered with %v", want), func() bool {
		var got []string
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			m, err := dns.Exchange(new(dns.Msg).SetQuestion("www.example.org.", qtype), c.addr)
			if err != nil {
				return false
			}
			for _, rr := range m.Answer {
				switch rr := rr.(type) {
				case *dns.A:
					got = append(got, rr.A.String())
				case *dns.AAAA:
					got = append(got, rr.AAAA.String())
				}
			}
		}
		return slices.Equal(got, want)
	})
}
