package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// hostAddress is an address of an interface of this machine.
type hostAddress struct {
	prefix netip.Prefix
	iface  string
	kind   string // of the interface, as the kernel names it
	state  addressState
}

// addressState is a set of what keeps an address from being announced.
type addressState uint8

const (
	interfaceDown addressState = 1 << iota
	onLoopback
	deprecated // its preferred lifetime is over
	tentative  // not known yet whether another machine has it
	duplicate  // another machine has it
	temporary  // of the IPv6 privacy extensions: replaced within a day
	secondary  // of IPv4: another address of its network comes first
)

// hostNetwork is what the kernel says about the addresses of this machine.
type hostNetwork struct {
	addresses []hostAddress
	sources   []netip.Addr // what packets to the Internet have as source, at most one of each family
}

// addressChoice is an address of this machine, and why it is not announced; an empty reason if it is.
type addressChoice struct {
	addr   netip.Addr
	iface  string
	reason string
}

func (c addressChoice) String() string {
	if c.reason == "" {
		return fmt.Sprintf("%s (%s): taken", c.addr, c.iface)
	}
	return fmt.Sprintf("%s (%s): left out: %s", c.addr, c.iface, c.reason)
}

// chooseAddresses decides where the server is reached when the configuration does not say: at the source of its packets to
// the Internet, in each family. Without a route there, it is at one address of each interface.
func chooseAddresses(n hostNetwork) []addressChoice {
	// A route without a global address to leave from has a link-local source: no client reaches the server there.
	n.sources = slices.DeleteFunc(slices.Clone(n.sources), func(s netip.Addr) bool { return !s.IsGlobalUnicast() })
	var out []addressChoice
	for _, v4 := range []bool{true, false} {
		out = append(out, chooseOfFamily(n, v4)...)
	}
	return out
}

func chooseOfFamily(n hostNetwork, v4 bool) []addressChoice {
	var own []hostAddress
	for _, a := range n.addresses {
		if a.prefix.Addr().Is4() == v4 && !a.prefix.Addr().IsLoopback() {
			own = append(own, a)
		}
	}
	i := slices.IndexFunc(n.sources, func(s netip.Addr) bool { return s.Is4() == v4 })
	if i >= 0 {
		if chosen := sourceAddress(own, n.sources[i]); chosen != nil {
			return choices(own, func(a *hostAddress) string {
				return otherwise(a == chosen, unfit(a, own), "it is not the source of packets to the Internet")
			})
		}
	}
	taken := make(map[string]*hostAddress) // by interface
	for j := range own {
		a := &own[j]
		before := taken[a.iface]
		local := len(n.sources) > 0 && a.prefix.Addr().IsPrivate() && !v4
		if unfit(a, own) == "" && !local && (before == nil || before.prefix.Addr().IsPrivate() && !a.prefix.Addr().IsPrivate()) {
			taken[a.iface] = a
		}
	}
	return choices(own, func(a *hostAddress) string {
		why := "another one of its interface is taken"
		if taken[a.iface] == nil {
			why = "it is local, and there is no route to the Internet"
		}
		return otherwise(taken[a.iface] == a, unfit(a, own), why)
	})
}

func choices(own []hostAddress, reason func(*hostAddress) string) []addressChoice {
	var out []addressChoice
	for i := range own {
		a := &own[i]
		out = append(out, addressChoice{a.prefix.Addr(), a.iface, reason(a)})
	}
	return out
}

