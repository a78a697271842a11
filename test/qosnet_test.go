package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The network of the tests of guarantees, of network namespaces that end with the test:
//
//	client-a ─┐           ┌─ servers (web1, web2)
//	          ├─ router ──┤
//	client-b ─┘           └─ control (Redis, CoreDNS)
//
// The router's links toward clients and servers are slow, because its broker makes them so.
const (
	clientA, clientB   = "10.77.1.2", "10.77.1.3"
	server1, server2   = "10.77.2.2", "10.77.2.3"
	control            = "10.77.3.2"
	linkRate, goldRate = 20_000, 8000 // kbit/s
)

// network is that network.
type network struct {
	t      testing.TB
	prefix string
}

// newNetwork makes the network, or skips the test where it cannot be made.
func newNetwork(t testing.TB) *network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: network namespaces need root; run the tests as root")
	}
	for _, tool := range []string{"ip", "tc", "nft", "iperf3", "ping", "dig", "redis-server"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is missing; run make setup as root", tool)
		}
	}
	n := &network{t, fmt.Sprintf("farm%d-", os.Getpid())}
	for _, name := range []string{"client-a", "client-b", "router", "servers", "control"} {
		if out, err := exec.Command("ip", "netns", "add", n.prefix+name).CombinedOutput(); err != nil {
			t.Skipf("skipped: network namespaces cannot be made: %v: %s", err, out)
		}
		t.Cleanup(func() { n.ip("netns del " + n.prefix + name) })
		n.ip("-n " + n.prefix + name + " link set lo up")
	}
	n.on("router", "ip link add clients type bridge")
	n.on("router", "ip link set clients up")
	n.on("router", "ip addr add 10.77.1.1/24 dev clients")
	for _, end := range []struct{ name, link, addr, gateway string }{
		{"client-a", "a", clientA, "10.77.1.1"}, {"client-b", "b", clientB, "10.77.1.1"},
		{"servers", "servers", server1, "10.77.2.1"}, {"control", "control", control, "10.77.3.1"},
	} {
		n.plug(end.name, end.link, end.addr, end.gateway)
	}
	n.on("servers", "ip addr add "+server2+"/24 dev eth0")
	n.on("router", "ip link set dev a master clients")
	n.on("router", "ip link set dev b master clients")
	n.on("router", "ip addr add 10.77.2.1/24 dev servers")
	n.on("router", "ip addr add 10.77.3.1/24 dev control")
	n.on("router", "sysctl -q -w net.ipv4.ip_forward=1")
	return n
}

// plug connects a namespace with the router. Packets are not glued together: a real wire's are not, either.
func (n *network) plug(name, link, addr, gateway string) {
	n.t.Helper()
	n.ip(fmt.Sprintf("link add dev %s netns %srouter type veth peer name eth0 netns %s%s", link, n.prefix, n.prefix, name))
	n.on(name, "ip link set dev eth0 gso_max_segs 1 up")
	n.on("router", "ip link set dev "+link+" gso_max_segs 1 up")
	n.on(name, "ip addr add "+addr+"/24 dev eth0")
	n.on(name, "ip route add default via "+gateway)
}

func (n *network) ip(args string) {
	n.t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// args are the words of a command in a namespace.
func (n *network) args(name string, words ...string) []string {
	return append([]string{"netns", "exec", n.prefix + name}, words...)
}

// try runs a command in a namespace, for a minute at most.
func (n *network) try(name string, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", n.args(name, words...)...).CombinedOutput()
	return string(out), err
}

// on runs a command in a namespace, which must succeed.
func (n *network) on(name, command string) string {
	n.t.Helper()
	out, err := n.try(name, strings.Fields(command)...)
	if err != nil {
		n.t.Fatalf("%s: %s: %v\n%s", name, command, err, out)
	}
	return out
}

// start starts a program in a namespace; it runs until the test ends.
func (n *network) start(name, what string, words ...string) *process {
	n.t.Helper()
	return start(n.t, what, "ip", n.args(name, words...)...)
}

// redis starts a services database in the namespace for control. It returns the URL by which the network reaches it, and
// the one by which the test does.
func (n *network) redis() (inside, outside string) {
	n.t.Helper()
	socket := filepath.Join(n.t.TempDir(), "redis.sock")
	n.start("control", "redis-server", "redis-server", "--bind", control, "--port", "6379", "--protected-mode", "no",
		"--save", "", "--dir", n.t.TempDir(), "--unixsocket", socket)
	await(n.t, "Redis to listen", func() bool { _, err := os.Stat(socket); return err == nil })
	return "redis://" + control + ":6379", "unix://" + socket
}

// experience is what a client has of the network, to one server.
type experience struct {
	tcp      float64 // Mbit/s; 0 if nothing got through
	lost     float64 // packets of 1200 octets, 20 a second while TCP sends as fast as it can, %
	rtt      float64 // of those packets, mean, ms
	worstRTT float64 // ms
}

var (
	pingLoss = regexp.MustCompile(`([\d.]+)% packet loss`)
	pingTime = regexp.MustCompile(`= [\d.]+/([\d.]+)/([\d.]+)/`)
)

// measure measures what a client gets from a server, which has an iperf3 on the port.
func (n *network) measure(client, server, port string) (e experience) {
	pings := make(chan string, 1)
	go func() {
		out, _ := n.try(client, "ping", "-q", "-i", "0.05", "-c", "60", "-s", "1172", "-W", "2", server)
		pings <- out
	}()
	out, err := n.try(client, "iperf3", "-c", server, "-p", port, "-R", "-J", "-t", "3")
	if err == nil {
		e.tcp = figure(out, "end", "sum_received", "bits_per_second") / 1e6
	}
	out = <-pings
	if m := pingLoss.FindStringSubmatch(out); m != nil {
		e.lost, _ = strconv.ParseFloat(m[1], 64)
	}
	if m := pingTime.FindStringSubmatch(out); m != nil {
		e.rtt, _ = strconv.ParseFloat(m[1], 64)
		e.worstRTT, _ = strconv.ParseFloat(m[2], 64)
	}
	return e
}

// figure finds a number in JSON; 0 if there is none.
func figure(text string, path ...string) float64 {
	var value any
	if json.Unmarshal([]byte(text), &value) != nil {
		return 0
	}
	for _, key := range path {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	n, _ := value.(float64)
	return n
}

// row is an experience as a row of the table of docs/qos.md.
func (e experience) row(who, what string) string {
	return fmt.Sprintf("| %s | %s | %.1f | %.0f | %.0f | %.0f |", who, what, e.tcp, e.rtt, e.worstRTT, e.lost)
}

const tableHead = `| client | while | TCP, Mbit/s | RTT mean, ms | RTT worst, ms | lost, % |
|---|---|---|---|---|---|`
