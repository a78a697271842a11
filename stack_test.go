//go:build !race

// The race detector makes frames larger, so that what they take then says nothing.

package farm

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// held is a sink that keeps whoever writes, until it is let go.
type held struct {
	*sink
	inside *sync.WaitGroup
	letGo  chan struct{}
}

func (h held) WriteMsg(*dns.Msg) error {
	h.inside.Done()
	<-h.letGo
	return nil
}

// above is what CoreDNS has on the stack, in octets, when it calls a plugin: some more than with errors before it.
type above [1400]byte

//go:noinline
func serveBelow(f *Farm, w dns.ResponseWriter, q *dns.Msg) (sum byte) {
	var room above
	f.ServeDNS(context.Background(), w, q)
	for i := range room {
		sum += room[i]
	}
	return sum
}

// TestStack makes sure that the stack of a lookup's goroutine need not grow beyond 4 KiB, which parsing a query makes it have
// anyway: growing to 8 KiB took a fifth of the server's time.
func TestStack(t *testing.T) {
	const lookups, most = 1000, 4096
	for _, policy := range []steer.Policy{steer.Headroom, steer.Predict, steer.RoundRobin, steer.Sticky} {
		t.Run(string(policy), func(t *testing.T) {
			f, letGo := of(t, 100, policy), make(chan struct{})
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection takes from stacks
			var inside, all sync.WaitGroup
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range lookups {
				inside.Add(1)
				all.Go(func() {
					serveBelow(f, held{newSink(), &inside, letGo}, question("www.example.org.", dns.TypeA))
				})
			}
			inside.Wait()
			runtime.ReadMemStats(&after)
			close(letGo)
			all.Wait()
			if got := float64(after.StackInuse-before.StackInuse) / lookups; got > most*1.1 {
				t.Errorf("Expected a stack of at most %d octets a lookup, got %.0f", most, got)
			}
		})
	}
}
