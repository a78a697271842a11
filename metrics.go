package farm

import (
	"context"
	"sync/atomic"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/metrics"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what became of a query.
type outcome uint8

const (
	outcomeNext outcome = iota // handed to the next plugin
	outcomeAnswer
	outcomeNoData
	outcomeNXDomain
	outcomeRewritten // the next plugin's answer, steered
	outcomePassed    // the next plugin's answer as it was
	outcomeRefused
	outcomeFormErr
	outcomeNotImplemented
	outcomeServFail
	outcomes
)

var outcomeNames = [outcomes]string{
	"next", "answer", "nodata", "nxdomain", "rewritten", "passed", "refused", "formerr", "notimp", "servfail",
}

// rcode is what the server is to reply where farm wrote nothing.
func (o outcome) rcode() int {
	switch o {
	case outcomeRefused:
		return dns.RcodeRefused
	case outcomeFormErr:
		return dns.RcodeFormatError
	case outcomeNotImplemented:
		return dns.RcodeNotImplemented
	}
	return dns.RcodeServerFailure
}

// counterVec makes counters of farm, and has them told.
func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.NewCounterVec(prometheus.CounterOpts{Namespace: plugin.Namespace, Subsystem: pluginName, Name: name, Help: help}, labels)
}

var (
	requestsTotal = counterVec("requests_total",
		"Counter of queries in the zones of farm, by what became of them.", "server", "zone", "view", "outcome")

	ladderTotal = counterVec("ladder_total",
		"Counter of decisions, by how far down the ladder they went.", "rung")

	methodsTotal = counterVec("methods_total",
		"Counter of decisions, by what they went by: the policy, or under predict the steps down from it.", "method")

	sharedTotal = counterVec("shared_total",
		"Counter of what other replicas said of the resolvers of a service, by what it was and by whether it could be read.", "kind", "outcome")

	entitlementsTotal = counterVec("entitlements_total",
		"Counter of lookups that ask for a level or have one, by how the client has shown who it is, and by what it may have.", "origin", "outcome")

	grantRequestsTotal = counterVec("grant_requests_total",
		"Counter of requests for grants that lookups gave rise to, by what became of them before they left.", "outcome")

	targetLookupsTotal = counterVec("target_lookups_total",
		"Counter of lookups, in the background, of names that are answered as addresses, by whether they were answered.", "outcome")

	decisionSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Namespace: plugin.Namespace,
		Subsystem: pluginName,
		Name:      "decision_duration_seconds",
		Help:      "Histogram of the time that a decision takes; one in 16 is timed.",
		// From 100 ns: a decision takes less than a microsecond.
		Buckets:                     prometheus.ExponentialBuckets(1e-7, 2, 14),
		NativeHistogramBucketFactor: plugin.NativeHistogramBucketFactor,
	})
)

// sampled is how many decisions one is timed of: reading the clock costs a tenth of a decision.
const sampled = 16

// rungs holds the counters of the rungs, so that no query looks one up.
var rungs = func() (c [steer.Rungs]prometheus.Counter) {
	for i := range c {
		c[i] = ladderTotal.WithLabelValues(steer.Rung(i).String())
	}
	return c
}()

// methods holds those of the methods.
var methods = func() (c [steer.ByGrant + 1]prometheus.Counter) {
	for i := range c {
		c[i] = methodsTotal.WithLabelValues(steer.Method(i).String())
	}
	return c
}()

// entitlements holds those of what clients may have, by origin.
var entitlements = func() (c [origins]struct{ entitled, lower, refused, unknown prometheus.Counter }) {
	for i := range c {
		c[i].entitled = entitlementsTotal.WithLabelValues(originNames[i], "entitled")
		c[i].lower = entitlementsTotal.WithLabelValues(originNames[i], "lower")
		c[i].refused = entitlementsTotal.WithLabelValues(originNames[i], "refused")
		c[i].unknown = entitlementsTotal.WithLabelValues(originNames[i], "unknown")
	}
	return c
}()

// filed holds those of requests for grants.
var filed = struct{ filed, limited, spoofable, dropped prometheus.Counter }{
	grantRequestsTotal.WithLabelValues("filed"),
	grantRequestsTotal.WithLabelValues("limited"),
	grantRequestsTotal.WithLabelValues("spoofable"),
	grantRequestsTotal.WithLabelValues("dropped"),
}

var (
	targetsResolved = targetLookupsTotal.WithLabelValues("resolved")
	targetsFailed   = targetLookupsTotal.WithLabelValues("failed")
)

var (
	sharedLoads   = newSharedCounters("loads")
	sharedAnswers = newSharedCounters("answers")
)

// sharedCounters count what other replicas said, of one kind.
type sharedCounters struct{ taken, rejected prometheus.Counter }

func newSharedCounters(kind string) sharedCounters {
	return sharedCounters{sharedTotal.WithLabelValues(kind, "taken"), sharedTotal.WithLabelValues(kind, "rejected")}
}

// count counts what could be read, or could not.
func (c sharedCounters) count(err error) {
	if err != nil {
		c.rejected.Inc()
		return
	}
	c.taken.Inc()
}

// counters are the request counters of one zone, by the server and view that the query came through: a short list, for
// a block serves few. They are resolved by the first query of each.
type counters struct{ first atomic.Pointer[counterSet] }

type counterSet struct {
	server, view string
	by           [outcomes]prometheus.Counter
	next         *counterSet
}

func (c *counters) count(ctx context.Context, zone string, o outcome) {
	server, view := metrics.WithServer(ctx), metrics.WithView(ctx)
	for s := c.first.Load(); s != nil; s = s.next {
		if s.server == server && s.view == view {
			s.by[o].Inc()
			return
		}
	}
	c.resolve(server, zone, view).by[o].Inc()
}

// resolve adds a set. Of two that are added at once both count into the same counters.
func (c *counters) resolve(server, zone, view string) *counterSet {
	s := &counterSet{server: server, view: view}
	for o := range s.by {
		s.by[o] = requestsTotal.WithLabelValues(server, zone, view, outcomeNames[o])
	}
	for {
		s.next = c.first.Load()
		if c.first.CompareAndSwap(s.next, s) {
			return s
		}
	}
}