func otherwise(taken bool, reasons ...string) string {
	if taken {
		return ""
	}
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

// sourceAddress returns the address that packets to the Internet have as source, or what should stand in for it: such packets
// may well have a temporary one. A source that the route names may be secondary, a /32 or of the loopback interface: somebody
// chose it. It returns nil if no address of the interface is fit, as those of a tunnel are not.
func sourceAddress(own []hostAddress, source netip.Addr) *hostAddress {
	i := slices.IndexFunc(own, func(a hostAddress) bool { return a.prefix.Addr() == source })
	if i < 0 {
		return nil
	}
	found := &own[i]
	if passing(found) == "" && !isInternal(found) && found.state&interfaceDown == 0 {
		return found
	}
	var stead *hostAddress
	for j := range own {
		a := &own[j]
		if a.iface != found.iface || unfit(a, own) != "" || a.prefix.Addr().IsPrivate() != source.IsPrivate() {
			continue
		}
		if stead == nil || a.prefix.Contains(source) && !stead.prefix.Contains(source) {
			stead = a
		}
	}
	return stead
}

// unfit says why an address is not one to announce, whatever the routes; empty if it could be.
func unfit(a *hostAddress, own []hostAddress) string {
	addr := a.prefix.Addr()
	switch {
	case a.state&interfaceDown != 0:
		return "its interface is down"
	case !addr.IsGlobalUnicast():
		return "it is link-local"
	case isInternal(a):
		return "its interface is of a tunnel or of containers"
	case a.state&onLoopback != 0:
		return "it is of the loopback interface"
	}
	if why := passing(a); why != "" {
		return why
	}
	if a.state&secondary != 0 {
		return "it is secondary; another machine may have it tomorrow"
	}
	wider := func(b hostAddress) bool {
		return b.iface == a.iface && b.prefix.Bits() < a.prefix.Bits() && b.prefix.Addr().IsGlobalUnicast()
	}
	if addr.Is4() && a.prefix.IsSingleIP() && slices.ContainsFunc(own, wider) {
		return "it is a /32 beside others; another machine may have it tomorrow"
	}
	return ""
}

// passing says why an address is not here to stay, or not here yet.
func passing(a *hostAddress) string {
	for _, s := range []struct {
		state addressState
		why   string
	}{
		{duplicate, "another machine has it (duplicate address detection failed)"},
		{tentative, "it is tentative; it is looked at again"},
		{deprecated, "it is deprecated"},
		{temporary, "it is temporary"},
	} {
		if a.state&s.state != 0 {
			return s.why
		}
	}
	return ""
}

// internalNames are what the interfaces of container engines and tunnels are called. Nobody outside reaches the addresses
// there.
var internalNames = []string{
	"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxc", "lxdbr", "incusbr", "cilium", "weave",
	"kube-", "nodelocaldns", "antrea", "ovn-", "vxlan", "geneve", "genev_",
	"tailscale", "zt", "tunl", "nebula", "ip6tnl", "ipip", "ipsec", "xfrm",
}

// tunnelNames are numbered, or have a name of their own after a hyphen: greenhouse0 is no tunnel.
var tunnelNames = []string{"wg", "tun", "tap", "gre", "sit", "vti"}

// internalKinds are the kernel's own names for such interfaces.
var internalKinds = []string{
	"wireguard", "tun", "tuntap", "gre", "gretap", "ip6gre", "ip6gretap", "ipip", "ip6tnl", "sit", "vti", "vti6", "xfrm", "vxlan", "geneve",
}

func isInternal(a *hostAddress) bool {
	return slices.Contains(internalKinds, a.kind) ||
		slices.ContainsFunc(internalNames, func(prefix string) bool { return strings.HasPrefix(a.iface, prefix) }) ||
		slices.ContainsFunc(tunnelNames, func(prefix string) bool {
			rest, ok := strings.CutPrefix(a.iface, prefix)
			return ok && (rest == "" || !unicode.IsLetter(rune(rest[0])))
		})
}

// takenAddresses returns the addresses that were chosen, or an error that says what stands in the way.
func takenAddresses(all []addressChoice) ([]string, error) {
	var taken, texts []string
	for _, c := range all {
		if c.reason == "" {
			taken = append(taken, c.addr.String())
		}
		texts = append(texts, c.String())
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("addresses: the machine has none; expected them in the configuration")
	case len(taken) == 0:
		return nil, fmt.Errorf("addresses: none of the machine's is fit, expected them in the configuration: %s", strings.Join(texts, "; "))
	case len(taken) > maxAddresses:
		return nil, fmt.Errorf("addresses: %d of the machine's are fit, expected at most %d; say in the configuration which: %s",
			len(taken), maxAddresses, strings.Join(taken, ", "))
	}
	return taken, nil
}

// ExplainAddresses says of each address of this machine whether an agent without addresses in its configuration takes it,
// and if not, why.
func ExplainAddresses() ([]string, error) {
	n, err := readNetwork()
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	var out []string
	all := chooseAddresses(n)
	for _, c := range all {
		out = append(out, c.String())
	}
	_, err = takenAddresses(all)
	return out, err
}
