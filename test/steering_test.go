package test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// The clients behind each resolver: one resolver in ten has two fifths of them.
var clientsOf = []int{160, 60, 44, 34, 28, 22, 18, 14, 11, 9}

const (
	steeringSeed = 1
	steeringWarm = 55 * time.Second  // in which capacities and loads are learned; it counts for nobody
	steeringTime = 110 * time.Second // in which is measured
)

// steering asks for minutes of measuring, on a machine that does nothing else: beside other tests the servers of the farms
// are as uneven as the machine is.
var steering = flag.Bool("steering", false, "measure the policies side by side on real processes (TestSteering)")

// TestSteering puts the same clients, behind the same caching resolvers, before equal farms of unequal servers, one
// farm a policy and all at the same time, so that whatever disturbs one disturbs them all. It measures how evenly each
// policy utilises its servers.
func TestSteering(t *testing.T) {
	if !*steering {
		t.Skip("a measurement: go test -run TestSteering -v ./test -steering")
	}
	redis := storetest.Start(t).URL
	c := startCoreDNS(t, fmt.Sprintf(`example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis %s
    }
}
`, redis))
	var farms []*unequalFarm
	for i, policy := range []string{"predict", "headroom", "weighted", "roundrobin"} {
		farms = append(farms, newUnequalFarm(t, redis, policy, i))
	}
	for _, f := range farms {
		awaitGiven(t, c.addr, f.name, f.addrs()...)
	}
	resolvers := startResolvers(t, c.addr, clientsOf)
	for _, f := range farms {
		f.crowd = startCrowd(t, steeringSeed, resolvers, unequalTTL, f.name, f.port)
	}
	<-time.After(steeringWarm)
	measured := measure(farms, steeringTime)

	var table strings.Builder
	fmt.Fprintf(&table, "%-12s%8s%8s%10s%10s%10s\n", "policy", "mean", "p99", "busiest", "lookups", "requests")
	for i, f := range farms {
		f.close()
		f.crowd.noneFailed(t)
		e := measured[i]
		fmt.Fprintf(&table, "%-12s%8.2f%8.2f%9.0f%%%10d%10d\n", f.policy, mean(e.ratios), p99(e.ratios), 100*p99(e.busiest),
			f.crowd.lookups, f.crowd.requests)
	}
	t.Logf("the greatest utilisation of a server by the mean (mean and p99), and itself (p99), in windows of %v over %v:\n%s",
		window, steeringTime, &table)
	beats(t, measured[0], measured[2], farms[2].policy, 0.9)
	beats(t, measured[0], measured[3], farms[3].policy, 0.4)
}

// beats asserts that predict leaves at most so much of the unevenness that another policy leaves. What is asserted is
// far from what is measured, for a few minutes of a few clients are noisy.
func beats(t *testing.T, predict, other evenness, policy string, part float64) {
	t.Helper()
	if is, was := mean(predict.ratios)-1, mean(other.ratios)-1; is > part*was {
		t.Errorf("Expected predict to be %.1f times as uneven as %s at most, got %.2f over even, and %.2f", part, policy, is, was)
	}
}
