package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const predictCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    prometheus 127.0.0.1:METRICS
    farm {
        redis REDIS
        policy predict
        ttl 1
    }
}
`

// sharePeriod is how often replicas tell each other what they have learned.
const sharePeriod = 5 * time.Second

// TestSharedLearning has one of two replicas learn of some resolvers. The other one, which nobody ever asked, knows them
// soon, and so does one that was restarted. Garbage among what replicas tell each other does no harm.
func TestSharedLearning(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
	}
	db.keepBusy(service)
	corefile := func() string {
		return strings.NewReplacer("REDIS", redis.URL, "METRICS", fmt.Sprint(freePort(t))).Replace(predictCorefile)
	}
	first := startCoreDNS(t, corefile())
	awaitGiven(t, first.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	garbage(redis)
	asked := startProber(t, first.addr, service)
	askAsResolvers(t, first.addr)
	began := time.Now()
	var learned []string
	await(t, "the first replica to tell of a resolver", func() bool {
		learned = toldBy(t, redis, first)
		return len(learned) > 0
	})
	t.Logf("%d resolvers known after %v", len(learned), time.Since(began))

	second := startCoreDNS(t, corefile())
	knows(t, redis, second, learned)
	asked.noneFailed()
	first.stop()
	first.again()
	knows(t, redis, first, learned)
	known := slices.ContainsFunc(resolvers, func(client string) bool {
		out := explained(t, redis, client)
		return out.Resolver.Known && out.Method == "predict"
	})
	if !known {
		t.Errorf("Expected farm explain to know one of %v", resolvers)
	}
	if out := explained(t, redis, "203.0.113.1"); out.Resolver.Known {
		t.Errorf("Expected farm explain not to know 203.0.113.1, got %+v", out)
	}
}

// keepBusy reports as agents do, until the test ends: capacities are measured from reports that go on.
func (d *database) keepBusy(service string) {
	stop, ended := make(chan struct{}), make(chan struct{})
	d.t.Cleanup(func() { close(stop); <-ended })
	report := func(n int) {
		for id := range threeServers {
			rps := 30 + float64(n%2)
			d.busy(service, id, rps, rps/100)
		}
	}
	report(0)
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
				report(n)
			}
		}
	}()
}

// busy reports requests a second and utilisation.
func (d *database) busy(service, id string, rps, utilization float64) {
	d.t.Helper()
	d.do("report on "+id, func(ctx context.Context) error {
		_, err := d.Report(ctx, store.Report{Service: service, ID: id, Utilization: &utilization, RPS: &rps, Lease: longLease})
		return err
	})
}

func learnedKey() string {
	return strings.TrimSuffix(store.Keys(store.DefaultPrefix, service)[0], "rev") + "lrn:" + service
}

func garbage(redis *storetest.Redis) {
	redis.Do("HSET", learnedKey(), "garbage-1", "{", "garbage-2", `{"at":1,"loads":"AA=="}`,
		"garbage-3", fmt.Sprintf(`{"at":%d,"loads":"Z2FyYmFnZQ=="}`, time.Now().UnixMilli()))
}

// resolvers are who asks.
var resolvers = []string{"127.0.1.1", "127.0.1.2", "127.0.1.3"}

// askAsResolvers asks as resolvers do that many stand behind: each soon after its answer has run out.
func askAsResolvers(t *testing.T, addr string) {
	t.Helper()
	quit := make(chan struct{})
	var running sync.WaitGroup
	for i, from := range resolvers {
		running.Go(func() {
			c := dns.Client{Timeout: lookupTimeout, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}}
			for {
				_, _, _ = c.Exchange(question(service, dns.TypeA), addr)
				select {
				case <-quit:
					return
				case <-time.After(time.Second + time.Duration(i+1)*30*time.Millisecond):
				}
			}
		})
	}
	t.Cleanup(func() { close(quit); running.Wait() })
}

// toldBy returns the resolvers of which a replica tells, by their hashes.
func toldBy(t *testing.T, redis *storetest.Redis, c *coredns) (who []string) {
	t.Helper()
	for _, field := range strings.Fields(redis.Do("HKEYS", learnedKey())) {
		if !strings.HasSuffix(field, fmt.Sprintf("-%d", c.cmd.Process.Pid)) {
			continue
		}
		var said struct{ Loads []byte }
		if err := json.Unmarshal([]byte(redis.Do("HGET", learnedKey(), field)), &said); err != nil {
			t.Fatalf("Expected JSON from %s, got %v", field, err)
		}
		for e := said.Loads; len(e) >= 17; e = e[16:] {
			who = append(who, fmt.Sprintf("%x", e[1:9]))
		}
	}
	return who
}

// knows waits until a replica that just started tells of resolvers itself. It heard of them within a period, and it may take
// another one until it tells.
func knows(t *testing.T, redis *storetest.Redis, c *coredns, learned []string) {
	t.Helper()
	began := time.Now()
	await(t, c.name+" to know what the other one has learned", func() bool {
		told := toldBy(t, redis, c)
		return !slices.ContainsFunc(learned, func(who string) bool { return !slices.Contains(told, who) })
	})
	if d := time.Since(began); d > 3*sharePeriod {
		t.Errorf("Expected a replica to be warm within a period, got %v", d)
	} else {
		t.Logf("warm after %v", d)
	}
}

// explanation is what farm explain says under predict.
type explanation struct {
	Method   string
	Resolver struct{ Known bool }
}

func explained(t *testing.T, redis *storetest.Redis, client string) (x explanation) {
	t.Helper()
	out, err := exec.Command(command(t, "farm"), "explain", "--redis", redis.URL, service, "--client", client, "-o", "json").CombinedOutput()
	if err == nil {
		err = json.Unmarshal(out, &x)
	}
	if err != nil {
		t.Fatalf("farm explain: %v\n%s", err, out)
	}
	return x
}
