package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// recordsCorefile has a zone for each way of answering. EMBEDDED is the port of a services database, DEAD one where
// nobody listens, ZONES a folder of zone files.
const recordsCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        embedded 127.0.0.1:EMBEDDED
        explain 127.0.0.0/8
        ecs 127.0.0.0/8
        region home 10.0.0.0/8
        region away 10.1.0.0/16
        ns ns1.example.org 192.0.2.53 2001:db8::53
        ns ns.example.net
        mailbox dns-admin.example.org
        ttl 20
        service www.example.org {
            server web1 192.0.2.1 2001:db8::1 port 443
            server web2 192.0.2.2 2001:db8::2 port 443
            alpn h2 http/1.1
        }
        service _http._tcp.www.example.org {
            server web3 192.0.2.3 port 8080 priority 1
            server web4 192.0.2.4 2001:db8::4 port 8081 priority 2
        }
        service v6.example.org {
            server six 2001:db8::6
        }
        service alias.example.org {
            server away www.example.net port 443
        }
        service inside.example.org {
            server self v6.example.org
        }
        service *.apps.example.org {
            server app1 192.0.2.10
        }
        service deep.er.example.org {
            server deep1 192.0.2.20
        }
        service secure.example.org {
            server only 192.0.2.30 2001:db8::30 port 8443
            alpn h2 http/1.1
        }
        service sticky.example.org {
            policy sticky
            server one 192.0.2.31
        }
        service regional.example.org {
            server here 192.0.2.41 region home
            server there 192.0.2.42 region away
            policy first
        }
        service closed.example.org {
            server out 192.0.2.51
        }
        service sorry.example.org {
            fallback www.example.net
            server gone 192.0.2.52
        }
        service big.example.org {
            answers 8
BIG
        }
    }
}
example.net:PORT {
    bind 127.0.0.1
    errors
    farm {
        embedded 127.0.0.1:EMBEDDED
        fallthrough
        service www.example.net {
            server web1 192.0.2.61
        }
    }
    file ZONES/example.net.zone
}
rewritten.example:PORT {
    bind 127.0.0.1
    errors
    farm {
        embedded 127.0.0.1:EMBEDDED
        rewrite
        service www.rewritten.example {
            server web1 192.0.2.71
            server web2 192.0.2.72
            ttl 10
        }
        service first.rewritten.example {
            server web1 192.0.2.73
            server web2 192.0.2.74 priority 1
            policy first
        }
    }
    file ZONES/rewritten.example.zone
}
stale.example:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis redis://127.0.0.1:DEAD
        ttl 300
        service www.stale.example {
            server web1 192.0.2.81
        }
    }
}
old.example:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis redis://127.0.0.1:DEAD
        max_stale 1s
        service www.old.example {
            server web1 192.0.2.82
        }
    }
}
unread.example:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis redis://127.0.0.1:DEAD
    }
}
`

const manyAddresses = 8

// bigService is eight servers with eight addresses of each family: more than UDP takes.
func bigService() string {
	var b strings.Builder
	for s := 1; s <= steer.MaxAnswers; s++ {
		fmt.Fprintf(&b, "            server big%d", s)
		for a := 1; a <= manyAddresses/2; a++ {
			fmt.Fprintf(&b, " 203.0.113.%d 2001:db8:b::%x", s*16+a, s*16+a)
		}
		b.WriteString(" port 443\n")
	}
	return b.String()
}

// transcripts are what is asked with dig, and what must be in the reply. The whole transcript is a golden file of the
// row's name.
var transcripts = []struct {
	name string
	dig  string // arguments
	want string // status, flags, and lines that must stand in the reply, separated by |
}{
	{"a", "www.example.org A", "NOERROR|flags: qr aa|ANSWER: 2|www.example.org. 20 IN A 192.0.2.1|www.example.org. 20 IN A 192.0.2.2"},
	{"aaaa", "www.example.org AAAA", "NOERROR|flags: qr aa|ANSWER: 2|www.example.org. 20 IN AAAA 2001:db8::1"},
	{"noedns", "+noedns www.example.org A", "NOERROR|ADDITIONAL: 0|ANSWER: 2"},
	{"recursion-desired", "+recurse www.example.org A", "NOERROR|flags: qr aa rd;|ANSWER: 2"},
	{"case", "wWw.ExAmPlE.oRg A", "NOERROR|;wWw.ExAmPlE.oRg. IN A|wWw.ExAmPlE.oRg. 20 IN A 192.0.2.1"},
	{"srv", "www.example.org SRV", "NOERROR|www.example.org. 20 IN SRV 0 65535 443 web1.www.example.org.|web2.www.example.org. 20 IN AAAA 2001:db8::2"},
	{"srv-typed", "_http._tcp.www.example.org SRV", "NOERROR|_http._tcp.www.example.org. 20 IN SRV 1 65535 8080 web3.www.example.org.|20 IN SRV 2 65535 8081 web4.www.example.org.|web3.www.example.org. 20 IN A 192.0.2.3"},
	{"typed-inner", "_tcp.www.example.org SRV", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"https", "secure.example.org HTTPS", `NOERROR|20 IN HTTPS 1 . alpn="h2,http/1.1" port=8443 ipv4hint=192.0.2.30 ipv6hint=2001:db8::30`},
	{"https-without-alpn", "v6.example.org HTTPS", "NOERROR|ANSWER: 0|SOA"},
	{"svcb", "v6.example.org SVCB", "NOERROR|v6.example.org. 20 IN SVCB 1 . ipv6hint=2001:db8::6"},
	{"server-name", "web1.www.example.org A", "NOERROR|web1.www.example.org. 20 IN A 192.0.2.1|ANSWER: 1"},
	{"server-name-nodata", "web1.www.example.org SRV", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"server-name-typed", "web4.www.example.org AAAA", "NOERROR|web4.www.example.org. 20 IN AAAA 2001:db8::4"},
	{"alias", "alias.example.org A", "NOERROR|alias.example.org. 20 IN CNAME www.example.net.|ANSWER: 1"},
	{"alias-cname", "alias.example.org CNAME", "NOERROR|alias.example.org. 20 IN CNAME www.example.net."},
	{"alias-srv", "alias.example.org SRV", "NOERROR|alias.example.org. 20 IN CNAME www.example.net.|ANSWER: 1"},
	{"alias-mx", "alias.example.org MX", "NOERROR|alias.example.org. 20 IN CNAME www.example.net.|ANSWER: 1"},
	{"alias-any", "+notcp alias.example.org ANY", "NOERROR|alias.example.org. 20 IN CNAME www.example.net.|ANSWER: 1"},
	{"alias-followed", "inside.example.org A", "NOERROR|inside.example.org. 20 IN CNAME v6.example.org.|ANSWER: 1|AUTHORITY: 1|SOA"},
	{"alias-recursion", "+recurse alias.example.org A", "NOERROR|alias.example.org. 20 IN CNAME www.example.net.|www.example.net. 20 IN A 192.0.2.61|ANSWER: 2"},
	{"wildcard", "shop.apps.example.org A", "NOERROR|shop.apps.example.org. 20 IN A 192.0.2.10"},
	{"wildcard-deep", "a.b.apps.example.org A", "NOERROR|a.b.apps.example.org. 20 IN A 192.0.2.10"},
	{"wildcard-nodata", "shop.apps.example.org AAAA", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"wildcard-itself", "*.apps.example.org A", "NOERROR|*.apps.example.org. 20 IN A 192.0.2.10"},
	{"apex-soa", "example.org SOA", "NOERROR|flags: qr aa|ANSWER: 1|IN SOA ns1.example.org. dns-admin.example.org."},
	{"apex-ns", "example.org NS", "NOERROR|IN NS ns1.example.org.|IN NS ns.example.net.|ns1.example.org. |192.0.2.53"},
	{"apex-nodata", "example.org A", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"name-server", "ns1.example.org AAAA", "NOERROR|IN AAAA 2001:db8::53"},
	{"nodata", "v6.example.org A", "NOERROR|flags: qr aa|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"nxdomain", "nothing.example.org A", "NXDOMAIN|flags: qr aa|ANSWER: 0|AUTHORITY: 1|example.org. 5 IN SOA"},
	{"nxdomain-below", "x.v6.example.org A", "NXDOMAIN|AUTHORITY: 1"},
	{"empty-non-terminal", "er.example.org A", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"any", "+notcp www.example.org ANY", `NOERROR|flags: qr aa;|www.example.org. 3600 IN HINFO "RFC8482" ""`},
	{"any-tcp", "+tcp www.example.org ANY", `NOERROR|flags: qr aa;|www.example.org. 3600 IN HINFO "RFC8482" ""`},
	{"unknown-type", "www.example.org TYPE65280", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"mx", "www.example.org MX", "NOERROR|ANSWER: 0|AUTHORITY: 1|SOA"},
	{"ds-apex", "example.org DS", "NOERROR|ANSWER: 0|AUTHORITY: 1"},
	{"axfr", "example.org AXFR", "Transfer failed."},
	{"ixfr", "example.org IXFR=1", "Transfer failed."},
	{"foreign", "www.example.com A", "REFUSED"},
	{"explain", "_farm.www.example.org TXT", "NOERROR|IN TXT|web1|web2"},
	{"explain-forbidden", "_farm.www.example.net TXT", "NXDOMAIN|AUTHORITY: 1"},
	{"truncated", "+noedns +ignore big.example.org A", "NOERROR|flags: qr aa tc"},
	{"truncated-retry", "+noedns big.example.org A", "Truncated, retrying in TCP mode|flags: qr aa;|ANSWER: 32"},
	{"edns-512", "+bufsize=512 +ignore big.example.org AAAA", "NOERROR|flags: qr aa tc"},
	{"edns-1232", "+bufsize=1232 +ignore big.example.org AAAA", "NOERROR|flags: qr aa;|ANSWER: 32"},
	{"edns-tcp", "+tcp big.example.org SRV", "NOERROR|flags: qr aa;|ANSWER: 8|2001:db8:b::11"},
	// Which servers' addresses fit is by chance; that the answer is whole is not.
	{"edns-srv", "+bufsize=1232 +ignore +noadditional big.example.org SRV", "NOERROR|flags: qr aa;|ANSWER: 8"},
	{"edns-version", "+edns=1 +noednsnegotiation www.example.org A", "BADVERS"},
	{"ecs", "+subnet=198.51.100.0/24 www.example.org A", "NOERROR|CLIENT-SUBNET: 198.51.100.0/24/0"},
	{"ecs-region", "+subnet=10.1.2.0/24 regional.example.org A", "NOERROR|CLIENT-SUBNET: 10.1.2.0/24/16|192.0.2.42"},
	{"ecs-wider-region", "+subnet=10.2.3.0/24 regional.example.org A", "NOERROR|CLIENT-SUBNET: 10.2.3.0/24/15|192.0.2.41"},
	{"ecs-sticky", "+subnet=198.51.100.0/24 sticky.example.org A", "NOERROR|CLIENT-SUBNET: 198.51.100.0/24/24"},
	{"ecs-private", "+subnet=0/0 www.example.org A", "NOERROR|CLIENT-SUBNET: 0.0.0.0/0/0"},
	{"ecs-v6", "+subnet=2001:db8:1::/48 regional.example.org A", "NOERROR|CLIENT-SUBNET: 2001:db8:1::/48/"},
	{"ecs-negative", "+subnet=10.1.2.0/24 nothing.example.org A", "NXDOMAIN|CLIENT-SUBNET: 10.1.2.0/24/0"},
	{"ecs-bad-scope", "+ednsopt=8:000118180a0102 www.example.org A", "FORMERR"},
	{"ecs-bad-bits", "+ednsopt=8:000117000a0103 www.example.org A", "FORMERR"},
	{"ecs-bad-family", "+ednsopt=8:000918000a0103 www.example.org A", "FORMERR"},
	{"ecs-not-believed", "+subnet=10.1.2.0/24 www.example.net A", "NOERROR|CLIENT-SUBNET: 10.1.2.0/24/0"},
	{"ede-no-server", "closed.example.org A", "NOERROR|ANSWER: 0|AUTHORITY: 1|EDE: 0 (Other)"},
	{"ede-without-edns", "+noedns closed.example.org A", "NOERROR|ANSWER: 0|ADDITIONAL: 0"},
	{"fallback", "sorry.example.org A", "NOERROR|sorry.example.org. 20 IN CNAME www.example.net."},
	{"ede-stale", "www.stale.example A", "NOERROR|www.stale.example. 30 IN A 192.0.2.81|EDE: 3 (Stale Answer)"},
	{"ede-too-stale", "www.old.example A", "SERVFAIL|EDE: 24 (Invalid Data)"},
	{"ede-not-ready", "www.unread.example A", "SERVFAIL|EDE: 14 (Not Ready)"},
	{"fallthrough", "mail.example.net A", "NOERROR|mail.example.net. 3600 IN A 198.51.100.25"},
	{"fallthrough-service", "www.example.net A", "NOERROR|www.example.net. 20 IN A 192.0.2.61"},
	{"rewrite", "www.rewritten.example A", "NOERROR|ANSWER: 1|www.rewritten.example. 10 IN A 192.0.2.71"},
	{"rewrite-chain", "shop.rewritten.example A", "NOERROR|ANSWER: 2|shop.rewritten.example. 10 IN CNAME www.rewritten.example.|www.rewritten.example. 10 IN A 192.0.2.71"},
	{"rewrite-first", "first.rewritten.example A", "NOERROR|ANSWER: 1|first.rewritten.example. 20 IN A 192.0.2.73"},
	{"rewrite-untouched", "mail.rewritten.example A", "NOERROR|mail.rewritten.example. 3600 IN A 198.51.100.25"},
	{"rewrite-https", "www.rewritten.example HTTPS", `NOERROR|www.rewritten.example. 10 IN HTTPS 1 . alpn="h2" ipv4hint=192.0.2.71`},
	{"rewrite-srv", "_http._tcp.www.rewritten.example SRV", "NOERROR|ANSWER: 1|ADDITIONAL: 2|10 IN SRV 1 65535 80 host1.rewritten.example.|host1.rewritten.example. 10 IN A 192.0.2.71"},
	{"rewrite-mx", "rewritten.example MX", "NOERROR|IN MX 10 mail.rewritten.example."},
	{"rewrite-nxdomain", "nothing.rewritten.example A", "NXDOMAIN|AUTHORITY: 1"},
}

// TestRecords asks a running server for every record type and for what is not there.
func TestRecords(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	for _, tc := range transcripts {
		t.Run(tc.name, func(t *testing.T) {
			got := digs(t, c, tc.dig)
			flat := strings.Join(strings.Fields(got), " ")
			for want := range strings.SplitSeq(tc.want, "|") {
				if !strings.Contains(flat, strings.TrimSpace(want)) {
					t.Errorf("dig %s: expected %q in:\n%s", tc.dig, want, got)
				}
			}
			golden(t, tc.name, got)
		})
	}
}

func startRecords(t *testing.T) *coredns {
	zones, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	embedded := fmt.Sprint(freePort(t))
	c := startCoreDNS(t, strings.NewReplacer("EMBEDDED", embedded, "DEAD", fmt.Sprint(freePort(t)), "ZONES", zones,
		"BIG\n", bigService()).Replace(recordsCorefile))
	db := dial(t, "redis://127.0.0.1:"+embedded)
	for _, out := range []struct {
		service, server string
		left            int
	}{{"closed.example.org.", "out", 0}, {"sorry.example.org.", "gone", 2}, {"www.rewritten.example.", "web2", 1}} {
		db.admin(out.service, out.server, steer.Maint)
		await(t, out.service+" to be without "+out.server, func() bool {
			return len(ask(t, c.addr, out.service, dns.TypeA).Answer) == out.left
		})
	}
	await(t, "a copy to be too old", func() bool {
		return ask(t, c.addr, "www.old.example", dns.TypeA).Rcode == dns.RcodeServerFailure
	})
	return c
}
