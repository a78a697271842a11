package test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// load is a crowd of HTTP clients of one service. Each resolves the service's name through the name server, keeps the
// answer for its TTL and no longer, and takes the first address; the next one if there is nobody.
type load struct {
	t           testing.TB
	dns, name   string
	port        string
	quit        chan struct{}
	crowd       sync.WaitGroup
	mu          sync.Mutex
	lookups     int
	lookupFails []string
	requests    map[string]int // by address
	passed      map[string]int // addresses that did not serve, so that the next one had to
	unserved    []string
}

// startLoad starts clients that make so many requests a second together.
func startLoad(t testing.TB, dnsAddr, name, port string, clients int, rate float64) *load {
	l := &load{
		t: t, dns: dnsAddr, name: name, port: port, quit: make(chan struct{}),
		requests: make(map[string]int), passed: make(map[string]int),
	}
	for i := range clients {
		c := &webClient{load: l, source: net.IPv4(127, 0, 1, byte(i+1)), pause: time.Duration(float64(clients) / rate * float64(time.Second))}
		c.http = &http.Client{Timeout: lookupTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
		l.crowd.Go(c.run)
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) stop() {
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.crowd.Wait()
}

// count returns the requests that each address has served since the last count.
func (l *load) count() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.requests
	l.requests = make(map[string]int)
	return got
}

// allServed ends the load and asserts that no lookup failed and every session was served by somebody.
func (l *load) allServed() {
	l.t.Helper()
	l.stop()
	l.t.Logf("HTTP clients: %d lookups, %d failed; sessions that had to pass on from a dead server: %v, served by nobody: %d",
		l.lookups, len(l.lookupFails), l.passed, len(l.unserved))
	if len(l.lookupFails) > 0 {
		l.t.Errorf("Expected no failed lookup, got %d: %v", len(l.lookupFails), l.lookupFails[:min(len(l.lookupFails), 10)])
	}
	if len(l.unserved) > 0 {
		l.t.Errorf("Expected every session to be served, got %d that were not: %v", len(l.unserved), l.unserved[:min(len(l.unserved), 10)])
	}
}

// webClient is one of the crowd, with an address and a cache of its own.
type webClient struct {
	*load
	source net.IP
	pause  time.Duration
	http   *http.Client

	answer []string
	until  time.Time
}

func (c *webClient) run() {
	for {
		// Clients do not march in step.
		select {
		case <-c.quit:
			return
		case <-time.After(time.Duration((0.5 + rand.Float64()) * float64(c.pause))):
		}
		c.session()
	}
}

func (c *webClient) session() {
	addrs := c.resolve()
	var failures []error
	for _, a := range addrs {
		err := c.fetch(a)
		c.mu.Lock()
		if err == nil {
			c.requests[a]++
			c.mu.Unlock()
			return
		}
		c.passed[a]++
		c.mu.Unlock()
		failures = append(failures, err)
	}
	if len(addrs) > 0 {
		c.mu.Lock()
		c.unserved = append(c.unserved, fmt.Sprintf("%v: %v", addrs, errors.Join(failures...)))
		c.mu.Unlock()
	}
}

func (c *webClient) fetch(addr string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+net.JoinHostPort(addr, c.port)+"/", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// resolve returns the addresses of the service, from the cache while they stand.
func (c *webClient) resolve() []string {
	if time.Now().Before(c.until) {
		return c.answer
	}
	q := dns.Client{Timeout: lookupTimeout, Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: c.source}}}
	r, _, err := q.Exchange(question(c.name, dns.TypeA), c.dns)
	err = failure(r, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups++
	if err != nil {
		c.lookupFails = append(c.lookupFails, err.Error())
		return nil
	}
	c.answer = addresses(r)
	c.until = time.Now().Add(time.Duration(r.Answer[0].Header().Ttl) * time.Second)
	return c.answer
}
