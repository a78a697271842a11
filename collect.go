package farm

import (
	"strconv"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/coredns/coredns/plugin"
	"github.com/prometheus/client_golang/prometheus"
)

// collector tells of the stores and of the picks when it is asked: nothing of it costs a query or a report anything.
type collector struct{}

func init() { prometheus.MustRegister(collector{}) }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(plugin.Namespace, pluginName, name), help, labels, nil)
}

var (
	picksDesc = describe("picks_total",
		"Counter of the answers that a server was part of.", "service", "server_id")
	connectedDesc = describe("store_connected",
		"Whether the services database is followed and was heard lately.", "store", "prefix")
	ageDesc = describe("snapshot_age_seconds",
		"Time since the services database was last heard.", "store", "prefix")
	lagDesc = describe("revision_lag",
		"Revisions that a shard of the services database was ahead at the last look.", "store", "prefix", "shard")
	servicesDesc = describe("services",
		"Services that the services database knows.", "store", "prefix")
	serversDesc = describe("servers",
		"Servers registered in the services database.", "store", "prefix")
	orphansDesc = describe("orphans",
		"Servers that the services database has lost and that are still served.", "store", "prefix")
	appliedDesc = describe("records_applied_total",
		"Counter of records taken from the services database, by kind.", "store", "prefix", "kind")
	rejectedDesc = describe("records_rejected_total",
		"Counter of records of the services database not taken, by reason.", "store", "prefix", "reason")
	resyncsDesc = describe("resyncs_total",
		"Counter of complete reads of a shard of the services database.", "store", "prefix")
	gapsDesc = describe("gaps_total",
		"Counter of complete reads that were due because a change stream did not go on.", "store", "prefix")
	grantsDesc = describe("grants",
		"Grants that stand or are asked for.", "store", "prefix")
	handlesDesc = describe("handles",
		"Handles that something is known of in the services database.", "store", "prefix")
	keysDesc = describe("keys",
		"Keys that sign handles.", "store", "prefix")
	asksDesc = describe("grant_asks_total",
		"Counter of requests for grants that were sent to the services database, by what became of them.", "store", "prefix", "outcome")
	targetsDesc = describe("targets",
		"Names that are answered as addresses, a question for each family, by what is known of them.", "state")
	conflictsDesc = describe("host_conflicts",
		"Servers whose names are answered with the addresses of another service's.")
	resolversDesc = describe("resolvers",
		"Resolvers of which predict remembers what load is behind them.")
	resolversRoomDesc = describe("resolvers_room",
		"Resolvers that there is room for.")
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		picksDesc, connectedDesc, ageDesc, lagDesc, servicesDesc, serversDesc, orphansDesc,
		appliedDesc, rejectedDesc, resyncsDesc, gapsDesc, resolversDesc, resolversRoomDesc, targetsDesc, conflictsDesc,
		grantsDesc, handlesDesc, keysDesc, asksDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Blocks may share a store, and at a reload two instances share everything:
// each is told of once.
func (collector) Collect(ch chan<- prometheus.Metric) {
	live.Lock()
	defer live.Unlock()
	told := make(map[[2]string]bool)
	snaps := make(map[*memory][]*steer.Snapshot)
	for db := range live.all {
		snaps[db.memory] = append(snaps[db.memory], db.view.Load())
		status := db.store.Status()
		labels := [2]string{status.Target, db.prefix}
		if !told[labels] {
			told[labels] = true
			collectStore(ch, &status, db.view.Now(), labels[:])
		}
	}
	collectPicks(ch, snaps)
	collectResolvers(ch, snaps)
	collectTargets(ch, snaps)
	collectConflicts(ch, snaps)
}

// maxConflicts bounds the conflicts that are counted.
const maxConflicts = 10_000

// collectConflicts counts each conflict once, whichever blocks answer for it.
func collectConflicts(ch chan<- prometheus.Metric, snaps map[*memory][]*steer.Snapshot) {
	found := make(map[steer.HostConflict]struct{})
	for _, list := range snaps {
		for _, snap := range list {
			for _, c := range snap.HostConflicts(maxConflicts) {
				found[c] = struct{}{}
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(conflictsDesc, prometheus.GaugeValue, float64(len(found)))
}

// collectTargets adds up what the memories of all blocks hold.
func collectTargets(ch chan<- prometheus.Metric, snaps map[*memory][]*steer.Snapshot) {
	states := map[string]int{"resolved": 0, "failing": 0, "unknown": 0}
	for m := range snaps {
		for _, t := range m.targets.load() {
			states[t.state()]++
		}
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(targetsDesc, prometheus.GaugeValue, float64(n), state)
	}
}

// collectResolvers adds up what the memories of all blocks hold.
func collectResolvers(ch chan<- prometheus.Metric, snaps map[*memory][]*steer.Snapshot) {
	tracked, room := 0, 0
	for m := range snaps {
		n, of := m.learned.Tracked()
		tracked, room = tracked+n, room+of
	}
	ch <- prometheus.MustNewConstMetric(resolversDesc, prometheus.GaugeValue, float64(tracked))
	ch <- prometheus.MustNewConstMetric(resolversRoomDesc, prometheus.GaugeValue, float64(room))
}

func collectStore(ch chan<- prometheus.Metric, s *store.Status, now int64, labels []string) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, more ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, append(labels[:2:2], more...)...)
	}
	connected := 0.0
	if s.Connected {
		connected = 1
	}
	send(connectedDesc, prometheus.GaugeValue, connected)
	if s.LastContact > 0 {
		send(ageDesc, prometheus.GaugeValue, float64(max(now-s.LastContact, 0))/1000)
	}
	for i, shard := range s.Shards {
		send(lagDesc, prometheus.GaugeValue, float64(shard.Behind), strconv.Itoa(i))
	}
	send(servicesDesc, prometheus.GaugeValue, float64(s.Services))
	send(serversDesc, prometheus.GaugeValue, float64(s.Servers))
	send(orphansDesc, prometheus.GaugeValue, float64(s.Orphans))
	for kind, n := range s.Applied {
		send(appliedDesc, prometheus.CounterValue, float64(n), kind)
	}
	for reason, n := range s.Rejected {
		send(rejectedDesc, prometheus.CounterValue, float64(n), reason)
	}
	send(resyncsDesc, prometheus.CounterValue, float64(s.Resyncs))
	send(gapsDesc, prometheus.CounterValue, float64(s.Gaps))
	send(grantsDesc, prometheus.GaugeValue, float64(s.Grants))
	send(handlesDesc, prometheus.GaugeValue, float64(s.Handles))
	send(keysDesc, prometheus.GaugeValue, float64(s.Keys))
	made := max(int64(s.Asks.Asked-s.Asks.Held-s.Asks.Refused), 0) // they are not read at one instant
	for outcome, n := range map[string]uint64{
		"made": uint64(made), "held": s.Asks.Held, "refused": s.Asks.Refused, "dropped": s.Asks.Dropped, "failed": s.Asks.Failed,
	} {
		send(asksDesc, prometheus.CounterValue, float64(n), outcome)
	}
}

// collectPicks adds up what several blocks picked of a service.
func collectPicks(ch chan<- prometheus.Metric, snaps map[*memory][]*steer.Snapshot) {
	sums := make(map[pickName]uint64)
	for m, s := range snaps {
		m.picks.collect(s, func(name pickName, n uint64) {
			if _, known := sums[name]; known || len(sums) < maxPicks {
				sums[name] += n
			}
		})
	}
	for name, n := range sums {
		ch <- prometheus.MustNewConstMetric(picksDesc, prometheus.CounterValue, float64(n), name.service, name.server)
	}
}
