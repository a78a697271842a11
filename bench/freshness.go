package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// freshness is how soon answers follow a report: milliseconds from the moment at which Redis has acknowledged it to the
// first answer that goes by it.
type freshness struct {
	Servers int     `json:"servers"`
	Reports float64 `json:"reports_per_second"` // of the other servers, meanwhile
	Queries int     `json:"queries_per_second"` // asked by others meanwhile; 0 is idle
	Busy    float64 `json:"cores_busy"`         // of the whole machine, meanwhile
	Samples int     `json:"samples"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// What freshness is measured at. Servers report as often as agents do by default. The load is less than a core takes:
// at saturation an answer waits for its turn, and that would be what is measured.
var freshServers = []int{1, 100, 10_000}

const (
	agentInterval = 2 * time.Second
	freshLoad     = 10_000 // queries a second
	perService    = 100    // servers, where there are more
)

// measureFreshness measures every size, idle and under a load.
func measureFreshness(ctx context.Context, l *lab, seconds float64) ([]freshness, error) {
	var all []freshness
	for _, n := range freshServers {
		some, err := freshnessOf(ctx, l, n, seconds)
		if err != nil {
			return nil, fmt.Errorf("freshness at %d servers: %w", n, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// freshnessOf measures a database of n servers: the one that changes, and others.
func freshnessOf(ctx context.Context, l *lab, n int, seconds float64) ([]freshness, error) {
	l.note("freshness: %d servers", n)
	db, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	defer db.end(l)
	others := farm{services: max(1, n/perService), servers: n - 1}
	if err := others.register(ctx, db); err != nil {
		return nil, err
	}
	c := &changing{db: db, service: others.service(0), rnd: rand.New(rand.NewPCG(1, 1))}
	if err := c.register(ctx); err != nil {
		return nil, err
	}
	// Where the database has one server, the other answer comes from the Corefile.
	p, addr, err := l.startCoreDNS(ctx, fmt.Sprintf("farm {\nredis %s\nservice %s {\nserver standby 192.0.2.2\n}\n}", db.url, c.service), c.service)
	if err != nil {
		return nil, err
	}
	defer l.stop(p)
	agents := others.startReporter(ctx, db, agentInterval)
	defer agents.end()
	return c.both(ctx, l, others, agents, addr, seconds)
}

// both measures idle and under a load.
func (c *changing) both(ctx context.Context, l *lab, others farm, agents *reporter, addr string, seconds float64) ([]freshness, error) {
	questions, err := farm{services: others.services, servers: others.services}.questions(l, "questions-fresh", "")
	if err != nil {
		return nil, err
	}
	var all []freshness
	for _, rate := range []int{0, freshLoad} {
		asking, endLoad := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- background(asking, addr, questions, rate) }()
		before, worked := agents.written.Load(), machineTime()
		began := time.Now()
		took, err := c.sample(ctx, addr, time.Duration(seconds*float64(time.Second)))
		span := time.Since(began).Seconds()
		reports, busy := float64(agents.written.Load()-before)/span, (machineTime()-worked)/span
		endLoad()
		if e := <-ended; err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
		all = append(all, freshness{
			Servers: others.servers + 1, Reports: reports, Queries: rate, Busy: busy, Samples: len(took),
			P50: quantile(took, .5), P99: quantile(took, .99), Max: took[len(took)-1],
		})
	}
	_, err = agents.end()
	return all, err
}

// background asks at a rate until its context ends.
func background(ctx context.Context, addr, questions string, rate int) error {
	if rate == 0 {
		return nil
	}
	_, err := dnsperf(ctx, load{addr: addr, questions: questions, duration: maxSeconds * time.Second, rate: rate})
	if ctx.Err() != nil {
		return nil // it was told to end
	}
	return err
}

// changing is a server whose reports are followed: its service gives it to every client while it is not full, and to
// none while it is.
type changing struct {
	db      *database
	service string
	rnd     *rand.Rand
	full    bool
}

// changingID comes before the others, in the order in which the policy first takes servers.
const changingID = "a"

var changingAddr = netip.MustParseAddr("192.0.2.1")

func (c *changing) register(ctx context.Context) error {
	if err := c.db.PutService(ctx, steer.Service{Name: c.service, Policy: steer.First, Answers: 1}); err != nil {
		return err
	}
	_, err := c.db.PutServer(ctx, c.service, steer.Server{ID: changingID, Addresses: []netip.Addr{changingAddr}}, store.ByAgent)
	if err != nil {
		return err
	}
	return c.report(ctx)
}

// report says what is so now.
func (c *changing) report(ctx context.Context) error {
	u := 0.1
	if c.full {
		u = 1.5
	}
	_, err := c.db.Report(ctx, store.Report{
		Service: c.service, ID: changingID, Utilization: &u, Lease: lease, Agent: "agent-of-a", Seq: uint64(time.Now().UnixMicro()),
	})
	return err
}

// sample changes the server again and again and returns how long answers took to follow, sorted, in milliseconds.
func (c *changing) sample(ctx context.Context, addr string, d time.Duration) ([]float64, error) {
	conn, err := dns.DialTimeout("udp", addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := c.follow(ctx, conn); err != nil { // the state in which a measurement before this one left it
		return nil, err
	}
	var took []float64
	for end := time.Now().Add(d); time.Now().Before(end) || len(took) == 0; {
		// Changes do not come in step with anything.
		if err := sleep(ctx, time.Duration(5+c.rnd.IntN(20))*time.Millisecond); err != nil {
			return nil, err
		}
		c.full = !c.full
		ms, err := c.follow(ctx, conn)
		if err != nil {
			return nil, err
		}
		took = append(took, ms)
	}
	slices.Sort(took)
	return took, nil
}

// follow reports, and asks until the answer goes by it.
func (c *changing) follow(ctx context.Context, conn *dns.Conn) (ms float64, err error) {
	if err := c.report(ctx); err != nil {
		return 0, err
	}
	written := time.Now()
	for since := time.Duration(0); since < patience; since = time.Since(written) {
		given, err := ask(conn, c.service)
		if err != nil {
			return 0, err
		}
		if given != c.full {
			return float64(time.Since(written).Microseconds()) / 1000, nil
		}
	}
	return 0, fmt.Errorf("%s: expected answers to follow a report within %v", c.service, patience)
}

// ask says whether the changing server is given.
func ask(conn *dns.Conn, service string) (bool, error) {
	m := new(dns.Msg).SetQuestion(service, dns.TypeA)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	if err := conn.WriteMsg(m); err != nil {
		return false, err
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return false, fmt.Errorf("lookup of %s: %w", service, err)
	}
	if r.Id != m.Id || len(r.Answer) != 1 {
		return false, fmt.Errorf("lookup of %s: expected an address, got %s", service, r)
	}
	a, ok := r.Answer[0].(*dns.A)
	return ok && a.A.String() == changingAddr.String(), nil
}
