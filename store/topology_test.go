package store_test

import (
	"testing"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

func TestSentinelFailover(t *testing.T) {
	s := storetest.StartSentinel(t)
	f := startFleet(t, store.Config{URLs: []string{s.URL}})
	old := s.Master()
	old.Kill()
	storetest.Eventually(t, "the replica is master", func() bool { return s.Master() != old })
	f.follows()
}

func TestSentinelMasterHangs(t *testing.T) {
	s := storetest.StartSentinel(t)
	f := startFleet(t, store.Config{URLs: []string{s.URL}})
	old := s.Master()
	old.Stop()
	storetest.Eventually(t, "the replica is master", func() bool { return s.Master() != old })
	f.follows()
	old.Cont()
	f.follows()
}

func TestCluster(t *testing.T) {
	c := storetest.StartCluster(t)
	f := startFleet(t, store.Config{URLs: c.URLs})
	f.follows()
	for i, sh := range f.store.Status().Shards {
		if !sh.Synced {
			t.Errorf("shard %d is not followed", i)
		}
	}
}

func TestClusterByOneURL(t *testing.T) {
	c := storetest.StartCluster(t)
	f := startFleet(t, store.Config{URLs: []string{c.URLs[0] + "?cluster=true"}})
	f.follows()
}

// A node that is gone takes its shards' changes with it, and nothing else.
func TestClusterNodeRestarts(t *testing.T) {
	c := storetest.StartCluster(t)
	f := startFleet(t, store.Config{URLs: c.URLs})
	for _, n := range c.Nodes {
		n.Stop()
	}
	f.awaitStale()
	f.allOpen()
	for _, n := range c.Nodes {
		n.Cont()
	}
	f.follows()
}

func TestTLS(t *testing.T) {
	r := storetest.StartTLS(t)
	f := startFleet(t, store.Config{URLs: []string{r.URL}})
	f.follows()
}
