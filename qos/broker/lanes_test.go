package broker

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// Whatever is put by whomever, each grant is worked on by one goroutine at a time, no more than so many are at once, and
// nothing is lost.
func TestLanes(t *testing.T) {
	const grants, putters, each, most = 20, 8, 200, 5
	var working [grants]atomic.Bool
	var running, done atomic.Int64
	l := newLanes(most, func(id element.GrantOf, items []item, _ <-chan struct{}) {
		n := id.ID[0]
		if !working[n].CompareAndSwap(false, true) {
			t.Errorf("grant %d is worked on twice at a time", n)
		}
		if got := running.Add(1); got > most {
			t.Errorf("%d lanes run, want at most %d", got, most)
		}
		done.Add(int64(len(items)))
		running.Add(-1)
		working[n].Store(false)
	})
	var wg sync.WaitGroup
	for p := range putters {
		wg.Go(func() {
			for i := range each {
				if !l.put(nil, element.GrantOf{ID: qos.GrantID{byte((i*7 + p) % grants)}}, item{}) {
					t.Error("expected that it is taken")
				}
			}
		})
	}
	wg.Wait()
	l.wait()
	if got := done.Load(); got != putters*each {
		t.Errorf("%d things were done, want %d", got, putters*each)
	}
}

// What comes while a grant is worked on is told of, and handed to the next round.
func TestLanesMore(t *testing.T) {
	id := element.GrantOf{ID: qos.GrantID{1}}
	entered := make(chan struct{}, 2)
	rounds := 0
	l := newLanes(1, func(_ element.GrantOf, items []item, more <-chan struct{}) {
		rounds++
		entered <- struct{}{}
		if rounds == 1 {
			<-more
		}
	})
	l.put(nil, id, item{})
	<-entered
	if !l.busy(id) {
		t.Error("expected the lane to be busy")
	}
	quit := make(chan struct{})
	close(quit)
	if l.put(quit, element.GrantOf{ID: qos.GrantID{2}}, item{}) {
		t.Error("expected nothing to be taken once it has to end and there is no room")
	}
	l.put(nil, id, item{})
	<-entered
	l.wait()
	if rounds != 2 || l.busy(id) {
		t.Errorf("got %d rounds, busy %t, want 2, and not busy", rounds, l.busy(id))
	}
}
