package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/store"
)

// newInstance names this run of the agent. The database tells two agents for one server apart by it.
func newInstance() string { return rand.Text()[:16] }

// hostID makes a server id of the host name.
func hostID() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	id, _, _ := strings.Cut(strings.ToLower(name), ".")
	if err := store.CheckID(id); err != nil {
		return "", fmt.Errorf("server: the host name makes no id, expected one in the configuration: %w", err)
	}
	return id, nil
}

// bridges are what container engines call the interfaces whose addresses nobody outside can reach.
var bridges = []string{"docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "podman", "lxc", "lxdbr"}

// hostAddresses returns the global unicast addresses of the interfaces that are up.
func hostAddresses() ([]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	var out []string
	for _, i := range interfaces {
		bridge := slices.ContainsFunc(bridges, func(p string) bool { return strings.HasPrefix(i.Name, p) })
		if bridge || i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses: %s: %w", i.Name, err)
		}
		out = append(out, global(addrs)...)
	}
	if len(out) == 0 || len(out) > maxAddresses {
		return nil, errors.New("addresses: the interfaces have none, or too many, expected them in the configuration")
	}
	return out, nil
}

func global(addrs []net.Addr) []string {
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}
