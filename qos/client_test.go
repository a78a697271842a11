package qos_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

func TestClient(t *testing.T) {
	if got := alice.String(); got != "c364f41306b5ee6a" {
		t.Errorf("alice is %s", got)
	}
	seen := map[qos.ClientID]string{}
	for _, c := range [][2]string{
		{qos.KindID, "alice"}, {qos.KindTSIG, "alice"}, {qos.KindCert, "alice"}, {qos.KindNet, "alice"}, {qos.KindID, "Alice"},
		{qos.KindID, ""}, {qos.KindID, strings.Repeat("a", 1000)},
	} {
		id := qos.Client(c[0], c[1])
		if other, ok := seen[id]; ok {
			t.Errorf("%v is %s, as %s is", c, id, other)
		}
		seen[id] = c[0] + " " + c[1]
		if got, err := qos.ParseClientID(id.String()); err != nil || got != id {
			t.Errorf("%s: parsed as %s, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "c364f41306b5ee6", "c364f41306b5ee6a0", "g364f41306b5ee6a"} {
		if _, err := qos.ParseClientID(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestClientAt(t *testing.T) {
	for _, c := range []struct{ addr, net string }{
		{"192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"fe80::1%eth0", "fe80::/64"},
		{"::", "::/64"},
	} {
		if got, ok := qos.ClientAt(netip.MustParseAddr(c.addr)); !ok || got != qos.Client(qos.KindNet, c.net) {
			t.Errorf("%s: got %s, %v, want that of %s", c.addr, got, ok, c.net)
		}
	}
	if got, ok := qos.ClientAt(netip.Addr{}); ok || got != (qos.ClientID{}) {
		t.Errorf("no address: %s", got)
	}
}

func TestClientIDAsText(t *testing.T) {
	data, err := json.Marshal(map[qos.ClientID]qos.ClientID{alice: alice})
	if err != nil || string(data) != `{"c364f41306b5ee6a":"c364f41306b5ee6a"}` {
		t.Errorf("%s, %v", data, err)
	}
	var back map[qos.ClientID]qos.ClientID
	if err := json.Unmarshal(data, &back); err != nil || back[alice] != alice {
		t.Errorf("%v, %v", back, err)
	}
}
