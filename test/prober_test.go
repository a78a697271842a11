package test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// prober asks for the addresses of a service all the time, at a fixed rate, whatever happens to what is asked. One
// lookup in ten goes over TCP.
type prober struct {
	t     testing.TB
	ask   lookup
	name  string
	began time.Time
	quit  chan struct{}
	loop  sync.WaitGroup

	mu     sync.Mutex
	seen   []sighting
	failed []string
}

// sighting is one answer.
type sighting struct {
	at    time.Time
	addrs []string
	stale bool
}

const probeRate = 200 // lookups a second

// maxInFlight bounds lookups that wait. A name server that hangs is found out all the same: they time out.
const maxInFlight = 400

func startProber(t testing.TB, addr, name string) *prober { return startProberBy(t, of(addr), name) }

func startProberBy(t testing.TB, ask lookup, name string) *prober {
	p := &prober{t: t, ask: ask, name: name, began: time.Now(), quit: make(chan struct{})}
	p.loop.Go(p.run)
	t.Cleanup(p.stop)
	return p
}

func (p *prober) run() {
	slots := make(chan struct{}, maxInFlight)
	tick := time.NewTicker(time.Second / probeRate)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.quit:
			return
		case <-tick.C:
		}
		slots <- struct{}{}
		p.loop.Go(func() {
			p.lookup(i%10 == 9)
			<-slots
		})
	}
}

func (p *prober) lookup(tcp bool) {
	began := time.Now()
	r, err := p.ask(p.name, tcp)
	err = failure(r, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = append(p.failed, fmt.Sprintf("%s (asked %s, waited %v): %v", time.Now().Format("15:04:05.000"), protocol(tcp), time.Since(began), err))
		return
	}
	stale := slices.Contains(extendedErrors(r), dns.ExtendedErrorCodeStaleAnswer)
	p.seen = append(p.seen, sighting{time.Now(), addresses(r), stale})
}

func protocol(tcp bool) string {
	if tcp {
		return "over TCP"
	}
	return "over UDP"
}

// stop ends the lookups; the last ones are waited for.
func (p *prober) stop() {
	select {
	case <-p.quit:
	default:
		close(p.quit)
	}
	p.loop.Wait()
}

// noneFailed ends the lookups and asserts that every one was answered.
func (p *prober) noneFailed() {
	p.t.Helper()
	p.stop()
	p.t.Logf("lookups of %s: %d answered, %d failed", p.name, len(p.seen), len(p.failed))
	if len(p.failed) > 0 {
		p.t.Errorf("Expected no failed lookup, got %d:\n%s", len(p.failed), strings.Join(p.failed[:min(len(p.failed), 10)], "\n"))
	}
	if len(p.seen) == 0 {
		p.t.Error("Expected lookups, got none")
	}
}

// since returns the answers from a time on.
func (p *prober) since(from time.Time) []sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, _ := slices.BinarySearchFunc(p.seen, from, func(s sighting, from time.Time) int { return s.at.Compare(from) })
	return slices.Clone(p.seen[i:])
}

// fresh waits for n more answers than there are and returns them.
func (p *prober) fresh(n int) []sighting {
	p.t.Helper()
	from := time.Now()
	var got []sighting
	await(p.t, fmt.Sprintf("%d more answers", n), func() bool { got = p.since(from); return len(got) >= n })
	return got
}

// awaitStale waits until answers say that they are given from an old copy.
func (p *prober) awaitStale() {
	p.t.Helper()
	from := time.Now()
	await(p.t, "stale answers", func() bool {
		return slices.ContainsFunc(p.since(from), func(s sighting) bool { return s.stale })
	})
}

// sample is so many answers that a share of them can be told from the next.
const sample = probeRate

// shares returns how often each address came first, as parts of 1.
func shares(seen []sighting) map[string]float64 {
	got := make(map[string]float64)
	for _, s := range seen {
		got[s.addrs[0]] += 1 / float64(len(seen))
	}
	return got
}
