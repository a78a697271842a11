package farm

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// families are the metrics of farm.
func families(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]*dto.MetricFamily)
	for _, mf := range all {
		if strings.HasPrefix(mf.GetName(), "coredns_farm_") {
			ours[mf.GetName()] = mf
		}
	}
	return ours
}

// value is the sum of the metrics of a family that have the label value.
func value(mf *dto.MetricFamily, label string) (sum float64) {
	for _, m := range mf.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// started starts a block as caddy does, on a real Redis.
func started(t *testing.T, block string) *Farm {
	t.Helper()
	c := caddy.NewTestController("dns", block)
	conf, err := parse(c)
	if err != nil {
		t.Fatal(err)
	}
	f := newFarm(conf)
	if err := f.start(dnsserver.GetConfig(c)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.stop() })
	return f
}

// A server that comes, reports, and is drained in a real Redis is seen in the answers, in ready and in the metrics.
func TestOnRedis(t *testing.T) {
	redis := storetest.Start(t)
	f := started(t, fmt.Sprintf("farm metrics.test {\nredis %s\nservice www.metrics.test {\nserver a 192.0.2.1\n}\n}", redis.URL))
	second := started(t, fmt.Sprintf("farm metrics.test {\nredis %s\n}", redis.URL))
	if f.db.store != second.db.store || f.memory != second.memory {
		t.Error("Two blocks of one database and one zone do not share")
	}
	storetest.Eventually(t, "ready", f.Ready)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := store.Dial([]string{redis.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const service = "www.metrics.test."
	server := steer.Server{ID: "b", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}}
	if _, err := c.PutServer(ctx, service, server, store.ByOperator); err != nil {
		t.Fatal(err)
	}
	full := 2.0
	storetest.Eventually(t, "both servers", func() bool { return answered(t, f) == "192.0.2.1 192.0.2.2" })
	if _, err := c.Report(ctx, store.Report{Service: service, ID: "b", Utilization: &full, Lease: 60}); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the full one left out", func() bool { return answered(t, f) == "192.0.2.1" })

	got := families(t)
	for name, want := range map[string]string{
		"coredns_farm_picks_total": "b", "coredns_farm_requests_total": "answer", "coredns_farm_ladder_total": "normal",
		"coredns_farm_store_connected": "farm", "coredns_farm_servers": "farm", "coredns_farm_services": "farm",
		"coredns_farm_records_applied_total": "report", "coredns_farm_resyncs_total": "farm",
	} {
		if value(got[name], want) == 0 {
			t.Errorf("%s of %s is 0", name, want)
		}
	}
	for _, name := range []string{"snapshot_age_seconds", "revision_lag", "gaps_total", "orphans", "decision_duration_seconds"} {
		if got["coredns_farm_"+name] == nil {
			t.Errorf("There is no coredns_farm_%s", name)
		}
	}
	// Of a server that is gone, nothing is told any more.
	if _, err := c.DeleteServer(ctx, service, "b"); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the picks of b forgotten", func() bool { return value(families(t)["coredns_farm_picks_total"], "b") == 0 })
}

// answered lists the addresses of an answer, sorted.
func answered(t *testing.T, f *Farm) string {
	t.Helper()
	m, _ := ask(t, f, question("www.metrics.test.", dns.TypeA), "")
	var list []string
	for _, rr := range m.Answer {
		list = append(list, rr.(*dns.A).A.String())
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestMetricNames(t *testing.T) {
	var ours []*dto.MetricFamily
	for _, mf := range families(t) {
		ours = append(ours, mf)
	}
	if len(ours) == 0 {
		t.Fatal("No metrics")
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	f := newTestFarm(t, "farm counted.test {\nservice www.counted.test {\nserver a 192.0.2.1\n}\n}")
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"www.counted.test.", dns.TypeA, "answer"}, {"www.counted.test.", dns.TypeMX, "nodata"},
		{"x.counted.test.", dns.TypeA, "nxdomain"}, {"counted.test.", dns.TypeAXFR, "refused"},
	} {
		before := counted(t, tc.want)
		ask(t, f, question(tc.name, tc.qtype), "")
		ask(t, f, question(tc.name, tc.qtype), "")
		if n := counted(t, tc.want) - before; n != 2 {
			t.Errorf("%s: got %v, want 2", tc.want, n)
		}
	}
}

// counted is how many requests of counted.test had an outcome.
func counted(t *testing.T, outcome string) (n float64) {
	t.Helper()
	for _, m := range families(t)["coredns_farm_requests_total"].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["zone"] == "counted.test." && labels["outcome"] == outcome {
			n += m.GetCounter().GetValue()
		}
	}
	return n
}

func TestPicksAreBounded(t *testing.T) {
	var p picks
	farm := steer.Build(steer.Input{Service: steer.Service{Name: "a."}})
	for i := range maxPicks + 100 {
		s := &steer.Server{ID: fmt.Sprintf("s%d", i)}
		p.counter(s, pickName{"a.", s.ID}).Add(1)
	}
	if len(p.byName) != maxPicks {
		t.Errorf("Got %d counters, want %d", len(p.byName), maxPicks)
	}
	p.collect([]*steer.Snapshot{steer.NewSnapshot([]*steer.Farm{farm}, nil)}, func(name pickName, _ uint64) {
		t.Errorf("Told of %v, which is gone", name)
	})
	if len(p.byName) != 0 {
		t.Errorf("Kept %d counters of servers that are gone", len(p.byName))
	}
}

// With more servers than are counted, picks wait for nobody; and once somebody has looked, an edited server counts again.
func TestPicksBeyondTheBoundTakeNoLock(t *testing.T) {
	var p picks
	farm := &steer.Farm{Service: steer.Service{Name: "a."}}
	for i := range 2*maxPicks + 1 {
		farm.Servers = append(farm.Servers, &steer.Server{ID: fmt.Sprintf("s%d", i)})
	}
	pick := steer.Pick{N: 1}
	for i := range farm.Servers {
		pick.Servers[0] = int32(i)
		if i == 2*maxPicks {
			p.mu.Lock() // a pick that waited for it would never end
		}
		p.add(farm, &pick)
	}
	p.mu.Unlock()
	p.collect([]*steer.Snapshot{steer.NewSnapshot([]*steer.Farm{steer.Build(inputOf("a.", "s0"))}, nil)}, func(pickName, uint64) {})
	edited := &steer.Farm{Service: farm.Service, Servers: []*steer.Server{{ID: "s0", Weight: new(2.0)}}}
	pick.Servers[0] = 0
	p.add(edited, &pick)
	if n := p.byName[pickName{"a.", "s0"}].Load(); n != 2 {
		t.Errorf("The edited server was picked %d times, want 2", n)
	}
}

func inputOf(service, server string) steer.Input {
	in := steer.Input{Service: steer.Service{Name: service}}
	in.Members = []steer.Member{{Server: &steer.Server{ID: server}, Report: steer.NoReport}}
	return in
}

// A block whose store cannot start says why, and where.
func TestStartFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := caddy.NewTestController("dns", fmt.Sprintf("farm example.org {\nembedded %s\n}", l.Addr()))
	conf, err := parse(c)
	if err != nil {
		t.Fatal(err)
	}
	err = newFarm(conf).start(dnsserver.GetConfig(c))
	if err == nil || !strings.Contains(err.Error(), "plugin/farm: start the store") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Got %v", err)
	}
}
