package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const dnssecCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    dnssec {
        key file KEY
    }
    farm {
        embedded 127.0.0.1:EMBEDDED
        service www.example.org {
            server web1 192.0.2.1 2001:db8::1 port 443
            server web2 192.0.2.2 2001:db8::2 port 443
            server web3 192.0.2.3 port 443
            alpn h2
        }
        service alias.example.org {
            server away www.example.org
        }
        service gone.example.org {
            server away nothing.example.org
        }
        service *.apps.example.org {
            server app1 192.0.2.10
        }
    }
}
`

// TestDNSSEC signs answers with the dnssec plugin, which wraps farm, and has a validator judge them.
func TestDNSSEC(t *testing.T) {
	t.Parallel()
	key, anchor := signingKey(t, "example.org.")
	c := startCoreDNS(t, strings.NewReplacer("EMBEDDED", fmt.Sprint(freePort(t)), "KEY", key).Replace(dnssecCorefile))
	const negative = "; negative response, fully validated"
	for _, tc := range []struct{ name, qtype, want string }{
		{"www.example.org", "A", "; fully validated|192.0.2."},
		{"www.example.org", "AAAA", "; fully validated|2001:db8::"},
		{"www.example.org", "SRV", "; fully validated|SRV"},
		{"www.example.org", "HTTPS", "; fully validated|HTTPS"},
		{"wWw.eXample.org", "A", "; fully validated|192.0.2."},
		{"web1.www.example.org", "A", "; fully validated|192.0.2.1"},
		{"alias.example.org", "CNAME", "; fully validated|CNAME"},
		{"alias.example.org", "MX", "; fully validated|CNAME"},
		{"gone.example.org", "A", "; fully validated|CNAME"},
		{"alias.example.org", "A", "; fully validated|CNAME|192.0.2."},
		{"shop.apps.example.org", "A", "; fully validated|192.0.2.10"},
		{"example.org", "SOA", "; fully validated|SOA"},
		{"example.org", "NS", "; fully validated|NS"},
		{"example.org", "DNSKEY", "; fully validated|DNSKEY"},
		{"www.example.org", "MX", negative},
		{"www.example.org", "DS", negative},
		{"example.org", "MX", negative},
		{"web3.www.example.org", "AAAA", negative},
		{"apps.example.org", "A", negative},
		{"nothing.example.org", "A", negative},
		{"a.nothing.example.org", "AAAA", negative},
	} {
		t.Run(tc.name+" "+tc.qtype, func(t *testing.T) {
			out := delv(t, c.addr, anchor, tc.name, tc.qtype)
			for want := range strings.SplitSeq(tc.want, "|") {
				if !strings.Contains(out, want) {
					t.Errorf("Expected %q, got:\n%s", want, out)
				}
			}
		})
	}
	t.Run("with another key", func(t *testing.T) {
		_, wrong := signingKey(t, "example.org.")
		if out := delv(t, c.addr, wrong, "www.example.org", "A"); strings.Contains(out, "fully validated") {
			t.Errorf("Expected the validator to refuse a zone signed with another key, got:\n%s", out)
		}
	})
}

// delv returns what the validator says of a name, trusting nothing but the anchor.
func delv(t *testing.T, addr, anchor, name, qtype string) string {
	t.Helper()
	host, port, _ := strings.Cut(addr, ":")
	// Its exit code says less than its words: a validated NXDOMAIN is a failure to it.
	out, _ := exec.Command("delv", "@"+host, "-p", port, "-a", anchor, "+root=example.org", name, qtype).CombinedOutput()
	return string(out)
}

// signingKey makes a key for a zone. It returns the name of its files, without the ending, and of a trust anchor file.
func signingKey(t *testing.T, zone string) (key, anchor string) {
	t.Helper()
	dir := t.TempDir()
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := k.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(dir, fmt.Sprintf("K%s+%03d+%05d", zone, k.Algorithm, k.KeyTag()))
	anchor = filepath.Join(dir, "anchor")
	for name, text := range map[string]string{
		key + ".key":     k.String() + "\n",
		key + ".private": k.PrivateKeyString(private),
		anchor:           fmt.Sprintf("trust-anchors {\n    %q static-key %d 3 %d %q;\n};\n", zone, k.Flags, k.Algorithm, k.PublicKey),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, anchor
}

// TestResolverValidates has a real resolver, with its default settings, resolve names of a signed zone.
func TestResolverValidates(t *testing.T) {
	t.Parallel()
	key, _ := signingKey(t, "example.org.")
	c := startCoreDNS(t, strings.NewReplacer("EMBEDDED", fmt.Sprint(freePort(t)), "KEY", key).Replace(dnssecCorefile))
	u := startUnbound(t, stubZone{"example.org", c.addr, key})
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  bool // records
	}{
		{"www.example.org", dns.TypeA, true},
		{"www.example.org", dns.TypeHTTPS, true},
		{"shop.apps.example.org", dns.TypeA, true},
		{"example.org", dns.TypeNS, true},
		{"www.example.org", dns.TypeMX, false},
		{"nothing.example.org", dns.TypeA, false},
	} {
		r := u.resolve(tc.name, tc.qtype)
		if got := records(r.Answer, tc.qtype); r.Rcode != dns.RcodeSuccess || !r.AuthenticatedData || (len(got) > 0) != tc.want {
			t.Errorf("%s %s: expected validated records: %t, got\n%v", tc.name, dns.TypeToString[tc.qtype], tc.want, r)
		}
	}
}
