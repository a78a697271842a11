package storetest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// Sentinel is a master with one replica, and a Sentinel that watches them and fails over when the master is gone for
// half a second.
type Sentinel struct {
	URL      string   // redis+sentinel://
	Nodes    []*Redis // the master at the start, and its replica
	Sentinel *Redis
}

// StartSentinel starts all three and waits until the Sentinel knows the replica.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	s := &Sentinel{Nodes: []*Redis{master, replica}, Sentinel: startSentinel(t, host, port)}
	s.URL = "redis+sentinel://" + s.Sentinel.Addr + "/farm"
	Eventually(t, "the replica is in step", func() bool {
		return strings.Contains(replica.Do("INFO", "replication"), "master_link_status:up")
	})
	Eventually(t, "the Sentinel knows the replica", func() bool {
		return strings.Contains(s.Sentinel.Do("SENTINEL", "REPLICAS", "farm"), replica.Addr)
	})
	return s
}

func startSentinel(t testing.TB, host, port string) *Redis {
	t.Helper()
	r := &Redis{t: t, dir: t.TempDir()}
	own := FreePort(t)
	r.Addr = net.JoinHostPort("127.0.0.1", own)
	r.URL = "redis://" + r.Addr
	conf := writeFile(t, r.dir, "sentinel.conf", fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\n"+
		"sentinel monitor farm %s %s 1\nsentinel down-after-milliseconds farm 500\n"+
		"sentinel failover-timeout farm 3000\nsentinel parallel-syncs farm 1\n", own, r.dir, host, port))
	r.args = []string{conf, "--sentinel"}
	r.begin()
	return r
}

// Master asks the Sentinel which of the nodes is the master.
func (s *Sentinel) Master() *Redis {
	s.Sentinel.t.Helper()
	addr := strings.Fields(s.Sentinel.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "farm"))
	for _, n := range s.Nodes {
		if len(addr) == 2 && net.JoinHostPort(addr[0], addr[1]) == n.Addr {
			return n
		}
	}
	s.Sentinel.t.Fatalf("the Sentinel names %v as master", addr)
	return nil
}
