package farm_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const aliasServer = `
example.org:0 {
	bind 127.0.0.1
	farm {
		embedded 127.0.0.1:EMBEDDED
		fallthrough
		service www.example.org {
			server a 192.0.2.1
		}
		service out.example.org {
			server x www.example.net
		}
		service chain.example.org {
			server x back.example.net
		}
		service none.example.org {
			server x nosuch.example.net
		}
		service dead.example.org {
			server x www.example.com
		}
		service nobody.example.org {
			server x www.example.edu
		}
		service loop.example.org {
			server x loop.example.net
		}
		service static.example.org {
			server x there.example.org
		}
		service below.example.org {
			server x www.sub.example.org
		}
	}
	file DIR/example.org.zone
}
example.net:0 {
	bind 127.0.0.1
	file DIR/example.net.zone
}
sub.example.org:0 {
	bind 127.0.0.1
	file DIR/sub.example.org.zone
}
example.com:0 {
	bind 127.0.0.1
	forward . 127.0.0.1:CLOSED
}
`

// zoneFiles writes zone files into a directory, and returns it.
func zoneFiles(t *testing.T, zones map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range zones {
		text = "@ 300 IN SOA ns hostmaster 1 7200 1800 604800 5\n@ 300 IN NS ns\n" + text
		if err := os.WriteFile(filepath.Join(dir, name+".zone"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// answerOf asks, and returns the rcode and the answer's records, a line each.
func answerOf(t *testing.T, addr, name string, qtype uint16, recursion bool) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = recursion
	r, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(m, addr)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{dns.RcodeToString[r.Rcode]}
	for _, rr := range r.Answer {
		lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
	}
	return strings.Join(lines, "\n")
}

// Targets of others are looked up through CoreDNS itself when recursion is desired; what the next plugin has, and what
// another server block has below the zone, is found without.
func TestAliasOfOthers(t *testing.T) {
	dir := zoneFiles(t, map[string]string{
		"example.org":     "there 300 IN A 192.0.2.9\n",
		"example.net":     "www 300 IN A 192.0.2.2\nback 300 IN CNAME www.example.org.\nloop 300 IN CNAME loop.example.org.\n",
		"sub.example.org": "www 300 IN A 192.0.2.3\n",
	})
	text := strings.NewReplacer("DIR", dir, "EMBEDDED", storetest.FreePort(t), "CLOSED", storetest.FreePort(t)).Replace(aliasServer)
	inst := serve(t, text)
	defer stop(t, inst)
	addr := inst.Servers()[0].LocalAddr().String()
	const out, static = "out.example.org. 20 IN CNAME www.example.net.", "static.example.org. 20 IN CNAME there.example.org."
	for _, tc := range []struct {
		name      string
		qtype     uint16
		recursion bool
		want      string
	}{
		{"out.example.org.", dns.TypeA, true, "NOERROR\n" + out + "\nwww.example.net. 300 IN A 192.0.2.2"},
		{"out.example.org.", dns.TypeA, false, "NOERROR\n" + out},
		{"out.example.org.", dns.TypeMX, true, "NOERROR\n" + out},
		{"chain.example.org.", dns.TypeA, true, "NOERROR\nchain.example.org. 20 IN CNAME back.example.net.\n" +
			"back.example.net. 300 IN CNAME www.example.org.\nwww.example.org. 20 IN A 192.0.2.1"},
		{"none.example.org.", dns.TypeA, true, "NXDOMAIN\nnone.example.org. 20 IN CNAME nosuch.example.net."},
		{"dead.example.org.", dns.TypeA, true, "SERVFAIL\ndead.example.org. 20 IN CNAME www.example.com."},
		{"dead.example.org.", dns.TypeA, false, "NOERROR\ndead.example.org. 20 IN CNAME www.example.com."},
		{"nobody.example.org.", dns.TypeA, true, "NOERROR\nnobody.example.org. 20 IN CNAME www.example.edu."},
		{"static.example.org.", dns.TypeA, false, "NOERROR\n" + static + "\nthere.example.org. 300 IN A 192.0.2.9"},
		{"static.example.org.", dns.TypeAAAA, false, "NOERROR\n" + static},
		{"below.example.org.", dns.TypeA, false, "NOERROR\nbelow.example.org. 20 IN CNAME www.sub.example.org.\nwww.sub.example.org. 300 IN A 192.0.2.3"},
	} {
		if got := answerOf(t, addr, tc.name, tc.qtype, tc.recursion); got != tc.want {
			t.Errorf("%s %s, recursion %t: got\n%s\nwant\n%s", tc.name, dns.TypeToString[tc.qtype], tc.recursion, got, tc.want)
		}
	}
	// A loop over two server blocks comes to an end.
	if got := answerOf(t, addr, "loop.example.org.", dns.TypeA, true); !strings.Contains(got, "loop.example.org. 20 IN CNAME loop.example.net.") {
		t.Errorf("Got\n%s\nwant the CNAME of loop.example.org", got)
	}
}

// dns64 makes an IPv6 address of the target's.
func TestAliasBehindDNS64(t *testing.T) {
	inst := serve(t, strings.ReplaceAll(`example.org:0 {
	bind 127.0.0.1
	dns64 {
		allow_ipv4
	}
	farm {
		embedded 127.0.0.1:EMBEDDED
		service www.example.org {
			server a 192.0.2.1
		}
		service in.example.org {
			server x www.example.org
		}
	}
}
`, "EMBEDDED", storetest.FreePort(t)))
	defer stop(t, inst)
	want := "NOERROR\nin.example.org. 20 IN CNAME www.example.org.\nwww.example.org. 5 IN AAAA 64:ff9b::c000:201"
	if got := answerOf(t, inst.Servers()[0].LocalAddr().String(), "in.example.org.", dns.TypeAAAA, true); got != want {
		t.Errorf("Got\n%s\nwant\n%s", got, want)
	}
}

// A target's name server that does not answer holds the answer back for a few seconds, no longer than stub resolvers wait.
func TestAliasOfTheSilent(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	inst := serve(t, strings.NewReplacer("EMBEDDED", storetest.FreePort(t), "SILENT", silent.LocalAddr().String()).Replace(`example.org:0 {
	bind 127.0.0.1
	farm {
		embedded 127.0.0.1:EMBEDDED
		service out.example.org {
			server x www.example.com
		}
		service www.example.org {
			server a 192.0.2.1
		}
	}
}
example.com:0 {
	bind 127.0.0.1
	forward . SILENT
}
`))
	defer stop(t, inst)
	addr := inst.Servers()[0].LocalAddr().String()
	done := make(chan string)
	go func() { done <- answerOf(t, addr, "out.example.org.", dns.TypeA, true) }()
	// Others do not wait.
	if got := answerOf(t, addr, "www.example.org.", dns.TypeA, true); got != "NOERROR\nwww.example.org. 20 IN A 192.0.2.1" {
		t.Errorf("Got\n%s", got)
	}
	if got, want := <-done, "SERVFAIL\nout.example.org. 20 IN CNAME www.example.com."; got != want {
		t.Errorf("Got\n%s\nwant\n%s", got, want)
	}
}
