package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// coredns is a running CoreDNS.
type coredns struct {
	*process
	addr string // of its DNS server
	conf string // its Corefile
}

// startCoreDNS starts CoreDNS from a Corefile in which PORT stands for its port, and waits until it answers. A server
// block is bound to 127.0.0.1 by its own bind property.
func startCoreDNS(t testing.TB, corefile string) *coredns {
	t.Helper()
	port := freePort(t)
	conf := filepath.Join(t.TempDir(), "Corefile")
	c := &coredns{addr: local(port), conf: conf}
	c.write(t, corefile)
	c.process = start(t, "coredns", command(t, "coredns"), "-conf", conf)
	c.awaitAnswer()
	return c
}

// write replaces the Corefile. The server sees it when it is told to, or by its reload plugin.
func (c *coredns) write(t testing.TB, corefile string) {
	t.Helper()
	_, port, _ := strings.Cut(c.addr, ":")
	if err := os.WriteFile(c.conf, []byte(strings.ReplaceAll(corefile, "PORT", port)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// again starts the same server anew, after it has ended.
func (c *coredns) again() {
	c.t.Helper()
	c.process = start(c.t, "coredns", command(c.t, "coredns"), "-conf", c.conf)
	c.awaitAnswer()
}

// awaitAnswer waits until the server answers whatever it may.
func (c *coredns) awaitAnswer() {
	c.t.Helper()
	await(c.t, "CoreDNS to answer", func() bool {
		if c.ended() {
			c.t.Fatalf("Expected CoreDNS to run, it ended: %v\n%s", c.err, c.log.String())
		}
		_, err := exchange(c.addr, question("version.bind.", dns.TypeTXT))
		return err == nil
	})
}
