package test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestScopeOfGeoIP: *geoip* takes the region from a subnet that farm does not believe. The answer's scope says so, or resolvers
// would give it to everybody.
func TestScopeOfGeoIP(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredns/coredns").Output()
	if err != nil {
		t.Fatal(err)
	}
	countries := filepath.Join(strings.TrimSpace(string(dir)), "plugin/geoip/testdata/GeoLite2-City.mmdb")
	c := startCoreDNS(t, fmt.Sprintf(`example.org:PORT {
    bind 127.0.0.1
    errors
    metadata
    geoip %s {
        edns-subnet
    }
    farm {
        embedded 127.0.0.1:%d
        region gb geoip/country/code=GB
        service www.example.org {
            policy first
            server else 192.0.2.1
            server gb 192.0.2.2 region gb
        }
    }
}
`, countries, freePort(t)))
	for _, tc := range []struct {
		subnet string
		want   string
	}{{"81.2.69.142", "192.0.2.2"}, {"203.0.113.1", "192.0.2.1"}} {
		q := question("www.example.org.", dns.TypeA)
		q.SetEdns0(1232, false)
		subnet := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 32, Address: net.ParseIP(tc.subnet).To4()}
		q.IsEdns0().Option = append(q.IsEdns0().Option, subnet)
		r, err := exchange(c.addr, q)
		if err != nil {
			t.Fatal(err)
		}
		if got := addresses(r); len(got) != 1 || got[0] != tc.want {
			t.Errorf("%s: expected %s, got %v", tc.subnet, tc.want, got)
		}
		if o, ok := r.IsEdns0().Option[0].(*dns.EDNS0_SUBNET); !ok || o.SourceScope != 32 {
			t.Errorf("%s: expected the scope 32, got %v", tc.subnet, r.IsEdns0().Option)
		}
	}
}
