package test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

const service = "www.example.org."

// The servers of the service. What is asked here is what is answered, so nobody needs to stand at the addresses.
var threeServers = map[string]string{"web1": "192.0.2.1", "web2": "192.0.2.2", "web3": "192.0.2.3"}

// startOn starts CoreDNS on a services database alone.
func startOn(t testing.TB, urls ...string) *coredns {
	return startCoreDNS(t, fmt.Sprintf("example.org:PORT {\n    bind 127.0.0.1\n    errors\n    farm {\n        redis %s\n    }\n}\n",
		strings.Join(urls, " ")))
}

// follows is the core of the job: answers follow the reports, the operator, and death.
func follows(t *testing.T, c *coredns, db *database, a *agents) {
	t.Helper()
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")

	a.set("web1", func(r *reported) { r.utilization = 1.2 })
	awaitGiven(t, c.addr, service, "192.0.2.2", "192.0.2.3")
	a.set("web1", func(r *reported) { r.utilization = 0.3 })
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")

	db.admin(service, "web2", steer.Drain)
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.3")
	db.admin(service, "web2", steer.Ready)
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")

	back := a.silence("web3")
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	back()
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
}

// TestSentinel loses the master, and then the one that took over, under lookups.
func TestSentinel(t *testing.T) {
	t.Parallel()
	redis := storetest.StartSentinel(t)
	db := dial(t, redis.URL)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	c := startOn(t, redis.URL)
	follows(t, c, db, a)

	asked := startProber(t, c.addr, service)
	first := redis.Master()
	first.Do("WAIT", "1", "5000")
	first.Kill()
	await(t, "the Sentinel to fail over", func() bool { return redis.Master() != first })
	a.awaitHeard(t)
	follows(t, c, db, a)

	first.Restart()
	second := redis.Master()
	await(t, "the old master to follow the new one", func() bool {
		return strings.Contains(second.Do("INFO", "replication"), "state=online")
	})
	second.Do("WAIT", "1", "5000")
	second.Kill()
	await(t, "the Sentinel to fail over again", func() bool { return redis.Master() != second })
	a.awaitHeard(t)
	follows(t, c, db, a)
	asked.noneFailed()
}

// TestCluster has three masters, one of them with a replica. It loses the one with the replica, and then the replica
// that took over, under lookups of a service that both held.
func TestCluster(t *testing.T) {
	t.Parallel()
	redis := storetest.StartCluster(t)
	db := dial(t, redis.URLs...)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	c := startOn(t, redis.URLs...)
	// A service in each shard or so: every node has some.
	for i := range store.Shards {
		name := fmt.Sprintf("s%d.example.org.", i)
		db.service(name)
		db.server(name, "web1", fmt.Sprintf("198.51.100.%d", i+1))
	}
	follows(t, c, db, a)

	owner := ownerOf(t, redis.Nodes, service)
	replica := addReplica(t, redis, owner)
	asked := startProber(t, c.addr, service)
	owner.Do("WAIT", "1", "5000")
	owner.Kill()
	await(t, "the replica to take over", func() bool {
		return strings.Contains(replica.Do("ROLE"), "master")
	})
	a.awaitHeard(t)
	follows(t, c, db, a)

	// Nobody stands in for this one. Its services stay as they were, whatever the Cluster says of itself, until it is
	// back; and then it has forgotten everything.
	replica.Kill()
	asked.awaitStale()
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	for i := range store.Shards {
		name := fmt.Sprintf("s%d.example.org.", i)
		awaitGiven(t, c.addr, name, fmt.Sprintf("198.51.100.%d", i+1))
	}
	owner.Restart()
	replica.Restart()
	a.awaitHeard(t)
	follows(t, c, db, a)
	asked.noneFailed()
}

// ownerOf returns the node that holds a service.
func ownerOf(t *testing.T, nodes []*storetest.Redis, service string) *storetest.Redis {
	t.Helper()
	key := store.Keys(store.DefaultPrefix, service)[0]
	for _, n := range nodes {
		if n.Do("EXISTS", key) == "1" {
			return n
		}
	}
	t.Fatalf("Expected a node to hold %s", key)
	return nil
}

// addReplica gives a node of a Cluster a replica, and waits until it could take over.
func addReplica(t *testing.T, redis *storetest.Cluster, master *storetest.Redis) *storetest.Redis {
	t.Helper()
	replica := storetest.Start(t, "--cluster-enabled", "yes", "--cluster-port", storetest.FreePort(t),
		"--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(master.Addr)
	out, err := exec.Command("redis-cli", "-h", host, "-p", port, "--cluster", "add-node", replica.Addr, master.Addr,
		"--cluster-slave", "--cluster-master-id", master.Do("CLUSTER", "MYID")).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli --cluster add-node: %v\n%s", err, out)
	}
	await(t, "the replica to be in step", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
	for _, n := range redis.Nodes {
		await(t, "every node to know the replica", func() bool {
			return strings.Count(n.Do("CLUSTER", "NODES"), "slave") == 1
		})
	}
	return replica
}
