package test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// TestSlotMigration moves the slot of a service from one node of a Cluster to another under lookups and reports, and
// pauses in the middle for longer than any lease.
func TestSlotMigration(t *testing.T) {
	t.Parallel()
	redis := storetest.StartCluster(t)
	db := dial(t, redis.URLs...)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	c := startOn(t, redis.URLs...)
	follows(t, c, db, a)
	asked := startProber(t, c.addr, service)
	asked.fresh(sample)

	m := migration{t: t, from: ownerOf(t, redis.Nodes, service), nodes: redis.Nodes}
	m.to = redis.Nodes[0]
	if m.to == m.from {
		m.to = redis.Nodes[1]
	}
	m.slot = m.from.Do("CLUSTER", "KEYSLOT", store.Keys(store.DefaultPrefix, service)[0])
	m.begin()
	m.move(3) // of the keys; what is asked of several of them is refused meanwhile
	asked.fresh(3 * probeRate)
	m.move(1 << 10)
	m.end()
	a.awaitHeard(t)
	follows(t, c, db, a)
	if ownerOf(t, redis.Nodes, service) != m.to {
		t.Errorf("Expected %s to hold the service", m.to.Addr)
	}
	asked.noneFailed()
}

// migration is that of one slot.
type migration struct {
	t        *testing.T
	nodes    []*storetest.Redis
	from, to *storetest.Redis
	slot     string
}

func (m *migration) begin() {
	m.to.Do("CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.from.Do("CLUSTER", "MYID"))
	m.from.Do("CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.to.Do("CLUSTER", "MYID"))
}

// move takes so many keys over, if there are as many.
func (m *migration) move(most int) {
	m.t.Helper()
	keys := strings.Fields(m.from.Do("CLUSTER", "GETKEYSINSLOT", m.slot, strconv.Itoa(most)))
	if len(keys) == 0 {
		m.t.Fatalf("Expected keys in slot %s of %s", m.slot, m.from.Addr)
	}
	host, port, _ := net.SplitHostPort(m.to.Addr)
	if out := m.from.Do(append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...); out != "OK" {
		m.t.Fatalf("MIGRATE: %s", out)
	}
}

func (m *migration) end() {
	for _, n := range append([]*storetest.Redis{m.to, m.from}, m.nodes...) {
		n.Do("CLUSTER", "SETSLOT", m.slot, "NODE", m.to.Do("CLUSTER", "MYID"))
	}
}
