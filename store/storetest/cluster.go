package storetest

import (
	"os/exec"
	"strings"
	"testing"
)

// Cluster is a Redis Cluster of masters without replicas.
type Cluster struct {
	URLs  []string
	Nodes []*Redis
}

// StartCluster starts three nodes, joins them and waits until all slots are served.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := new(Cluster)
	args := []string{"--cluster", "create"}
	for range 3 {
		n := Start(t, "--cluster-enabled", "yes", "--cluster-port", FreePort(t), "--cluster-node-timeout", "2000")
		c.Nodes = append(c.Nodes, n)
		c.URLs = append(c.URLs, n.URL)
		args = append(args, n.Addr)
	}
	out, err := exec.Command(binary(t, "redis-cli"), append(args, "--cluster-yes")...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli --cluster create: %s: %s", err, out)
	}
	for _, n := range c.Nodes {
		Eventually(t, "the cluster serves all slots", func() bool {
			info := n.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return c
}
