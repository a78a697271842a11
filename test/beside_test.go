package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestRecordsBeside starts the servers that docs/records.md shows, and asks them for what it says.
func TestRecordsBeside(t *testing.T) {
	t.Parallel()
	asked := map[string]string{
		"example.org MX":                       "MX 10 mail.example.net.",
		"example.org TXT":                      "v=spf1 mx -all",
		"_acme-challenge.apps.example.org TXT": "token",
		"www.example.org A":                    "192.0.2.1",
		"shop.apps.example.org A":              "192.0.2.11",
	}
	shown := 0
	for _, s := range snippets(t, "../docs/records.md") {
		if s.lang != "corefile" {
			continue
		}
		shown++
		text := serverBlock.ReplaceAllString(s.text, "$1:PORT {\n    bind 127.0.0.1")
		c := startCoreDNS(t, strings.ReplaceAll(text, ":6379", fmt.Sprint(":", freePort(t))))
		for q, want := range asked {
			name, qtype, _ := strings.Cut(q, " ")
			r := ask(t, c.addr, name, dns.StringToType[qtype])
			if len(r.Answer) != 1 || !strings.Contains(strings.Join(strings.Fields(r.Answer[0].String()), " "), want) {
				t.Errorf("docs/records.md:%d: %s: expected %q, got %v", s.line, q, want, r)
			}
		}
		if r := ask(t, c.addr, "www.example.org", dns.TypeMX); len(r.Answer) != 0 || len(r.Ns) != 1 || r.Rcode != dns.RcodeSuccess {
			t.Errorf("docs/records.md:%d: expected NODATA for www.example.org MX, got %v", s.line, r)
		}
		if strings.Contains(s.text, "file ") {
			if got := addresses(ask(t, c.addr, "static.apps.example.org", dns.TypeA)); len(got) != 1 || got[0] != "192.0.2.99" {
				t.Errorf("docs/records.md:%d: expected the file's static.apps.example.org, got %v", s.line, got)
			}
			if r := ask(t, c.addr, "example.org", dns.TypeCAA); len(r.Answer) != 1 {
				t.Errorf("docs/records.md:%d: expected the file's CAA record, got %v", s.line, r)
			}
		}
		c.stop()
	}
	if shown != 2 {
		t.Errorf("Expected docs/records.md to show two Corefiles, got %d", shown)
	}
}
