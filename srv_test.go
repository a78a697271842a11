package farm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// Servers of further tiers follow, with lower priorities and weights among themselves, while the answer has room.
func TestSRVTiers(t *testing.T) {
	const block = `farm example.org {
		policy POLICY
		region eu 10.1.0.0/16
		service tiers.example.org {
			answers 4
			server a 192.0.2.1 port 80 weight 3
			server b 192.0.2.2 port 80
			server c 192.0.2.3 port 80 priority 5
			server d 192.0.2.4 port 80 priority 9
			server e 192.0.2.5 port 80 priority 10
		}
		service regions.example.org {
			server away 192.0.2.6 port 80
			server home 192.0.2.7 port 80 region eu
			server next 192.0.2.8 port 80 priority 1 region eu
		}
		service one.example.org {
			answers 1
			server a 192.0.2.1 port 80
			server b 192.0.2.2 port 80 priority 1
		}
		service ports.example.org {
			server a 192.0.2.1 port 80
			server b www.example.net port 80 priority 1
			server c www.example.net port 80 priority 2
			server d 192.0.2.4 priority 3
		}
	}`
	for _, tc := range []struct{ policy, name, want string }{
		{"weighted", "tiers", "0 65535 a, 0 21845 b, 5 65535 c, 9 65535 d"},
		{"weighted", "regions", "0 65535 home, 1 65535 away, 2 65535 next"},
		{"weighted", "one", "0 65535 a"},
		{"weighted", "ports", "0 65535 a, 1 65535 www.example.net."},
		{"first", "tiers", "0 65535 a, 1 65535 b, 5 65535 c, 9 65535 d"},
		{"sticky", "regions", "0 65535 home, 1 65535 away, 2 65535 next"},
		{"predict", "regions", "0 65535 home, 1 65535 away, 2 65535 next"},
	} {
		f := newTestFarm(t, strings.Replace(block, "POLICY", tc.policy, 1))
		name := tc.name + ".example.org."
		m, _ := ask(t, f, question(name, dns.TypeSRV), "10.1.0.1")
		var got []string
		for _, rr := range m.Answer {
			rr := rr.(*dns.SRV)
			got = append(got, fmt.Sprint(rr.Priority, " ", rr.Weight, " ", strings.TrimSuffix(rr.Target, "."+name)))
		}
		if got := strings.Join(got, ", "); got != tc.want {
			t.Errorf("%s, %s: got %s, want %s", tc.policy, tc.name, got, tc.want)
		}
	}
}

// What is given out for failing over is no load that is expected, and nothing that was picked.
func TestBackupsAreNotPicked(t *testing.T) {
	f := newTestFarm(t, `farm example.org {
		policy first
		service www.example.org {
			server a 192.0.2.1 port 80
			server b 192.0.2.2 port 80
		}
	}`)
	if m := mustAsk(t, f, "www.example.org.", dns.TypeSRV); len(m.Answer) != 2 {
		t.Fatalf("Got %v, want two records", m.Answer)
	}
	f.memory.picks.collect([]*steer.Snapshot{f.source.Load()}, func(name pickName, n uint64) {
		if name.server != "a" && n > 0 {
			t.Errorf("%v was counted %d times", name, n)
		}
	})
}

// The name of a server is answered with its own addresses, or nothing points there.
func TestHostNamesInConflict(t *testing.T) {
	f := newTestFarm(t, `farm example.org {
		ns ns1.example.org 192.0.2.53
		policy weighted
		service api.example.org {
			alpn h2
			server m 192.0.2.6 port 8080
			server n 192.0.2.16 port 8081
		}
		service _grpc._tcp.api.example.org {
			server m 192.0.2.6 port 9090
		}
		service www.example.org {
			server web1 192.0.2.1 port 80
			server web2 192.0.2.2 port 80
		}
		service example.org {
			server ns1 192.0.2.53 port 80
			server a 192.0.2.55 port 80
		}
	}`)
	// From the database, another record may come at any time.
	snap := f.source.Load()
	moved := *snap.Farm("_grpc._tcp.api.example.org.").Servers[0]
	moved.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	top := snap.Farm("example.org.")
	ns1, a := *top.Servers[top.ByID("ns1")], top.Servers[top.ByID("a")]
	ns1.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.54")}
	build := func(service string, servers ...*steer.Server) *steer.Farm {
		in := steer.Input{Service: steer.Service{Name: service}, Now: at}
		for _, s := range servers {
			in.Members = append(in.Members, steer.Member{Server: s, Report: steer.NoReport})
		}
		return steer.Build(in)
	}
	farms := []*steer.Farm{
		snap.Farm("api.example.org."), snap.Farm("www.example.org."), build("example.org.", a, &ns1),
		build("_grpc._tcp.api.example.org.", &moved),
		build("web1.www.example.org.", &steer.Server{ID: "x", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.3")}}),
	}
	f.source = &fixed{steer.NewSnapshot(farms, nil), at}
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string // targets
	}{
		{"_grpc._tcp.api.example.org.", dns.TypeSRV, "m.api.example.org."},
		{"api.example.org.", dns.TypeSRV, "n.api.example.org."},
		{"api.example.org.", dns.TypeHTTPS, "n.api.example.org."},
		{"www.example.org.", dns.TypeSRV, "web2.www.example.org."},
		{"example.org.", dns.TypeSRV, "a.example.org."},
	} {
		for range 4 {
			m := mustAsk(t, f, tc.name, tc.qtype)
			if got := strings.Join(pointedAt(m), " "); got != tc.want {
				t.Errorf("%s %s: got %s, want %s", tc.name, dns.TypeToString[tc.qtype], got, tc.want)
			}
			for _, rr := range m.Extra { // what is beside is what the name itself answers
				own := mustAsk(t, f, rr.Header().Name, rr.Header().Rrtype)
				if !dns.IsDuplicate(own.Answer[0], rr) {
					t.Errorf("%s: beside %v, its own answer is %v", tc.name, rr, own.Answer)
				}
			}
		}
	}
	// Addresses of the services themselves are right in any case.
	for name, want := range map[string]string{
		"m.api.example.org.": "192.0.2.7", "_grpc._tcp.api.example.org.": "192.0.2.7", "web1.www.example.org.": "192.0.2.3", "ns1.example.org.": "192.0.2.53",
	} {
		if m := mustAsk(t, f, name, dns.TypeA); len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != want {
			t.Errorf("%s: got %v, want %s", name, m.Answer, want)
		}
	}
}

// pointedAt are the names that the records of an answer point to.
func pointedAt(m *dns.Msg) (names []string) {
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.SRV:
			names = append(names, rr.Target)
		case *dns.HTTPS:
			names = append(names, rr.Target)
		}
	}
	return names
}
