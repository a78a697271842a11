package main

import (
	"math"
	"time"
)

// unitCosts is what an extrapolation starts from.
type unitCosts struct {
	write, pass, octets float64 // of Redis: us a report, us and octets a report and replica
	apply, heap         float64 // of a replica: us a report, octets a server
	stored, start       float64 // octets of Redis and seconds of a replica's start, a server
}

// measuredBy takes the largest farm, and the higher rate: what is extrapolated to has more of both.
func measuredBy(sizes []scale, f []fanout) unitCosts {
	s, o := sizes[len(sizes)-1], f[len(f)-1]
	return unitCosts{o.Write, o.Pass, o.Octets, s.ReplicaCost, s.Heap, s.RedisOctets, s.Start / float64(s.Servers)}
}

// deployment is servers whose reports go through one database to replicas that all hold all of them.
type deployment struct {
	servers, replicas int
	interval          time.Duration // of the reports of a server
}

// busy is the part of a core that a process of Redis is planned for: the rest is for bursts and complete reads.
const busy = 0.5

// demand is what a deployment takes.
type demand struct {
	Reports float64 `json:"reports_per_second"`
	// Cores of processes of Redis that take reports, of those that pass them on, and of each replica.
	WriteCores float64 `json:"redis_cores_to_take"`
	PassCores  float64 `json:"redis_cores_to_pass_on"`
	ApplyCores float64 `json:"cores_of_a_replica"`
	// Processes of Redis: masters, and followers that replicas read from; both at half a core.
	Masters   int `json:"masters"`
	Followers int `json:"followers"`
	// Network, in octets a second: into each replica, and out of the database.
	In  float64 `json:"octets_per_second_into_a_replica"`
	Out float64 `json:"octets_per_second_out_of_redis"`
	// Memory in octets, of a replica's heap and of each copy of the database; and seconds until a replica has started.
	Heap   float64 `json:"replica_octets"`
	Stored float64 `json:"redis_octets"`
	Start  float64 `json:"start_seconds"`
}

// extrapolate multiplies: everything measured grows in proportion to reports, to servers, or to both and replicas.
func (m unitCosts) extrapolate(d deployment) demand {
	servers, replicas := float64(d.servers), float64(d.replicas)
	reports := servers / d.interval.Seconds()
	x := demand{
		Reports: reports, WriteCores: reports * m.write / 1e6, PassCores: reports * replicas * m.pass / 1e6,
		ApplyCores: reports * m.apply / 1e6, In: reports * m.octets, Out: reports * replicas * m.octets,
		Heap: servers * m.heap, Stored: servers * m.stored, Start: servers * m.start,
	}
	x.Masters = max(1, int(math.Ceil(x.WriteCores/busy)))
	x.Followers = int(math.Ceil(x.PassCores / busy))
	return x
}

// The deployment that is asked for: everything in one place, and divided, so that each part's replicas hold that part
// alone.
const (
	manyServers  = 1_000_000
	manyReplicas = 1000
	parts        = 20
)

// intervals are those that are compared: the agents' default, and longer ones.
var intervals = []time.Duration{agentInterval, 10 * time.Second, 30 * time.Second}

// deployments are the whole at every interval, and then one of its parts.
func deployments() (all []deployment) {
	for _, share := range []int{1, parts} {
		for _, i := range intervals {
			all = append(all, deployment{manyServers / share, manyReplicas / share, i})
		}
	}
	return all
}
