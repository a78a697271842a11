package test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// crowd is the clients of several resolvers. Each client comes back again and again for a session: it asks its resolver
// anew, for it has no cache of its own, takes an address of the answer, and stays there for a few requests.
type crowd struct {
	name, port string
	http       *http.Client
	quit       chan struct{}
	clients    sync.WaitGroup

	mu                sync.Mutex
	lookups, requests int
	failed            []string
}

const (
	crowdPause   = 2 * time.Second // between sessions, on average
	crowdThink   = 4 * time.Second // between the requests of a session, on average
	crowdSession = 3               // requests
	crowdFirst   = 0.3             // of the sessions take the first address of an answer, as predict has it; the others any
)

// startCrowd starts the clients behind the resolvers, one resolver after the other within a while: as long as an answer
// stands, for resolvers do not ask in step. What clients do, and when, hangs on the seed alone, but for how fast they
// are answered.
func startCrowd(t testing.TB, seed uint64, resolvers []*resolver, within time.Duration, name, port string) *crowd {
	c := &crowd{name: name, port: port, quit: make(chan struct{})}
	c.http = &http.Client{Timeout: lookupTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	for i, r := range resolvers {
		begin := within * time.Duration(i) / time.Duration(len(resolvers))
		for j := range r.clients {
			chance := rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(j)))
			c.clients.Go(func() { c.client(r.addr, begin, chance) })
		}
	}
	t.Cleanup(c.stop)
	return c
}

// noneFailed ends the load and asserts that no lookup and no request failed.
func (c *crowd) noneFailed(t testing.TB) {
	t.Helper()
	c.stop()
	if len(c.failed) > 0 {
		t.Errorf("%s: expected no failed lookup or request, got %d: %v", c.name, len(c.failed), c.failed[:min(len(c.failed), 10)])
	}
}

// stop sends the clients home, and waits until they are gone.
func (c *crowd) stop() {
	select {
	case <-c.quit:
	default:
		close(c.quit)
	}
	c.clients.Wait()
	c.http.CloseIdleConnections()
}

func (c *crowd) client(resolver string, begin time.Duration, chance *rand.Rand) {
	if !c.wait(begin) {
		return
	}
	for c.rest(chance, crowdPause) {
		c.session(resolver, chance)
	}
}

// rest waits for a while, exponentially distributed. It returns false when it is time to go.
func (c *crowd) rest(chance *rand.Rand, mean time.Duration) bool {
	return c.wait(time.Duration(chance.ExpFloat64() * float64(mean)))
}

func (c *crowd) wait(d time.Duration) bool {
	select {
	case <-c.quit:
		return false
	case <-time.After(d):
		return true
	}
}

func (c *crowd) session(resolver string, chance *rand.Rand) {
	r, err := exchange(resolver, question(c.name, dns.TypeA))
	err = failure(r, err)
	c.note(&c.lookups, "lookup", err)
	if err != nil {
		return
	}
	addrs := addresses(r)
	addr := addrs[0]
	if chance.Float64() >= crowdFirst {
		addr = addrs[chance.IntN(len(addrs))]
	}
	for i := range crowdSession {
		if i > 0 && !c.rest(chance, crowdThink) {
			return
		}
		c.note(&c.requests, "request", c.fetch(addr))
	}
}

func (c *crowd) fetch(addr string) error {
	resp, err := c.http.Get("http://" + addr + ":" + c.port + "/")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (c *crowd) note(count *int, what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*count++
	if err != nil {
		c.failed = append(c.failed, fmt.Sprintf("%s: %v", what, err))
	}
}
