package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

// TestReplicaKilled kills one of two CoreDNS replicas again and again. Clients that ask the other one when the first
// does not answer, as resolvers do, have no failed lookup, whether the killed one comes back with a state file or
// without, and whether the database is there or hangs.
func TestReplicaKilled(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
		db.report(service, id, 0.3)
	}
	db.down(service, "web3")
	state := filepath.Join(t.TempDir(), "farm.state")
	corefile := strings.NewReplacer("REDIS", redis.URL, "STATE", state).Replace(stateCorefile)
	victim, other := startCoreDNS(t, corefile), startOn(t, redis.URL)
	awaitGiven(t, victim.addr, service, "192.0.2.1", "192.0.2.2")
	awaitGiven(t, other.addr, service, "192.0.2.1", "192.0.2.2")
	await(t, "the state file", func() bool { _, err := os.Stat(state); return err == nil })
	asked := startSteady(t, of(victim.addr).orElse(of(other.addr)), service)
	asked.more(sample)

	for _, next := range []struct {
		name                       string
		withState, databaseIsThere bool
	}{
		{"with state", true, true},
		{"without state", false, true},
		{"with state, database hangs", true, false},
		{"without state, database hangs", false, false},
	} {
		t.Log(next.name)
		victim.kill()
		asked.more(sample)
		if !next.databaseIsThere {
			redis.Stop()
		}
		if !next.withState {
			rename(t, state, state+".away")
		}
		victim.again()
		comesBack(t, victim, next.withState)
		asked.more(sample)
		if !next.databaseIsThere {
			redis.Cont()
		}
		awaitGiven(t, victim.addr, service, "192.0.2.1", "192.0.2.2")
		if !next.withState {
			rename(t, state+".away", state)
		}
	}
	asked.noneFailed()
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// comesBack asserts what the first answer is of a replica that has just been started: with state, the one from before
// the kill; without, that one or SERVFAIL, of which resolvers go on to somebody else. NXDOMAIN they would believe.
func comesBack(t *testing.T, c *coredns, withState bool) {
	t.Helper()
	r := ask(t, c.addr, service, dns.TypeA)
	got := addresses(r)
	slices.Sort(got)
	if !slices.Equal(got, []string{"192.0.2.1", "192.0.2.2"}) && (withState || r.Rcode != dns.RcodeServerFailure) {
		t.Errorf("Expected the answer from before the kill at once, got %s with %v", dns.RcodeToString[r.Rcode], got)
	}
}
