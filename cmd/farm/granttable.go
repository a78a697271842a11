package main

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func grantTable(list []grantOf, wide bool) *table {
	header := []string{"GRANT", "SERVICE", "LEVEL", "STATE", "CLIENT", "SERVER", "RESERVED", "NETWORK", "GRANTED", "LEFT"}
	if wide {
		header = append(header, "UP", "DOWN", "DELAY", "DSCP", "ELEMENT", "CLIENT AT", "SERVER AT", "SESSION")
	}
	t := newTable(append(header, "NOTE")...)
	for i := range list {
		g := &list[i]
		id := g.ID.String()
		if !wide {
			id = id[:shortID]
		}
		cells := []string{id, g.Service, g.Level, g.State.String(), g.Client.String(), g.Server,
			said(g.Reserved, exactPercent), yesText(g.Network), known(g.Age, agoOf), known(g.Left, leaseText)}
		if wide {
			cells = append(cells, rateText(g.Up), rateText(g.Down), millisecondsText(g.Delay), codePointText(g.DSCP), g.Element,
				endpoint(g.ClientAddr, g.ClientPort), endpoint(g.ServerAddr, g.ServerPort), g.Session)
		}
		t.add(append(cells, g.note())...)
	}
	return t
}

// shortID is how many digits of an id a table shows: enough to name a grant, and for the table to fit.
const shortID = 8

func agoOf(s float64) string { return agoText(seconds(s)) }

// note says what is not as it was asked for, and why.
func (g *grantOf) note() string {
	var said []string
	if g.Asked != g.Level {
		said = append(said, "asked for "+g.Asked)
	}
	if g.Reason != "" {
		said = append(said, withReason(g.Reason, g.Detail))
	} else if g.Detail != "" {
		said = append(said, g.Detail)
	}
	return strings.Join(said, "; ")
}

// endpoint shows an address, and a port if there is one.
func endpoint(a netip.Addr, port uint16) string {
	switch {
	case !a.IsValid():
		return ""
	case port == 0:
		return a.String()
	}
	return net.JoinHostPort(a.String(), strconv.Itoa(int(port)))
}

// write shows a grant, a line each.
func (g *grantOf) write(w io.Writer) error {
	t := newTable("SETTING", "VALUE")
	for _, line := range [][2]string{
		{"grant", g.ID.String()}, {"service", g.Service}, {"client", g.Client.String()}, {"client at", endpoint(g.ClientAddr, g.ClientPort)},
		{"server", g.Server}, {"server at", endpoint(g.ServerAddr, g.ServerPort)}, {"state", g.State.String()},
		{"asked", g.Asked}, {"level", g.Level}, {"then", strings.Join(g.Lower, ",")}, {"reason", g.Reason}, {"detail", g.Detail},
		{"reserved", said(g.Reserved, exactPercent)}, {"network", yesText(g.Network)}, {"element", g.Element}, {"session", g.Session},
		{"up", rateText(g.Up)}, {"down", rateText(g.Down)}, {"delay", millisecondsText(g.Delay)}, {"dscp", codePointText(g.DSCP)},
		{"profile", g.Profile}, {"granted", known(g.Age, agoOf)}, {"left", known(g.Left, leaseText)},
	} {
		t.add(line[0], line[1])
	}
	return t.write(w)
}
