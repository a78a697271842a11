package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const grantLong = `List, show, revoke and release grants: what clients of levels of service have been
given, or have asked for. A grant may be named by its first digits.

Grants that were refused or have ended are kept for some minutes, for those who look.`

func (a *app) grantCommand() *cobra.Command {
	c := &cobra.Command{Use: "grant", Short: "List, show, revoke and release grants", Long: grantLong}
	c.AddCommand(a.grantList(), a.grantShow(), a.grantEnd(revocation), a.grantEnd(release))
	return c
}

// grantOf is a grant as `farm grant` prints it. It is an interface: fields are added, never changed.
type grantOf struct {
	ID       qos.GrantID  `json:"grant"`
	Service  string       `json:"service"`
	Client   qos.ClientID `json:"client"`
	Server   string       `json:"server"`
	Asked    string       `json:"asked"` // the level that was asked for
	Level    string       `json:"level"` // and the one that is granted
	State    qos.State    `json:"state"`
	Reason   string       `json:"reason,omitempty"`
	Detail   string       `json:"detail,omitempty"`
	Reserved float64      `json:"reserved"` // part of the server
	Network  bool         `json:"network"`  // whether an element has granted it, or is asked
	Element  string       `json:"element,omitempty"`
	Session  string       `json:"session,omitempty"` // its name at the element
	Up       uint32       `json:"up,omitempty"`      // kbit/s
	Down     uint32       `json:"down,omitempty"`    // kbit/s
	Delay    uint16       `json:"delay,omitempty"`   // ms
	DSCP     uint8        `json:"dscp,omitempty"`
	Profile  string       `json:"profile,omitempty"`
	Lower    []string     `json:"lower,omitempty"` // levels that are tried next

	ClientAddr netip.Addr `json:"client_address,omitzero"`
	ClientPort uint16     `json:"client_port,omitempty"`
	ServerAddr netip.Addr `json:"server_address,omitzero"`
	ServerPort uint16     `json:"server_port,omitempty"`

	Start int64    `json:"start,omitempty"` // ms since 1970; absent if it was never granted
	End   int64    `json:"end"`             // ms since 1970; of a request, by when it is to be answered
	Age   *float64 `json:"age,omitempty"`   // seconds since the start
	Left  *float64 `json:"left,omitempty"`  // seconds to the end, of a live one
}

func (w *world) grantOf(g *qos.Grant) grantOf {
	out := grantOf{
		ID: g.ID, Service: g.Service, Client: g.Client, Server: g.Server, Asked: g.Asked, Level: g.Level, State: g.State,
		Reason: g.Reason.String(), Detail: g.Detail, Reserved: partOf(g.Holds()), Network: g.Network, Element: g.Element,
		Session: g.Session, Up: g.Up, Down: g.Down, Delay: g.Delay, DSCP: g.DSCP, Profile: g.Profile,
		ClientAddr: g.ClientAddr, ClientPort: g.ClientPort, ServerAddr: g.ServerAddr, ServerPort: g.ServerPort,
		Start: g.Start, End: g.End,
	}
	for i := range g.Lower {
		out.Lower = append(out.Lower, g.Lower[i].Level)
	}
	if g.Start != 0 {
		age := w.ago(g.Start).Seconds()
		out.Age = &age
	}
	if g.State.Live() {
		left := float64(g.End-w.Now) / 1000
		out.Left = &left
	}
	return out
}

// partOf makes a part of one of millionths.
func partOf(millionths int64) float64 { return float64(millionths) / qos.Million }

// addPart adds to a part of one without the odd digits of adding floats.
func addPart(part *float64, millionths int64) {
	*part = partOf(int64(math.Round(*part*qos.Million)) + millionths)
}

// grantsOf returns the grants of the services named, or of all, by service, level, server and client.
func (w *world) grantsOf(ctx context.Context, db *store.Client, names ...string) ([]qos.Grant, error) {
	farms, err := w.farms(names)
	if err != nil {
		return nil, err
	}
	var services []string
	if len(names) > 0 {
		for _, f := range farms {
			services = append(services, f.Service.Name)
		}
	}
	all, err := db.Grants(ctx, services...)
	slices.SortFunc(all, func(a, b qos.Grant) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Level, b.Level),
			strings.Compare(a.Server, b.Server), slices.Compare(a.Client[:], b.Client[:]), cmp.Compare(a.End, b.End))
	})
	return all, err
}

// pickGrant returns the grant whose id begins with those digits. It must be the only one.
func pickGrant(all []qos.Grant, digits string) (*qos.Grant, error) {
	if len(digits) < minDigits || strings.Trim(strings.ToLower(digits), "0123456789abcdef") != "" {
		return nil, usagef("grant %q: expected its id, or the first %d or more hexadecimal digits of it", digits, minDigits)
	}
	var found *qos.Grant
	for i := range all {
		if !strings.HasPrefix(all[i].ID.String(), strings.ToLower(digits)) {
			continue
		}
		if found != nil {
			return nil, usagef("grant %s: more than one begins so: expected more digits", digits)
		}
		found = &all[i]
	}
	if found == nil {
		return nil, notFoundf("no grant %s; farm grant list shows what there is", digits)
	}
	return found, nil
}

// minDigits is the least of an id that names a grant: fewer are too easily mistyped.
const minDigits = 4

// anyState stands for every state where the states of grants are named, liveStates for those that hold something.
const (
	anyState   = "all"
	liveStates = "live"
)

var grantStates = []string{
	liveStates, qos.Requested.String(), qos.Granted.String(), qos.GrantedLower.String(), qos.Refused.String(), qos.Ended.String(), anyState,
}

func parseState(s string) (string, error) {
	if !slices.Contains(grantStates, s) {
		return s, fmt.Errorf("expected one of %s", join(grantStates))
	}
	return s, nil
}

// isIn says whether the grant is in one of the states that are named.
func isIn(g *qos.Grant, states []string) bool {
	return slices.ContainsFunc(states, func(s string) bool {
		return s == anyState || s == liveStates && g.State.Live() || s == g.State.String()
	})
}

func (a *app) grantList() *cobra.Command {
	var states []string
	c := &cobra.Command{
		Use:               "list [SERVICE...]",
		Short:             "List the grants of services; of all if none is named",
		Example:           "  farm grant list\n  farm grant list www.example.org --state refused,ended\n  farm grant list --state all -o wide",
		ValidArgsFunction: a.completeServices,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				all, err := w.grantsOf(ctx, db, args...)
				if err != nil {
					return err
				}
				if states == nil {
					states = []string{liveStates}
				}
				list := []grantOf{}
				for i := range all {
					if isIn(&all[i], states) {
						list = append(list, w.grantOf(&all[i]))
					}
				}
				return a.print(list, grantTable(list, a.wide()).write)
			})
		},
	}
	c.Flags().Var(list(&states, "state", parseState), "state", "live (the default), requested, granted, granted_lower, refused, ended or all; may be repeated")
	must(c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(grantStates, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (a *app) grantShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show GRANT",
		Short:             "Show one grant",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeGrants(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.visit(func(ctx context.Context, db *store.Client, w *world) error {
				all, err := w.grantsOf(ctx, db)
				if err != nil {
					return err
				}
				g, err := pickGrant(all, args[0])
				if err != nil {
					return err
				}
				out := w.grantOf(g)
				return a.print(out, out.write)
			})
		},
	}
}
