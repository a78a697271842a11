package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const answersCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    prometheus METRICS
    farm {
        redis REDIS
        policy predict
        answers 1
        ttl 60
        slow_start 0s
    }
}
`

// TestToldAnswers has one of two replicas send many resolvers to one server. The other one, which nobody asked yet, then
// leaves that server out, although the servers report the same. When Redis is flushed and killed, no lookup fails.
func TestToldAnswers(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	db.server(service, "a", "192.0.2.1")
	db.busy(service, "a", 60, 0.3)
	start := func() *coredns {
		return startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "METRICS", local(freePort(t))).Replace(answersCorefile))
	}
	first, second := start(), start()
	awaitGiven(t, first.addr, service, "192.0.2.1")
	awaitGiven(t, second.addr, service, "192.0.2.1")
	began := time.Now()
	for i := range 40 {
		if got := givenTo(t, fmt.Sprintf("127.0.2.%d", i+1), first.addr); got != "192.0.2.1" {
			t.Fatalf("Expected the only server, got %q", got)
		}
	}
	await(t, "the second replica to take over answers of the first", func() bool {
		return strings.Contains(metricsOf(t, second), `coredns_farm_shared_total{kind="answers",outcome="taken"}`) &&
			!strings.Contains(metricsOf(t, second), `coredns_farm_shared_total{kind="answers",outcome="taken"} 0`)
	})
	t.Logf("told after %v", time.Since(began))
	db.busy(service, "b", 60, 0.3)
	db.server(service, "b", "192.0.2.2")
	awaitGiven(t, second.addr, "b."+service, "192.0.2.2")
	for i := range 10 {
		if got := givenTo(t, fmt.Sprintf("127.0.3.%d", i+1), second.addr); got != "192.0.2.2" {
			t.Errorf("Expected the second replica to leave out the server that the first one gave, got %q", got)
		}
	}

	asked := []*prober{startProber(t, first.addr, service), startProber(t, second.addr, service)}
	redis.Do("FLUSHALL")
	time.Sleep(2 * time.Second) // two exchanges
	redis.Kill()
	time.Sleep(2 * time.Second)
	for _, p := range asked {
		p.noneFailed()
	}
}

// givenTo returns the address that a resolver is given.
func givenTo(t *testing.T, from, addr string) string {
	t.Helper()
	c := dns.Client{Timeout: lookupTimeout, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}}
	r, _, err := c.Exchange(question(service, dns.TypeA), addr)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(addresses(r), " ")
}
