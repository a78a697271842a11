package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// TestFlatten answers for the top of a zone with the addresses of a name elsewhere, follows that name, and goes on with its
// last addresses while the resolver is dead, over a reload, too.
func TestFlatten(t *testing.T) {
	t.Parallel()
	zone := filepath.Join(t.TempDir(), "example.net.zone")
	write := func(serial, addr string) {
		text := "@ 5 IN SOA ns hostmaster " + serial + " 7200 1800 604800 5\n@ 5 IN NS ns\nwww 5 IN A " + addr + "\n"
		if err := os.WriteFile(zone, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1", "198.51.100.1")
	up := startCoreDNS(t, "example.net:PORT {\n    bind 127.0.0.1\n    file "+zone+" {\n        reload 100ms\n    }\n}\n")
	c := startCoreDNS(t, strings.NewReplacer("UPSTREAM", up.addr, "DEAD", local(freePort(t)), "METRICS", local(freePort(t))).Replace(`
example.org:PORT {
    bind 127.0.0.1
    errors
    prometheus METRICS
    farm {
        redis redis://DEAD
        upstream UPSTREAM
        service example.org {
            alpn h2
            server cdn www.example.net port 443
        }
        service lost.example.org {
            flatten
            server x www.example.com
        }
    }
}
`))
	awaitGiven(t, c.addr, "example.org", "198.51.100.1")
	r := ask(t, c.addr, "example.org", dns.TypeA)
	if len(r.Answer) != 1 || r.Answer[0].Header().Name != "example.org." || r.Answer[0].Header().Ttl > 5 {
		t.Errorf("Expected the address at the top of the zone for 5 s at most, got %v", r)
	}
	if r := ask(t, c.addr, "example.org", dns.TypeHTTPS); len(r.Answer) != 1 || r.Answer[0].(*dns.HTTPS).Priority != 0 || r.Answer[0].(*dns.HTTPS).Target != "www.example.net." {
		t.Errorf("Expected a record in AliasMode, got %v", r)
	}
	r = ask(t, c.addr, "lost.example.org", dns.TypeA)
	if r.Rcode != dns.RcodeServerFailure || !slices.Contains(extendedErrors(r), dns.ExtendedErrorCodeNotReady) {
		t.Errorf("Expected SERVFAIL with Not Ready for a name that is not resolved, got %v", r)
	}
	write("2", "198.51.100.2")
	awaitGiven(t, c.addr, "example.org", "198.51.100.2")

	up.kill()
	await(t, "the dead resolver to be noticed", func() bool {
		return strings.Contains(c.log.String(), "flatten: www.example.net.: ")
	})
	c.signal(syscall.SIGUSR1)
	await(t, "the reload", func() bool { return strings.Contains(c.log.String(), "Reloading complete") })
	for range 20 {
		if got := given(t, c.addr, "example.org"); !slices.Equal(got, []string{"198.51.100.2"}) {
			t.Fatalf("Expected the last address while the resolver is dead, got %v", got)
		}
	}
}
