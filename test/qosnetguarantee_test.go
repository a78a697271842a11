package test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
)

const guaranteeCorefile = `example.org:1053 {
    bind ` + control + `
    errors
    farm {
        redis REDIS
        qos {
            rate 100 100
        }
        service video.example.org {
            soft 9   # the agents report this machine's processors, which the flood keeps busy
            hard 10
            level gold {
                rank 3
                up 2M
                down 8M
                delay 20ms
                dscp EF
                requires network
                handle
            }
        }
    }
}
`

const guaranteeBroker = `
redis: [REDIS]
elements:
  - name: edge
    linux:
      links:
        - {interface: clients, rate: 20000, toward: clients}
        - {interface: servers, rate: 20000, toward: servers}
`

// TestGuarantee shows what it is all for: on a link that a flood saturates, a client that looks a service up with a handle
// holds the rate and the delay of its level, and one without does not; and when the grant is revoked, it is over.
// With -v it prints the table of docs/qos.md.
func TestGuarantee(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it measures for a minute")
	}
	n := newNetwork(t)
	inside, outside := n.redis()
	db := dial(t, outside)
	key := qos.Key{ID: 1, Secret: []byte(strings.Repeat("k", 32)), From: 1}
	if err := db.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	farm := command(t, "farm")
	conf, yaml := filepath.Join(t.TempDir(), "Corefile"), filepath.Join(t.TempDir(), "broker.yaml")
	for path, text := range map[string]string{conf: guaranteeCorefile, yaml: guaranteeBroker} {
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "REDIS", inside)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, port := range map[string]string{"servers": "5201", "client-b": "5202"} {
		n.start(name, "iperf3", "iperf3", "-s", "--forceflush", "-p", port).says("Server listening")
	}
	for id, addr := range map[string]string{"web1": server1, "web2": server2} {
		n.start("servers", "agent", farm, "agent", "--redis", inside, "--server", id, "--service", "video.example.org",
			"--address", addr, "--interval", "500ms", "--drain", "100ms")
	}
	n.start("control", "coredns", command(t, "coredns"), "-conf", conf)
	broker := n.start("router", "broker", farm, "broker", "-c", yaml)
	broker.says("broker starts")

	name := labelled(t, key, "video.example.org.")
	var server string
	await(t, "an answer", func() bool { server = n.look("client-b", "video.example.org."); return server != "" })

	table := []string{tableHead}
	row := func(who, what string, e experience) experience {
		table = append(table, e.row(who, what))
		return e
	}
	idle := row("A", "nothing else on the link", n.measure("client-a", server, "5201"))
	// The flood begins at the servers, where its own control does not suffer from it.
	n.start("servers", "flood", "iperf3", "-c", clientB, "-p", "5202", "-u", "-b", "24M", "-l", "1200", "-t", "600")
	await(t, "the flood to saturate the link", func() bool { return sentBy(n, "fa00:2") > 10_000_000 })
	flooded := row("A", "a flood to B", n.measure("client-a", server, "5201"))

	await(t, "an answer to a lookup with a handle", func() bool { server = n.look("client-a", name); return server != "" })
	grant := awaitGrant(t, db)
	gold := row("A", "a flood to B, A is granted gold", n.measure("client-a", server, "5201"))
	beside := row("B", "the same", n.measure("client-b", server, "5201"))

	if live, err := db.Revoke(t.Context(), grant.Service, grant.ID); err != nil || !live {
		t.Fatalf("revoking the grant: live %t, %v", live, err)
	}
	await(t, "the router to let go", func() bool { return !strings.Contains(n.on("router", "nft list table inet farm"), clientA) })
	revoked := row("A", "a flood to B, the grant is revoked", n.measure("client-a", server, "5201"))
	if testing.Verbose() {
		fmt.Println(strings.Join(table, "\n"))
	}
	if *docs {
		writeSection(t, "guarantee", strings.Join(table, "\n")+"\n")
	}

	// The margins are wide: the machine may be slow, and TCP pays for its headers.
	const guaranteed = goldRate / 1000.0
	if idle.tcp < guaranteed {
		t.Errorf("Expected A to have more than %v Mbit/s on an idle link, got %.1f", guaranteed, idle.tcp)
	}
	if gold.tcp < 0.8*guaranteed {
		t.Errorf("Expected A to hold 80 %% of %v Mbit/s once it is granted, got %+v", guaranteed, gold)
	}
	if gold.rtt == 0 || gold.rtt > 100 {
		t.Errorf("Expected A to hold its delay once it is granted, got %+v", gold)
	}
	for who, e := range map[string]experience{"A, before it is granted": flooded, "B": beside, "A, once it is revoked": revoked} {
		if e.tcp > 0.5*guaranteed {
			t.Errorf("%s: expected clearly less than the guarantee, got %+v", who, e)
		}
		if e.rtt < 2*gold.rtt && e.lost < 100 {
			t.Errorf("%s: expected more delay than with a grant, got %+v", who, e)
		}
	}
	broker.stop()
	if left := n.on("router", "nft list tables") + n.on("router", "tc qdisc show"); strings.Contains(left, "farm") || strings.Contains(left, "htb") {
		t.Errorf("Expected the broker to leave nothing behind, got\n%s", left)
	}
}

// labelled returns the name by which Alice looks the service up: it asks for gold, and shows her handle and who she is.
func labelled(t *testing.T, key qos.Key, service string) string {
	t.Helper()
	ring, err := qos.NewKeyring([]qos.Key{key})
	if err != nil {
		t.Fatal(err)
	}
	token, err := ring.Sign(qos.Claim{
		KeyID: key.ID, Client: qos.Client(qos.KindID, "alice"), Rank: 3, Service: qos.ServiceHash(service),
		Expires: time.Now().Add(time.Hour).UnixMilli(),
	})
	if err != nil {
		t.Fatal(err)
	}
	a := qos.Asked{Level: "gold", HandleLen: qos.Signed}
	copy(a.Handle[:], token[:])
	labels, err := qos.AppendLabels(nil, &a, []byte("alice"))
	if err != nil {
		t.Fatal(err)
	}
	return string(labels) + service
}

// look looks a name up from a namespace, and returns the first address; empty if there was no answer.
func (n *network) look(client, name string) string {
	out, err := n.try(client, "dig", "+short", "+tries=1", "+time=3", "-p", "1053", "@"+control, name, "A")
	first, _, _ := strings.Cut(out, "\n")
	if addr, bad := netip.ParseAddr(first); err == nil && bad == nil {
		return addr.String()
	}
	return ""
}

// awaitGrant waits until Alice's grant stands, at the router's address of client A.
func awaitGrant(t *testing.T, db *database) (got qos.Grant) {
	t.Helper()
	await(t, "a grant", func() bool {
		all, _ := db.Grants(t.Context())
		for _, g := range all {
			if g.Client == qos.Client(qos.KindID, "alice") && g.State == qos.Granted {
				got = g
				return true
			}
		}
		return false
	})
	if got.Level != "gold" || got.ClientAddr.String() != clientA {
		t.Errorf("Expected gold for %s, got %+v", clientA, got)
	}
	return got
}

// sentBy returns the octets that a class of the link toward the clients has sent.
func sentBy(n *network, class string) (octets int) {
	n.t.Helper()
	_, after, _ := strings.Cut(n.on("router", "tc -s class show dev clients"), "class htb "+class+" ")
	_, after, _ = strings.Cut(after, "Sent ")
	fmt.Sscan(after, &octets)
	return octets
}
