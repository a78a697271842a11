package linux

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A packet of a grant leaves through its class, with its mark and a header that is sound; another's leaves as it was.
func TestPackets(t *testing.T) {
	cfg := twoLinks(t)
	for _, setup := range []string{
		"ip link set dev down-peer up arp off", "ip link set dev down arp off",
		"ip addr add 198.51.100.1/24 dev down", "ip route add 192.0.2.0/24 dev down src 198.51.100.1",
		"ip addr add 2001:db8:1::1/64 dev down nodad", "ip route add 2001:db8::/64 dev down src 2001:db8:1::1",
	} {
		tell(t, setup)
	}
	e := open(t, cfg)
	mustGrant(t, e, grantOf(1, "192.0.2.1", "198.51.100.1", 0, 8000))
	mustGrant(t, e, grantOf(2, "2001:db8::1", "2001:db8:1::1", 0, 3000))
	wire := listen(t, "down-peer")
	for _, c := range []struct {
		to    string
		dscp  byte
		class string
	}{
		{"192.0.2.1", 46, "fa00:10"}, {"192.0.2.2", 0, "fa00:2"},
		{"2001:db8::1", 46, "fa00:11"}, {"2001:db8::2", 0, "fa00:2"},
	} {
		before := sent(t, c.class)
		conn, err := net.Dial("udp", net.JoinHostPort(c.to, "9999"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "to %s", c.to)
		conn.Close()
		packet := wire.await(t, "to "+c.to)
		if got := dscpOf(packet); got != c.dscp {
			t.Errorf("to %s: got DSCP %d, want %d", c.to, got, c.dscp)
		}
		if packet[0]>>4 == 4 && checksum(packet[:20]) != 0xffff {
			t.Errorf("to %s: the header's checksum is wrong", c.to)
		}
		if after := sent(t, c.class); after <= before {
			t.Errorf("to %s: expected a packet in class %s", c.to, c.class)
		}
	}
}

func dscpOf(packet []byte) byte {
	if packet[0]>>4 == 4 {
		return packet[1] >> 2
	}
	return (packet[0]<<4 | packet[1]>>4) >> 2
}

// checksum is the one of RFC 791; over a sound header it is all ones.
func checksum(header []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	return uint16(sum + sum>>16)
}

// sent returns the octets that a class of the link has sent.
func sent(t *testing.T, class string) uint64 {
	t.Helper()
	link, err := netlink.LinkByName("down")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := netlink.ClassList(link, netlink.HANDLE_NONE)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range classes {
		if netlink.HandleStr(c.Attrs().Handle) == class {
			return c.Attrs().Statistics.Basic.Bytes
		}
	}
	t.Fatalf("there is no class %s", class)
	return 0
}

// tap reads the packets that arrive at a link, without their Ethernet headers.
type tap int

func listen(t *testing.T, name string) tap {
	t.Helper()
	iface, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	all := uint16(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all<<8|all>>8))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	timeout := unix.NsecToTimeval(int64(30 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: iface.Index}); err != nil {
		t.Fatal(err)
	}
	return tap(fd)
}

// await returns the packet that carries the words.
func (w tap) await(t *testing.T, words string) []byte {
	t.Helper()
	buf := make([]byte, 2000)
	for {
		n, _, err := unix.Recvfrom(int(w), buf, 0)
		if err != nil {
			t.Fatalf("waiting for the packet %q: %v", words, err)
		}
		if n > 20 && strings.HasSuffix(string(buf[:n]), words) {
			return buf[:n]
		}
	}
}
