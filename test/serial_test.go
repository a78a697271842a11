package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// serialOf asks for a zone's SOA.
func serialOf(t *testing.T, c *coredns) uint32 {
	t.Helper()
	r := ask(t, c.addr, "example.org.", dns.TypeSOA)
	if len(r.Answer) != 1 {
		t.Fatalf("Expected one SOA, got %v", r)
	}
	return r.Answer[0].(*dns.SOA).Serial
}

// TestSerialOfReplicas: two replicas of one database show the same serial, whichever was started when.
func TestSerialOfReplicas(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.server("www.example.org.", "web1", "192.0.2.1")
	corefile := fmt.Sprintf("example.org:PORT {\n bind 127.0.0.1\n errors\n farm {\n redis %s\n }\n}\n", redis.URL)
	first, second := startCoreDNS(t, corefile), startCoreDNS(t, corefile)
	both := []*coredns{first, second}
	for _, c := range both {
		awaitGiven(t, c.addr, "www.example.org.", "192.0.2.1")
	}
	begun := serialOf(t, first)
	if got := serialOf(t, second); got != begun {
		t.Errorf("Expected one serial, got %d and %d", begun, got)
	}

	second.kill()
	awaitNextSecond(t, redis)
	db.report("www.example.org.", "web1", 0.5)
	second.again()
	awaitGiven(t, second.addr, "www.example.org.", "192.0.2.1")
	if a, b := serialOf(t, first), serialOf(t, second); a != begun || b != begun {
		t.Errorf("Expected the serial %d after a restart and a report, got %d and %d", begun, a, b)
	}

	db.server("www.example.org.", "web2", "192.0.2.2")
	for _, c := range both {
		awaitGiven(t, c.addr, "www.example.org.", "192.0.2.1", "192.0.2.2")
	}
	if a, b := serialOf(t, first), serialOf(t, second); a <= begun || a != b {
		t.Errorf("Expected one serial above %d after an edit, got %d and %d", begun, a, b)
	}
}

// awaitNextSecond waits until Redis's clock shows another second: edits of one second have one serial.
func awaitNextSecond(t *testing.T, redis *storetest.Redis) {
	t.Helper()
	second := func() string { return strings.Fields(redis.Do("TIME"))[0] }
	now := second()
	await(t, "the next second of Redis's clock", func() bool { return second() != now })
}
