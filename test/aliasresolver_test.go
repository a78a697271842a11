package test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const aliasesCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    SIGNED
    farm {
        embedded 127.0.0.1:EMBEDDED
        service www.example.org {
            server web1 192.0.2.1 2001:db8::1
        }
        service v4.example.org {
            server web1 192.0.2.4
        }
        service inside.example.org {
            server x www.example.org
        }
        service twice.example.org {
            server x inside.example.org
        }
        service half.example.org {
            server x v4.example.org
        }
        service gone.example.org {
            server x nothing.example.org
        }
        service outside.example.org {
            server x www.example.net
        }
        service back.example.org {
            fallback www.example.net
        }
        service example.org {
            server x www.example.org
        }
        service *.apps.example.org {
            server x www.example.org
        }
    }
}
example.net:PORT {
    bind 127.0.0.1
    errors
    farm {
        embedded 127.0.0.1:EMBEDDED
        service www.example.net {
            server web1 192.0.2.2 2001:db8::2
        }
    }
}
`

// TestAliasThroughResolver asks a recursive resolver, which follows aliases by itself and believes an answer as far as the zone
// may speak for it, for aliases of a zone that is signed and of one that is not.
func TestAliasThroughResolver(t *testing.T) {
	t.Parallel()
	key, _ := signingKey(t, "example.org.")
	for _, signed := range []bool{false, true} {
		t.Run(fmt.Sprintf("signed %t", signed), func(t *testing.T) {
			zone, sign := stubZone{zone: "example.org."}, ""
			if signed {
				zone.key, sign = key, "dnssec {\n key file "+key+"\n}"
			}
			c := startCoreDNS(t, strings.NewReplacer("EMBEDDED", fmt.Sprint(freePort(t)), "SIGNED", sign).Replace(aliasesCorefile))
			zone.addr = c.addr
			// Twice, so that what the cache holds after the first round is asked for, too.
			u := startUnbound(t, zone, stubZone{zone: "example.net.", addr: c.addr})
			for range 2 {
				askAliases(t, u, signed)
			}
		})
	}
}

func askAliases(t *testing.T, u *resolvingServer, signed bool) {
	t.Helper()
	const none = ""
	for _, tc := range []struct{ name, a, aaaa string }{
		{"www.example.org", "192.0.2.1", "2001:db8::1"},
		{"inside.example.org", "192.0.2.1", "2001:db8::1"},
		{"twice.example.org", "192.0.2.1", "2001:db8::1"},
		{"half.example.org", "192.0.2.4", none},
		{"gone.example.org", none, none},
		{"outside.example.org", "192.0.2.2", "2001:db8::2"},
		{"back.example.org", "192.0.2.2", "2001:db8::2"},
		{"example.org", "192.0.2.1", "2001:db8::1"},
		{"shop.apps.example.org", "192.0.2.1", "2001:db8::1"},
	} {
		for qtype, want := range map[uint16]string{dns.TypeMX: none, dns.TypeA: tc.a, dns.TypeAAAA: tc.aaaa, dns.TypeHTTPS: none, dns.TypeTXT: none} {
			r := u.resolve(tc.name, qtype)
			what := fmt.Sprintf("%s %s", tc.name, dns.TypeToString[qtype])
			if got := strings.Join(addresses(r), " "); got != want || r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
				t.Errorf("%s: expected %q, got %v", what, want, r)
			}
			ours := !slices.Contains([]string{"outside.example.org", "back.example.org"}, tc.name)
			if signed && ours && !r.AuthenticatedData {
				t.Errorf("%s: expected an answer that is validated, got %v", what, r)
			}
		}
	}
}

// TestZoneFileBesideThroughResolver asks for what a zone file behind farm has, in a signed zone, after a resolver has cached
// proofs that other types of the same names are not there.
func TestZoneFileBesideThroughResolver(t *testing.T) {
	t.Parallel()
	key, _ := signingKey(t, "example.org.")
	zones, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	c := startCoreDNS(t, strings.NewReplacer("EMBEDDED", fmt.Sprint(freePort(t)), "KEY", key, "ZONES", zones).Replace(`
example.org:PORT {
    bind 127.0.0.1
    errors
    dnssec {
        key file KEY
    }
    farm {
        embedded 127.0.0.1:EMBEDDED
        fallthrough
        service www.example.org {
            server web1 192.0.2.1
        }
        service *.apps.example.org {
            server app1 192.0.2.11
        }
    }
    file ZONES/beside.zone example.org
}
`))
	u := startUnbound(t, stubZone{zone: "example.org.", addr: c.addr, key: key})
	for range 2 {
		for _, tc := range []struct{ name, qtype, want string }{
			{"www.example.org", "AAAA", ""},
			{"www.example.org", "A", "192.0.2.1"},
			{"example.org", "AAAA", ""},
			{"example.org", "MX", "10 mail.example.net."},
			{"example.org", "CAA", "0 issue \"ca.example.net\""},
			{"example.org", "TXT", "\"v=spf1 mx -all\""},
			{"shop.apps.example.org", "TXT", ""},
			{"shop.apps.example.org", "A", "192.0.2.11"},
			{"_acme-challenge.apps.example.org", "A", ""},
			{"_acme-challenge.apps.example.org", "TXT", "\"token\""},
			{"static.apps.example.org", "TXT", ""},
			{"static.apps.example.org", "A", "192.0.2.99"},
			{"nothing.example.org", "A", ""},
		} {
			qtype := dns.StringToType[tc.qtype]
			r := u.resolve(tc.name, qtype)
			if got := strings.Join(records(r.Answer, qtype), " "); got != tc.want || r.Rcode != dns.RcodeSuccess || !r.AuthenticatedData {
				t.Errorf("%s %s: expected %q, validated, got %v", tc.name, tc.qtype, tc.want, r)
			}
		}
	}
}
