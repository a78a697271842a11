package farm

import (
	"fmt"
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
