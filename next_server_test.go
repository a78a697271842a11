package farm_test

import (
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const nextServer = `
example.org:0 {
	bind 127.0.0.1
	farm {
		embedded 127.0.0.1:EMBEDDED
		fallthrough
		ns ns1.example.org 192.0.2.53
		service www.example.org {
			server a 192.0.2.1
		}
		service *.apps.example.org {
			server w 192.0.2.2
		}
		service *.both.example.org {
			server b 192.0.2.3
		}
		service deep.named.example.org {
			server d 192.0.2.5
		}
		service _http._tcp.inner.example.org {
			server c 192.0.2.4 port 80
		}
	}
	file DIR/example.org.zone
	forward . 127.0.0.1:CLOSED
}
`

const nextZone = `
@ 60 MX 10 mx
@ 60 TXT "v=spf1 -all"
@ 60 CAA 0 issue "ca.example"
@ 60 A 192.0.2.99
mx 60 A 192.0.2.50
www 60 TXT "hello"
www 60 A 192.0.2.98
a.www 60 TXT "a server"
ns1 60 TXT "a name server"
inner 60 A 192.0.2.51
named 60 CNAME www.example.com.
_acme-challenge.apps 60 TXT "token"
static.apps 60 A 192.0.2.52
alias.apps 60 CNAME www.example.com.
deep.inside.apps 60 A 192.0.2.53
cut.apps 60 NS ns.example.com.
*.both 60 MX 10 mx
static.both 60 A 192.0.2.54
`

// A zone file behind farm has the types that farm does not make, and names that are not a wildcard service's.
func TestZoneFileBeside(t *testing.T) {
	dir := zoneFiles(t, map[string]string{"example.org": nextZone})
	inst := serve(t, strings.NewReplacer("DIR", dir, "EMBEDDED", storetest.FreePort(t), "CLOSED", storetest.FreePort(t)).Replace(nextServer))
	defer stop(t, inst)
	addr := inst.Servers()[0].LocalAddr().String()
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		// At the top, at a service, at names of servers and name servers, at an empty non-terminal.
		{"example.org.", dns.TypeMX, "NOERROR\nexample.org. 60 IN MX 10 mx.example.org."},
		{"example.org.", dns.TypeTXT, "NOERROR\nexample.org. 60 IN TXT \"v=spf1 -all\""},
		{"example.org.", dns.TypeCAA, "NOERROR\nexample.org. 60 IN CAA 0 issue \"ca.example\""},
		{"example.org.", dns.TypeA, "NOERROR\nexample.org. 60 IN A 192.0.2.99"},
		{"www.example.org.", dns.TypeTXT, "NOERROR\nwww.example.org. 60 IN TXT \"hello\""},
		{"www.example.org.", dns.TypeA, "NOERROR\nwww.example.org. 20 IN A 192.0.2.1"},
		{"www.example.org.", dns.TypeMX, "NOERROR"},
		{"a.www.example.org.", dns.TypeTXT, "NOERROR\na.www.example.org. 60 IN TXT \"a server\""},
		{"ns1.example.org.", dns.TypeTXT, "NOERROR\nns1.example.org. 60 IN TXT \"a name server\""},
		{"inner.example.org.", dns.TypeA, "NOERROR\ninner.example.org. 60 IN A 192.0.2.51"},
		{"inner.example.org.", dns.TypeAAAA, "NOERROR"},
		{"named.example.org.", dns.TypeCNAME, "NOERROR\nnamed.example.org. 60 IN CNAME www.example.com."},
		{"named.example.org.", dns.TypeA, "NOERROR\nnamed.example.org. 60 IN CNAME www.example.com."}, // which nobody here has
		{"deep.named.example.org.", dns.TypeA, "NOERROR\ndeep.named.example.org. 20 IN A 192.0.2.5"},
		// A wildcard service is for the names that stand in neither.
		{"shop.apps.example.org.", dns.TypeA, "NOERROR\nshop.apps.example.org. 20 IN A 192.0.2.2"},
		{"shop.apps.example.org.", dns.TypeTXT, "NOERROR"},
		{"_acme-challenge.apps.example.org.", dns.TypeTXT, "NOERROR\n_acme-challenge.apps.example.org. 60 IN TXT \"token\""},
		{"_acme-challenge.apps.example.org.", dns.TypeA, "NOERROR"},
		{"static.apps.example.org.", dns.TypeA, "NOERROR\nstatic.apps.example.org. 60 IN A 192.0.2.52"},
		{"sTatic.apps.example.org.", dns.TypeAAAA, "NOERROR"},
		{"x.static.apps.example.org.", dns.TypeA, "NXDOMAIN"},
		{"inside.apps.example.org.", dns.TypeA, "NOERROR"},
		{"alias.apps.example.org.", dns.TypeCNAME, "NOERROR\nalias.apps.example.org. 60 IN CNAME www.example.com."},
		{"www.cut.apps.example.org.", dns.TypeA, "NOERROR"}, // a referral
		// Beside a wildcard of the file.
		{"shop.both.example.org.", dns.TypeA, "NOERROR\nshop.both.example.org. 20 IN A 192.0.2.3"},
		{"shop.both.example.org.", dns.TypeMX, "NOERROR\nshop.both.example.org. 60 IN MX 10 mx.example.org."},
		{"static.both.example.org.", dns.TypeA, "NOERROR\nstatic.both.example.org. 60 IN A 192.0.2.54"},
		{"nosuch.example.org.", dns.TypeA, "NXDOMAIN"},
	} {
		if got := answerOf(t, addr, tc.name, tc.qtype, true); got != tc.want {
			t.Errorf("%s %s: got\n%s\nwant\n%s", tc.name, dns.TypeToString[tc.qtype], got, tc.want)
		}
	}
	for name, qtype := range map[string]uint16{"www.example.org.": dns.TypeMX, "example.org.": dns.TypeSRV, "inner.example.org.": dns.TypeTXT} {
		m := exchange(t, addr, name, qtype)
		if len(m.Ns) != 1 || m.Ns[0].Header().Rrtype != dns.TypeSOA || m.Ns[0].(*dns.SOA).Ns != "ns1.example.org." {
			t.Errorf("%s: got the authority %v, want the SOA of farm alone", name, m.Ns)
		}
	}
	if m := exchange(t, addr, "example.org.", dns.TypeNS); len(m.Answer) != 1 || m.Answer[0].(*dns.NS).Ns != "ns1.example.org." {
		t.Errorf("Got the name servers %v, want those of farm alone", m.Answer)
	}
	if m := exchange(t, addr, "example.org.", dns.TypeMX); len(m.Ns) != 0 || len(m.Extra) != 1 {
		t.Errorf("Got %v, want the address of mx beside, and no name servers of the file", m)
	}
}
