package agent

import (
	"net/netip"
	"strings"
	"testing"
)

// on makes an address of an interface.
func on(iface, prefix string, state addressState) hostAddress {
	return hostAddress{prefix: netip.MustParsePrefix(prefix), iface: iface, state: state}
}

func TestChooseAddresses(t *testing.T) {
	const left = ": left out: "
	v4, v6 := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8:1::10")
	for _, tt := range []struct {
		name      string
		addresses []hostAddress
		sources   []netip.Addr
		want      string
	}{
		{"nothing but loopback", []hostAddress{on("lo", "127.0.0.1/8", onLoopback), on("lo", "::1/128", onLoopback)}, nil, ""},
		{"the sources", []hostAddress{
			on("eth0", "192.0.2.10/24", 0), on("eth0", "192.0.2.250/32", 0), on("eth0", "192.0.2.11/24", secondary),
			on("eth1", "198.51.100.1/24", 0), on("docker0", "172.17.0.1/16", 0),
			on("eth0", "2001:db8:1::10/64", 0), on("eth0", "2001:db8:1::dead/64", deprecated), on("eth0", "fe80::1/64", 0),
		}, []netip.Addr{v4, v6}, `192.0.2.10 (eth0): taken
192.0.2.250 (eth0): left out: it is a /32 beside others; another machine may have it tomorrow
192.0.2.11 (eth0): left out: it is secondary; another machine may have it tomorrow
198.51.100.1 (eth1): left out: it is not the source of packets to the Internet
172.17.0.1 (docker0): left out: its interface is of a tunnel or of containers
2001:db8:1::10 (eth0): taken
2001:db8:1::dead (eth0): left out: it is deprecated
fe80::1 (eth0): left out: it is link-local`},
		{"no routes: one of each interface", []hostAddress{
			on("eth0", "192.0.2.10/24", 0), on("eth0", "203.0.113.1/24", 0), on("eth1", "198.51.100.1/24", 0),
			on("tailscale0", "100.101.102.103/32", 0), on("eth2", "10.0.0.1/8", interfaceDown),
			on("eth0", "fd00::1/64", 0), on("eth0", "2001:db8:1::10/64", 0),
		}, nil, `192.0.2.10 (eth0): taken
203.0.113.1 (eth0): left out: another one of its interface is taken
198.51.100.1 (eth1): taken
100.101.102.103 (tailscale0): left out: its interface is of a tunnel or of containers
10.0.0.1 (eth2): left out: its interface is down
fd00::1 (eth0): left out: another one of its interface is taken
2001:db8:1::10 (eth0): taken`},
		{"the source is temporary, as privacy has it", []hostAddress{
			on("eth0", "2001:db8:2::1/64", 0), on("eth0", "2001:db8:1::aaaa/64", temporary), on("eth0", "fd00::1/64", 0), on("eth0", "2001:db8:1::10/64", 0),
		}, []netip.Addr{netip.MustParseAddr("2001:db8:1::aaaa")}, `2001:db8:2::1 (eth0): left out: it is not the source of packets to the Internet
2001:db8:1::aaaa (eth0): left out: it is temporary
fd00::1 (eth0): left out: it is not the source of packets to the Internet
2001:db8:1::10 (eth0): taken`},
		{"the source is deprecated, and there is no other", []hostAddress{on("eth0", "192.0.2.10/24", deprecated)}, []netip.Addr{v4},
			"192.0.2.10 (eth0)" + left + "it is deprecated"},
		{"everything leaves through a tunnel", []hostAddress{
			on("wg0", "10.9.0.2/24", 0), {prefix: netip.MustParsePrefix("10.8.0.2/24"), iface: "vpn", kind: "tun"}, on("eth0", "192.0.2.10/24", 0),
		}, []netip.Addr{netip.MustParseAddr("10.9.0.2")}, `10.9.0.2 (wg0): left out: its interface is of a tunnel or of containers
10.8.0.2 (vpn): left out: its interface is of a tunnel or of containers
192.0.2.10 (eth0): taken`},
		{"a /32 alone, as in clouds", []hostAddress{on("ens4", "10.128.0.2/32", 0)}, []netip.Addr{netip.MustParseAddr("10.128.0.2")},
			"10.128.0.2 (ens4): taken"},
		{"the source is an address of loopback, as routing daemons have it", []hostAddress{
			on("lo", "192.0.2.10/32", onLoopback), on("eth0", "169.254.1.1/30", 0), on("eth1", "198.51.100.1/30", 0),
		}, []netip.Addr{v4}, `192.0.2.10 (lo): taken
169.254.1.1 (eth0): left out: it is link-local
198.51.100.1 (eth1): left out: it is not the source of packets to the Internet`},
		{"IPv6 of the site alone beside IPv4 of the Internet", []hostAddress{
			on("eth0", "192.0.2.10/24", 0), on("eth0", "fd00::1/64", 0),
		}, []netip.Addr{v4}, `192.0.2.10 (eth0): taken
fd00::1 (eth0): left out: it is local, and there is no route to the Internet`},
		{"a route of IPv6 without a global address", []hostAddress{
			on("eth0", "192.0.2.10/24", 0), on("eth0", "fe80::10/64", 0),
		}, []netip.Addr{v4, netip.MustParseAddr("fe80::10")}, `192.0.2.10 (eth0): taken
fe80::10 (eth0): left out: it is link-local`},
		{"a link-local source beside an address of another interface", []hostAddress{
			on("eth0", "fe80::10/64", 0), on("eth1", "2001:db8:1::10/64", 0), on("eth2", "fd00::1/64", 0),
		}, []netip.Addr{netip.MustParseAddr("fe80::10")}, `fe80::10 (eth0): left out: it is link-local
2001:db8:1::10 (eth1): taken
fd00::1 (eth2): taken`},
		{"a link-local source of IPv4", []hostAddress{on("eth0", "169.254.7.7/16", 0)}, []netip.Addr{netip.MustParseAddr("169.254.7.7")},
			"169.254.7.7 (eth0)" + left + "it is link-local"},
		{"the source is tentative", []hostAddress{on("eth0", "2001:db8:1::10/64", tentative)}, []netip.Addr{v6},
			"2001:db8:1::10 (eth0)" + left + "it is tentative; it is looked at again"},
		{"the source is another machine's", []hostAddress{on("eth0", "2001:db8:1::10/64", duplicate)}, []netip.Addr{v6},
			"2001:db8:1::10 (eth0)" + left + "another machine has it (duplicate address detection failed)"},
		{"the source is temporary, and there is no other", []hostAddress{on("eth0", "2001:db8:1::10/64", temporary)}, []netip.Addr{v6},
			"2001:db8:1::10 (eth0)" + left + "it is temporary"},
		{"the source is of containers", []hostAddress{on("docker0", "192.0.2.10/24", 0)}, []netip.Addr{v4},
			"192.0.2.10 (docker0)" + left + "its interface is of a tunnel or of containers"},
		{"the source's interface is down", []hostAddress{on("dummy0", "192.0.2.10/32", interfaceDown), on("eth0", "198.51.100.9/24", 0)}, []netip.Addr{v4},
			"192.0.2.10 (dummy0)" + left + "its interface is down\n198.51.100.9 (eth0): taken"},
		{"tentative, and somebody else's", []hostAddress{
			on("eth0", "2001:db8:1::10/64", tentative), on("eth0", "2001:db8:1::11/64", tentative|duplicate),
		}, nil, `2001:db8:1::10 (eth0): left out: it is tentative; it is looked at again
2001:db8:1::11 (eth0): left out: another machine has it (duplicate address detection failed)`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, c := range chooseAddresses(hostNetwork{tt.addresses, tt.sources}) {
				lines = append(lines, c.String())
			}
			if got := strings.Join(lines, "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestTakenAddresses(t *testing.T) {
	var many []addressChoice
	for _, last := range "123456789" {
		many = append(many, addressChoice{addr: netip.MustParseAddr("192.0.2." + string(last)), iface: "eth" + string(last)})
	}
	for _, tt := range []struct {
		all []addressChoice
		err string
	}{
		{many[:8], ""},
		{many, "addresses: 9 of the machine's are fit, expected at most 8; say in the configuration which: 192.0.2.1, 192.0.2.2, 192.0.2.3"},
		{nil, "addresses: the machine has none; expected them in the configuration"},
		{[]addressChoice{{netip.MustParseAddr("10.9.0.2"), "wg0", "it is of a tunnel"}},
			"addresses: none of the machine's is fit, expected them in the configuration: 10.9.0.2 (wg0): left out: it is of a tunnel"},
	} {
		got, err := takenAddresses(tt.all)
		if !wantError(t, err, tt.err) && len(got) != len(tt.all) {
			t.Errorf("got %v", got)
		}
	}
}

func TestInternalInterfaces(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": false, "ens4": false, "wlan0": false, "bond0.7": false, "br0": false, "greenhouse0": false, "site0": false, "ppp0": false,
		"docker0": true, "br-1f2e3d": true, "veth1a2b": true, "cilium_host": true, "vxlan.calico": true, "tunl0": true, "kube-ipvs0": true,
		"wg0": true, "wg-office": true, "tun0": true, "tap7": true, "gre": true, "tailscale0": true, "ztabcdefgh": true,
	} {
		if got := isInternal(&hostAddress{iface: name}); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
