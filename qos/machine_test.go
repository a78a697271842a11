package qos_test

import (
	"testing"

	"github.com/coredns-farm/farm/qos"
)

var states = []qos.State{qos.NoGrant, qos.Requested, qos.Granted, qos.GrantedLower, qos.Refused, qos.Ended}

// TestMay draws the machine: a row for each state, a column for what it may become.
func TestMay(t *testing.T) {
	want := []string{
		// none, requested, granted, granted lower, refused, ended
		".rgl..", // made; what needs no element is granted at once
		".rglxe", // answered; a lower offer is tried, or its time is over
		"..gl.e", // renewed
		"..gl.e",
		"......", // final
		"......",
	}
	for i, from := range states {
		row := ""
		for j, to := range states {
			if from.May(to) {
				row += string(".rglxe"[j])
			} else {
				row += "."
			}
		}
		if row != want[i] {
			t.Errorf("%s: got %s, want %s", from, row, want[i])
		}
	}
	if qos.State(200).May(qos.Granted) {
		t.Error("an unknown state goes on")
	}
}

// TestHolds: what is live holds its part of the server, and a change that ends it gives all of it back, once.
func TestHolds(t *testing.T) {
	for _, from := range states {
		for _, to := range states {
			if !from.May(to) {
				continue
			}
			before, after := qos.Grant{State: from, Offer: qos.Offer{Unit: 7}}, qos.Grant{State: to, Offer: qos.Offer{Unit: 7}}
			if gave := before.Holds() - after.Holds(); (gave == 7) != (from.Live() && !to.Live()) {
				t.Errorf("%s to %s gives back %d", from, to, gave)
			}
		}
	}
}
