//go:build !race

// Budgets of memory. Under the race detector they do not hold: it makes frames larger, and has pools lose what they hold.

package farm

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/coredns-farm/farm/qos"
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

// TestAllocs counts what a lookup allocates, once what is used again is there.
func TestAllocs(t *testing.T) {
	for _, policy := range []steer.Policy{steer.Headroom, steer.Predict} {
		t.Run(string(policy), func(t *testing.T) { testAllocs(t, policy) })
	}
}

func testAllocs(t *testing.T, policy steer.Policy) {
	for _, tc := range []struct {
		what  string
		query *dns.Msg
		allow float64
	}{
		// The message with its question, the section, the records with their addresses.
		{"A", question("www.example.org.", dns.TypeA), 3},
		// And the name in lower case.
		{"A with 0x20", question("wWw.eXample.org.", dns.TypeA), 4},
		// The message with its question, the section, the SOA.
		{"NODATA", question("www.example.org.", dns.TypeMX), 3},
		{"NXDOMAIN", question("nosuch.example.org.", dns.TypeA), 3},
		// As A, and OPT, its options, the subnet, the section that OPT is in.
		{"A with a subnet", withSubnet(question("www.example.org.", dns.TypeA), "10.1.2.0/24"), 7},
	} {
		f, w, ctx := of(t, 100, policy), newSink(), context.Background()
		for range 200 { // until every server was picked
			f.ServeDNS(ctx, w, tc.query)
		}
		got := testing.AllocsPerRun(200, func() { f.ServeDNS(ctx, w, tc.query) })
		if got > tc.allow {
			t.Errorf("%s: got %v allocations, want at most %v", tc.what, got, tc.allow)
		}
	}
}

func TestAllocsOfLevels(t *testing.T) {
	f, s := withShelf(t, levelled)
	s.grants[alice] = &qos.Grant{Server: "fast1", Asked: "gold", Offer: qos.Offer{Level: "gold"}, State: qos.Granted, Start: at, End: at + 300_000}
	token := s.sign(t, claim())
	for _, tc := range []struct {
		what  string
		query *dns.Msg
		allow float64
	}{
		// The message with its question, the section, the record with its address.
		{"a handle in a label", question(label(token)+asAlice+"www.example.org.", dns.TypeA), 3},
		// As above, and OPT, its options, ours, its data, the section that OPT is in.
		{"a handle in the option", withOption(question("www.example.org.", dns.TypeA), option(tlvs(tlvHandle, token, tlvClient, "alice"))), 8},
	} {
		w := newSink()
		f.ServeDNS(t.Context(), w, tc.query)
		if got := testing.AllocsPerRun(200, func() { f.ServeDNS(t.Context(), w, tc.query) }); got > tc.allow {
			t.Errorf("%s: got %v allocations, want at most %v", tc.what, got, tc.allow)
		}
	}
}
