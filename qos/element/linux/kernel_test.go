package linux

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"

	"github.com/vishvananda/netlink"
)

var quiet = slog.New(slog.DiscardHandler)

// twoLinks makes two links for a test: toward clients and toward servers.
func twoLinks(t *testing.T) Config {
	t.Helper()
	needNamespace(t)
	for _, name := range []string{"down", "up"} {
		link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: name + "-peer"}
		link.Name = name
		if err := netlink.LinkAdd(link); err != nil {
			t.Fatalf("cannot make a link: %v", err)
		}
		t.Cleanup(func() {
			if err := netlink.LinkDel(link); err != nil {
				t.Errorf("cannot remove a link: %v", err)
			}
		})
		if err := netlink.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	return Config{Links: []Link{{"down", 20_000, TowardClients}, {"up", 10_000, TowardServers}}}
}

func open(t *testing.T, cfg Config) *Element {
	t.Helper()
	e, err := New(cfg, quiet, io.Discard)
	if err != nil {
		t.Fatalf("cannot make the element: %v", err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

// grantOf makes a request of a client at a server.
func grantOf(n byte, client, server string, up, down uint32) *qos.Grant {
	return &qos.Grant{
		ID: qos.GrantID{n}, Service: "video.example.org.", State: qos.Requested,
		Offer:      qos.Offer{Level: "gold", Network: true, Up: up, Down: down, DSCP: 46, Delay: 20, Duration: 300},
		ClientAddr: netip.MustParseAddr(client), ServerAddr: netip.MustParseAddr(server),
	}
}

func mustGrant(t *testing.T, e *Element, g *qos.Grant) {
	t.Helper()
	if out, err := e.Grant(t.Context(), g); err != nil || out.State != qos.Granted {
		t.Fatalf("Grant: got %+v, %v, want granted", out, err)
	}
}

// given is a grant as the database has it once it stands.
func given(g *qos.Grant) *qos.Grant {
	c := *g
	c.State, c.Start = qos.Granted, time.Now().UnixMilli()
	c.End = c.Start + 300_000
	return &c
}

// tell runs nft or tc, as an operator would, and returns what it says.
func tell(t *testing.T, command string) string {
	t.Helper()
	words := strings.Fields(command)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func expectIn(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: expected %q in\n%s", what, w, text)
		}
	}
}

func TestGrantOnKernel(t *testing.T) {
	cfg := twoLinks(t)
	e := open(t, cfg)
	mustGrant(t, e, grantOf(1, "192.0.2.1", "198.51.100.1", 2000, 8000))
	mustGrant(t, e, grantOf(2, "2001:db8::1", "2001:db8:1::1", 1000, 3000))

	table := tell(t, "nft list table inet farm")
	expectIn(t, "the table", table,
		"meta priority set ip saddr . ip daddr map @class4", "meta priority set ip6 saddr . ip6 daddr map @class6",
		"ip saddr . ip daddr @dscp46_4 ip dscp set ef", "ip6 saddr . ip6 daddr @dscp46_6 ip6 dscp set ef",
		"192.0.2.1 . 198.51.100.1 timeout", ": fa00:10", "198.51.100.1 . 192.0.2.1 timeout", ": fa00:11",
		"2001:db8::1 . 2001:db8:1::1 timeout")
	expectIn(t, "classes toward clients", tell(t, "tc class show dev down"),
		"htb fa00:1 root rate 20Mbit ceil 20Mbit", "fa00:2 parent fa00:1", "rate 4Mbit ceil 20Mbit",
		"fa00:11 parent fa00:1", "rate 8Mbit ceil 20Mbit", "rate 3Mbit")
	expectIn(t, "classes toward servers", tell(t, "tc class show dev up"),
		"rate 10Mbit", "fa00:10 parent fa00:1", "rate 2Mbit ceil 10Mbit", "rate 1Mbit")
	expectIn(t, "queues", tell(t, "tc qdisc show dev down"), "limit 13p") // 8 Mbit/s for 20 ms

	before := tell(t, "tc class show dev down")
	mustGrant(t, e, grantOf(1, "192.0.2.1", "198.51.100.1", 2000, 8000))
	if after := tell(t, "tc class show dev down"); after != before {
		t.Errorf("the same grant a second time: expected no change; before\n%safter\n%s", before, after)
	}

	if err := e.Release(t.Context(), grantOf(1, "192.0.2.1", "198.51.100.1", 2000, 8000)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{tell(t, "nft list table inet farm"), tell(t, "tc class show dev down")} {
		if strings.Contains(text, "192.0.2.1") || strings.Contains(text, "fa00:11") {
			t.Errorf("expected nothing of a grant that was released in\n%s", text)
		}
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out := tell(t, "nft list tables") + tell(t, "tc qdisc show"); strings.Contains(out, "farm") || strings.Contains(out, "htb") {
		t.Errorf("expected nothing to be left, got\n%s", out)
	}
}

// A renewal changes the time that the kernel leaves it, and nothing else.
func TestExtendOnKernel(t *testing.T) {
	e := open(t, twoLinks(t))
	g := grantOf(1, "192.0.2.1", "198.51.100.1", 1000, 4000)
	mustGrant(t, e, g)
	classes := tell(t, "tc class show dev down")
	g = given(g)
	g.End += 3_600_000
	if out, err := e.Extend(t.Context(), g); err != nil || out.State != qos.Granted {
		t.Fatalf("Extend: got %+v, %v, want granted", out, err)
	}
	expectIn(t, "the table", tell(t, "nft list table inet farm"), "198.51.100.1 . 192.0.2.1 timeout 1h5m")
	if now := tell(t, "tc class show dev down"); now != classes {
		t.Errorf("got classes\n%swant them as they were\n%s", now, classes)
	}
	// What the element has lost, and has no room for any more, has ended.
	mustGrant(t, e, grantOf(2, "192.0.2.2", "198.51.100.1", 0, 12_000))
	lost := given(grantOf(3, "192.0.2.3", "198.51.100.1", 0, 1000))
	if out, err := e.Extend(t.Context(), lost); err != nil || out.State != qos.Ended || out.Reason != qos.ByElement {
		t.Errorf("Extend of what there is no room for: got %+v, %v, want that it has ended", out, err)
	}
}

// A grant is refused when it is more than what is left, and the refusal says how much is.
func TestAdmissionOnKernel(t *testing.T) {
	e := open(t, twoLinks(t))
	mustGrant(t, e, grantOf(1, "192.0.2.1", "198.51.100.1", 0, 10_000))
	out, err := e.Grant(t.Context(), grantOf(2, "192.0.2.2", "198.51.100.1", 0, 7000))
	if err != nil || out.State != qos.Refused || !strings.Contains(out.Detail, "6000 kbit/s are left on down") {
		t.Fatalf("got %+v, %v, want a refusal that says that 6000 kbit/s are left", out, err)
	}
	mustGrant(t, e, grantOf(3, "192.0.2.2", "198.51.100.1", 0, 6000))
	expectIn(t, "classes", tell(t, "tc class show dev down"), "rate 10Mbit", "rate 6Mbit")
}

// What an earlier process left is found again: what is live keeps its class, the rest goes.
func TestReconcileOnKernel(t *testing.T) {
	cfg := twoLinks(t)
	cfg.Keep = true
	dead := open(t, cfg)
	a, b := grantOf(1, "192.0.2.1", "198.51.100.1", 1000, 4000), grantOf(2, "192.0.2.2", "198.51.100.1", 1000, 5000)
	mustGrant(t, dead, a)
	mustGrant(t, dead, b)
	dead.Close(context.Background())

	cfg.Keep = false
	e := open(t, cfg)
	c := grantOf(3, "192.0.2.3", "198.51.100.1", 0, 2000)
	if err := e.Reconcile(t.Context(), []*qos.Grant{given(b), given(c)}); err != nil {
		t.Fatal(err)
	}
	table := tell(t, "nft list table inet farm")
	expectIn(t, "the table", table, "198.51.100.1 . 192.0.2.2", ": fa00:13", "198.51.100.1 . 192.0.2.3")
	classes := tell(t, "tc class show dev down")
	expectIn(t, "classes", classes, "fa00:13 parent fa00:1", "rate 5Mbit", "rate 2Mbit")
	if strings.Contains(table, "192.0.2.1 ") || strings.Contains(classes, "rate 4Mbit ceil 20Mbit burst 1600b cburst 1600b \nclass htb fa00:11") {
		t.Errorf("expected nothing of what is not live in\n%s%s", table, classes)
	}

	// Others meddle: the next reconciliation mends it.
	tell(t, "nft flush map inet farm class4")
	tell(t, "tc qdisc del dev down root")
	if err := e.Reconcile(t.Context(), []*qos.Grant{given(b)}); err != nil {
		t.Fatal(err)
	}
	expectIn(t, "the table", tell(t, "nft list table inet farm"), "198.51.100.1 . 192.0.2.2")
	expectIn(t, "classes", tell(t, "tc class show dev down"), "rate 5Mbit")
	// And an act before that does, too.
	tell(t, "nft flush map inet farm class4")
	if err := e.Release(t.Context(), b); err != nil {
		t.Errorf("a release of what is no longer there: got %v, want none", err)
	}
}

// When a link has become slower, the latest grants are told of as ended.
func TestReconcileTellsWhatDoesNotFit(t *testing.T) {
	cfg := twoLinks(t)
	e := open(t, cfg)
	var live []*qos.Grant
	for i := range byte(5) {
		g := given(grantOf(i, fmt.Sprintf("192.0.2.%d", i+1), "198.51.100.1", 0, 6000))
		g.Start += int64(i)
		live = append(live, g)
	}
	if err := e.Reconcile(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	for _, want := range live[2:] {
		select {
		case ev := <-e.Events():
			if ev.ID != (element.GrantOf{Service: want.Service, ID: want.ID}) || ev.State != qos.Ended || ev.Reason != qos.ByElement {
				t.Errorf("got %+v, want that %v has ended", ev, want.ID)
			}
		default:
			t.Fatalf("expected an event for %v", want.ID)
		}
	}
}

func TestForeignThingsStay(t *testing.T) {
	cfg := twoLinks(t)
	tell(t, "tc qdisc add dev down root handle 7: htb default 1")
	if _, err := New(cfg, quiet, io.Discard); err == nil || !strings.Contains(err.Error(), "link down: it has a root qdisc htb 7:") {
		t.Errorf("a root qdisc of others: got %v", err)
	}
	expectIn(t, "queues", tell(t, "tc qdisc show dev down"), "htb 7:")
	cfg.Replace = true
	open(t, cfg).Close(context.Background())

	cfg.Replace = false
	tell(t, "nft add table inet farm")
	if _, err := New(cfg, quiet, io.Discard); err == nil || !strings.Contains(err.Error(), "inet farm that is not ours") {
		t.Errorf("a table of others: got %v", err)
	}
	expectIn(t, "tables", tell(t, "nft list tables"), "table inet farm")
	tell(t, "nft delete table inet farm")
	cfg.Links[0].Interface = "nowhere"
	if _, err := New(cfg, quiet, io.Discard); err == nil || !strings.Contains(err.Error(), "link nowhere") {
		t.Errorf("a link that is not there: got %v", err)
	}
}

// Of several links toward clients, the routing table says which one leads to a client.
func TestRoutesPickTheLink(t *testing.T) {
	cfg := twoLinks(t)
	cfg.Links = append(cfg.Links, Link{"up-peer", 5000, TowardClients})
	tell(t, "ip link set up-peer up")
	tell(t, "ip link set down-peer up")
	tell(t, "ip addr add 192.0.2.254/25 dev down")
	tell(t, "ip addr add 192.0.2.253/25 dev up-peer")
	tell(t, "ip route replace 192.0.2.200/32 dev up-peer")
	tell(t, "ip route replace 192.0.2.201/32 dev down-peer")
	e := open(t, cfg)
	mustGrant(t, e, grantOf(1, "192.0.2.200", "198.51.100.1", 0, 1500))
	expectIn(t, "classes", tell(t, "tc class show dev up-peer"), "rate 1500Kbit")
	out, err := e.Grant(t.Context(), grantOf(2, "192.0.2.201", "198.51.100.1", 0, 1500))
	if err != nil || out.State != qos.Refused || !strings.Contains(out.Detail, "leads over none of the links") {
		t.Errorf("a client behind no link: got %+v, %v", out, err)
	}
}

// Thousands of grants are one transaction, and are found again.
func TestManyGrants(t *testing.T) {
	cfg := twoLinks(t)
	cfg.Links[0].Rate = 10_000_000
	e := open(t, cfg)
	var live []*qos.Grant
	const many = 3000
	for i := range many {
		g := given(grantOf(0, "192.0.2.1", "198.51.100.1", 0, 100))
		g.ID = qos.GrantID{byte(i), byte(i >> 8)}
		g.ClientAddr = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		live = append(live, g)
	}
	if err := e.Reconcile(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	s, err := e.net.read()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.flows) != many || len(s.classes) != many || len(s.marks) != 2*many {
		t.Errorf("got %d flows, %d classes, %d marks, want %d, %d, %d", len(s.flows), len(s.classes), len(s.marks), many, many, 2*many)
	}
	if ops := plan(s, e.book.wants()); len(ops) != 0 {
		t.Errorf("got %d things to do after all was done, first %+v, want none", len(ops), ops[0])
	}
	if err := e.Reconcile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s, err = e.net.read(); err != nil || len(s.flows)+len(s.classes)+len(s.marks) != 0 {
		t.Errorf("got %d flows, %d classes, %d marks, %v, want none", len(s.flows), len(s.classes), len(s.marks), err)
	}
}
