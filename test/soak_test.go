package test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

var soak = flag.Duration("soak", 2*time.Minute, "how long TestSoak keeps a server under load and churn")

const soakCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    pprof 127.0.0.1:PPROF
    prometheus 127.0.0.1:METRICS
    farm {
        redis REDIS
        state STATE
        ttl TTL
        level gold {
            rank 20
            unit 0.001
            share 0.5
            duration 10s
            requires server
        }
        qos {
            rate 100 100
        }
        service static.example.org {
            server web1 192.0.2.1
            server web2 192.0.2.2
        }
    }
}
`

// Of so many changes of the database, a breath apart, the server is reloaded after the last, and looked at.
const (
	soakChanges = 15
	soakBreath  = 120 * time.Millisecond
)

// TestSoak keeps one CoreDNS, built with the race detector, under a fixed load while servers join, leave and slow down,
// services are edited, deleted and put back, handles are issued and revoked, and its Corefile is edited and reloaded. No lookup fails, and in the end
// the server holds no more memory, goroutines and files than when it was warm.
func TestSoak(t *testing.T) {
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	a := startAgents(t, db, service, threeServers)
	pprof := strconv.Itoa(freePort(t))
	fixed := strings.NewReplacer("PPROF", pprof, "METRICS", strconv.Itoa(freePort(t)), "REDIS", redis.URL,
		"STATE", filepath.Join(t.TempDir(), "farm.state")).Replace(soakCorefile)
	corefile := func(ttl int) string { return strings.ReplaceAll(fixed, "TTL", strconv.Itoa(ttl)) }
	c := startCoreDNS(t, corefile(1))
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")

	asked := startSteady(t, of(c.addr).again(), service, "static.example.org.")
	churn := &churn{
		database: db, agents: a, issuer: newIssuer(t, db), dns: c.addr, chance: rand.New(rand.NewPCG(7, 7)), did: make(map[string]int),
	}
	var seen []footprint
	for began := time.Now(); time.Since(began) < *soak; {
		for range soakChanges {
			churn.step()
			time.Sleep(soakBreath)
		}
		seen = append(seen, look(t, c, pprof))
		c.write(t, corefile(1+len(seen)%3))
		c.reload(t)
	}
	asked.noneFailed()
	t.Logf("reloads: %d, changes: %v", len(seen), churn.did)
	flat(t, seen)
}

// flat asserts that nothing grows: that the least that was held in the last third of the looks is about the least of the
// third before. What is cached and pooled shows in the first third; what comes and goes does not show in the least.
func flat(t *testing.T, seen []footprint) {
	t.Helper()
	third := len(seen) / 3
	if third == 0 {
		t.Fatalf("Expected three looks at least, got %d", len(seen))
	}
	before, after := least(seen[third:2*third]), least(seen[2*third:])
	t.Logf("at the start: %v; in the middle: %v; at the end: %v", seen[0], before, after)
	if after.goroutines > before.goroutines+5 || after.files > before.files+5 {
		t.Errorf("Expected no more goroutines and files than before: %v, got %v", before, after)
	}
	if after.heap > before.heap+before.heap/4+(4<<20) || after.resident > before.resident+before.resident/4+(64<<20) {
		t.Errorf("Expected no more memory than before: %v, got %v", before, after)
	}
}

// least returns the least of each.
func least(seen []footprint) footprint {
	f := seen[0]
	for _, s := range seen[1:] {
		f.goroutines, f.files = min(f.goroutines, s.goroutines), min(f.files, s.files)
		f.heap, f.resident = min(f.heap, s.heap), min(f.resident, s.resident)
	}
	return f
}

// churn changes the database. The three servers that it begins with stay; guests come and go.
type churn struct {
	*database
	agents *agents
	issuer *issuer
	dns    string // address of the name server, for those who have a handle
	chance *rand.Rand
	guests []string
	dead   []string // whose records are still there
	issued []handle // and not revoked
	next   int
	did    map[string]int
}

// maxGuests bounds those that are there, and those that are dead.
const maxGuests = 20

// step makes one change.
func (c *churn) step() {
	acts := []struct {
		name string
		do   func()
	}{{"join", c.join}, {"join", c.join}, {"leave", c.leave}, {"die", c.die}, {"slow down", c.slow}, {"drain", c.drain}, {"edit", c.edit}, {"put back", c.replace}, {"issue", c.issue}, {"revoke", c.revoke}}
	act := acts[c.chance.IntN(len(acts))]
	act.do()
	c.did[act.name]++
}

// join has a machine come up.
func (c *churn) join() {
	if len(c.guests) == maxGuests {
		c.leave()
	}
	c.next++
	id := fmt.Sprintf("guest%d", c.next)
	c.guests = append(c.guests, id)
	c.agents.mu.Lock()
	defer c.agents.mu.Unlock()
	c.agents.servers[id] = &reported{addr: fmt.Sprintf("198.51.100.%d", 1+c.next%250), health: steer.Up, utilization: c.chance.Float64()}
}

// leave takes a machine away for good, with its record.
func (c *churn) leave() {
	if id := c.take(); id != "" {
		c.agents.silence(id)
		c.remove(id)
	}
}

// die leaves a record behind, whose lease runs out. Somebody tidies up now and then.
func (c *churn) die() {
	if id := c.take(); id != "" {
		c.agents.silence(id)
		c.dead = append(c.dead, id)
	}
	if len(c.dead) > maxGuests {
		c.remove(c.dead[0])
		c.dead = c.dead[1:]
	}
}

func (c *churn) remove(id string) {
	c.do("delete "+id, func(ctx context.Context) error { _, err := c.DeleteServer(ctx, service, id); return err })
}

// take chooses a guest that is to go; none, if there is none.
func (c *churn) take() string {
	if len(c.guests) == 0 {
		return ""
	}
	i := c.chance.IntN(len(c.guests))
	id := c.guests[i]
	c.guests = slices.Delete(c.guests, i, i+1)
	return id
}

// slow makes one of those that stay busier, or less busy.
func (c *churn) slow() {
	id := fmt.Sprintf("web%d", 1+c.chance.IntN(len(threeServers)))
	c.agents.set(id, func(r *reported) { r.utilization = 1.2 * c.chance.Float64() })
}

func (c *churn) drain() {
	state := []steer.AdminState{steer.Drain, steer.Ready, steer.Ready}[c.chance.IntN(3)]
	c.admin(service, "web2", state)
}

func (c *churn) edit() {
	s := steer.Service{
		Name: service, TTL: new(1 + c.chance.Uint32N(3)), SlowStart: new(1.0), Drain: new(1.0),
		Policy: steer.Policies[c.chance.IntN(len(steer.Policies))],
	}
	c.do("edit "+service, func(ctx context.Context) error { return c.PutService(ctx, s) })
}

// replace deletes a service that nobody asks for, and puts it back with a server.
func (c *churn) replace() {
	name := fmt.Sprintf("other%d.example.org.", c.chance.IntN(50))
	c.do("delete "+name, func(ctx context.Context) error { _, err := c.DeleteService(ctx, name); return err })
	c.service(name)
	c.server(name, "web1", "203.0.113.1")
}

// handle is one that a client has.
type handle struct {
	client string
	token  []byte
}

// issue gives a new client a handle, with which it looks the service up.
func (c *churn) issue() {
	c.next++
	client := fmt.Sprintf("client%d", c.next)
	h := handle{client, c.issuer.token(client)}
	c.issued = append(c.issued, h)
	c.lookup(c.issuer.nameWith(h.token, client))
}

// revoke takes a handle back.
func (c *churn) revoke() {
	if len(c.issued) == 0 {
		return
	}
	h := c.issued[0]
	c.issued = c.issued[1:]
	c.do("revoke a handle", func(ctx context.Context) error {
		return c.PutHandle(ctx, qos.HandleOf(h.token), qos.HandleRecord{
			Client: qos.Client(qos.KindID, h.client), Rank: 20, Service: service, Expires: time.Now().Add(time.Minute).UnixMilli(), Revoked: true,
		})
	})
	c.lookup(c.issuer.nameWith(h.token, h.client))
}

// lookup is one that must be answered, whatever the handle is worth.
func (c *churn) lookup(name string) {
	c.t.Helper()
	if err := failure(ask(c.t, c.dns, name, dns.TypeA), nil); err != nil {
		c.t.Errorf("%s: expected an answer, got %v", name, err)
	}
}
