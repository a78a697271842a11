package test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// steady looks services up at a fixed rate for as long as it takes, one lookup in ten over TCP. Unlike a prober it keeps
// counts alone.
type steady struct {
	t     testing.TB
	ask   lookup
	names []string
	quit  chan struct{}
	loop  sync.WaitGroup

	mu       sync.Mutex
	answered int
	failed   []string
}

// lookup is what a client does to get an answer.
type lookup func(name string, tcp bool) (*dns.Msg, error)

// of asks one name server once.
func of(addr string) lookup {
	return func(name string, tcp bool) (*dns.Msg, error) {
		if tcp {
			return exchangeTCP(addr, question(name, dns.TypeA))
		}
		return exchange(addr, question(name, dns.TypeA))
	}
}

// again connects once more where a name server closed a TCP connection, as resolvers do (RFC 7766, section 6.2.4): one
// that is reloaded closes those that it has accepted and not read from yet.
func (l lookup) again() lookup {
	return func(name string, tcp bool) (*dns.Msg, error) {
		r, err := l(name, tcp)
		if tcp && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)) {
			return l(name, tcp)
		}
		return r, err
	}
}

// orElse asks somebody else when the first one fails.
func (l lookup) orElse(other lookup) lookup {
	return func(name string, tcp bool) (*dns.Msg, error) {
		r, err := l(name, tcp)
		if failure(r, err) != nil {
			return other(name, tcp)
		}
		return r, nil
	}
}

func startSteady(t testing.TB, ask lookup, names ...string) *steady {
	s := &steady{t: t, ask: ask, names: names, quit: make(chan struct{})}
	s.loop.Go(s.run)
	t.Cleanup(s.stop)
	return s
}

func (s *steady) run() {
	slots := make(chan struct{}, maxInFlight)
	tick := time.NewTicker(time.Second / probeRate)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		slots <- struct{}{}
		s.loop.Go(func() {
			s.lookup(s.names[i%len(s.names)], i/len(s.names)%10 == 9)
			<-slots
		})
	}
}

func (s *steady) lookup(name string, tcp bool) {
	r, err := s.ask(name, tcp)
	err = failure(r, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed = append(s.failed, fmt.Sprintf("%s %s %s: %v", time.Now().Format("15:04:05.000"), name, protocol(tcp), err))
		return
	}
	s.answered++
}

// more waits for n more answers.
func (s *steady) more(n int) {
	s.t.Helper()
	now := func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.answered }
	until := now() + n
	await(s.t, fmt.Sprintf("%d more answers", n), func() bool { return now() >= until })
}

// stop ends the lookups; the last ones are waited for.
func (s *steady) stop() {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.loop.Wait()
}

// noneFailed ends the lookups and asserts that every one was answered.
func (s *steady) noneFailed() {
	s.t.Helper()
	s.stop()
	s.t.Logf("lookups: %d answered, %d failed", s.answered, len(s.failed))
	if len(s.failed) > 0 || s.answered == 0 {
		s.t.Errorf("Expected no failed lookup, got %d:\n%s", len(s.failed), strings.Join(s.failed[:min(len(s.failed), 10)], "\n"))
	}
}
