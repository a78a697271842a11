package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// internet are destinations whose route is the one to the Internet: a root name server, in both families. Nothing is sent.
var internet = []net.IP{net.ParseIP("198.41.0.4"), net.ParseIP("2001:503:ba3e::2:30")}

// readNetwork asks the kernel for the machine's addresses, and which of them packets to the Internet have as source.
func readNetwork() (hostNetwork, error) {
	var n hostNetwork
	links, err := netlink.LinkList()
	if err != nil {
		return n, fmt.Errorf("interfaces: %w", err)
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return n, fmt.Errorf("addresses of the interfaces: %w", err)
	}
	byIndex := make(map[int]netlink.Link)
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	for _, a := range addrs {
		link := byIndex[a.LinkIndex]
		addr, ok := netip.AddrFromSlice(a.IP)
		if link == nil || !ok {
			continue // it came after the list of interfaces was read; that is heard of, too
		}
		ones, _ := a.Mask.Size()
		n.addresses = append(n.addresses, hostAddress{
			prefix: netip.PrefixFrom(addr.Unmap(), ones), iface: link.Attrs().Name, kind: link.Type(), state: stateOf(a, link),
		})
	}
	for _, to := range internet {
		source, err := sourceToward(to)
		if err != nil {
			return n, err
		}
		if source.IsValid() {
			n.sources = append(n.sources, source)
		}
	}
	return n, nil
}

// sourceToward returns the source address of packets to a destination; none if there is no route.
func sourceToward(to net.IP) (netip.Addr, error) {
	routes, err := netlink.RouteGet(to)
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT) {
		return netip.Addr{}, nil // no route, one that refuses, or no such family
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("route to %s: %w", to, err)
	}
	for _, r := range routes {
		if source, ok := netip.AddrFromSlice(r.Src); ok {
			return source.Unmap(), nil
		}
	}
	return netip.Addr{}, nil
}

func stateOf(a netlink.Addr, link netlink.Link) addressState {
	var s addressState
	for _, f := range []struct {
		set   bool
		state addressState
	}{
		{link.Attrs().Flags&net.FlagUp == 0, interfaceDown},
		{link.Attrs().Flags&net.FlagLoopback != 0, onLoopback},
		{a.Flags&unix.IFA_F_DEPRECATED != 0, deprecated},
		{a.Flags&unix.IFA_F_TENTATIVE != 0 && a.Flags&unix.IFA_F_OPTIMISTIC == 0, tentative},
		{a.Flags&unix.IFA_F_DADFAILED != 0, duplicate},
		// One flag with two meanings.
		{a.IP.To4() == nil && a.Flags&unix.IFA_F_TEMPORARY != 0, temporary},
		{a.IP.To4() != nil && a.Flags&unix.IFA_F_SECONDARY != 0, secondary},
	} {
		if f.set {
			s |= f.state
		}
	}
	return s
}

// watchNetwork calls changed after each change of addresses, routes or interfaces, until ctx ends, or the kernel could not
// tell of all of them.
func watchNetwork(ctx context.Context, changed func()) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, s.Close)()
	defer s.Close()
	changed() // between the last look and now
	for {
		if _, _, err := s.Receive(); err != nil {
			return err
		}
		changed()
	}
}
