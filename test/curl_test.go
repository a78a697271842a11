package test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// TestCurl: curl resolves a service over DNS over HTTPS and reaches the server that is in service, by the address records. (Debian's
// curl does not ask for HTTPS records.)
func TestCurl(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served ", r.Host) }))
	defer web.Close()
	_, port, _ := net.SplitHostPort(web.Listener.Addr().String())
	files, doh, embedded := storetest.NewTLS(t), freePort(t), freePort(t)
	const service = `
    farm {
        embedded 127.0.0.1:%d
        service www.example.org {
            server out 192.0.2.1 port 443
            server in 127.0.0.1 port 443
        }
    }
`
	c := startCoreDNS(t, fmt.Sprintf("https://example.org:%d {\nbind 127.0.0.1\ntls %s %s\nerrors\n%s}\nexample.org:PORT {\nbind 127.0.0.1\nerrors\n%s}\n",
		doh, files.Cert, files.Key, fmt.Sprintf(service, embedded), fmt.Sprintf(service, embedded)))
	dial(t, fmt.Sprintf("redis://127.0.0.1:%d", embedded)).admin("www.example.org.", "out", steer.Maint)
	awaitGiven(t, c.addr, "www.example.org.", "127.0.0.1")
	out, err := exec.Command("curl", "--silent", "--show-error", "--max-time", "20", "--cacert", files.CA,
		"--doh-url", fmt.Sprintf("https://127.0.0.1:%d/dns-query", doh), "http://www.example.org:"+port+"/").CombinedOutput()
	if want := "served www.example.org:" + port; err != nil || string(out) != want {
		t.Errorf("Expected %q, got %q, %v", want, out, err)
	}
	if r := ask(t, c.addr, "www.example.org.", dns.TypeHTTPS); len(r.Answer) != 1 || r.Answer[0].(*dns.HTTPS).Target != "." {
		t.Errorf("Expected one HTTPS record of the name itself, got %v", r.Answer)
	}
}
