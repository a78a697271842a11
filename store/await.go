package store

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/coredns-farm/farm/qos"
)

// maxWaiters bounds those who wait for a grant to change.
const maxWaiters = 1024

// waiters are those who wait for a client's grant to change. Whoever waits takes a slot without a lock.
type waiters struct {
	n     atomic.Int32 // slots taken, or about to be
	slots [maxWaiters]atomic.Pointer[waiter]
}

type waiter struct {
	holder
	ready chan struct{}
	woken bool // guarded by Store.mu
}

// Await returns a channel that is closed when the grant of a client at a service changes. Look at the grant after it
// returned: what was before, it does not tell. ok is false when too many wait already. done gives the place back; call it in
// any case where ok is true. It never blocks.
func (v *View) Await(service string, c qos.ClientID) (ready <-chan struct{}, done func(), ok bool) {
	return v.store.waiters.add(holder{service, c})
}

func (w *waiters) add(of holder) (<-chan struct{}, func(), bool) {
	if w.n.Add(1) > maxWaiters {
		w.n.Add(-1)
		return nil, func() {}, false
	}
	one := &waiter{holder: of, ready: make(chan struct{})}
	// There is a free slot: n was counted first, and is counted down last.
	for i := rand.IntN(maxWaiters); ; i = (i + 1) % maxWaiters {
		if slot := &w.slots[i]; slot.CompareAndSwap(nil, one) {
			return one.ready, func() {
				if slot.CompareAndSwap(one, nil) {
					w.n.Add(-1)
				}
			}, true
		}
	}
}

// wake wakes those who wait for a client. Store.mu must be held.
func (w *waiters) wake(of holder) {
	if w.n.Load() == 0 {
		return
	}
	for i := range w.slots {
		if one := w.slots[i].Load(); one != nil && one.holder == of && !one.woken {
			one.woken = true
			close(one.ready)
		}
	}
}

// tellGrants publishes the grants that changed. Store.mu must be held.
func (s *Store) tellGrants() {
	for _, of := range s.replica.granted {
		if g := s.replica.grantOf(of); g != nil {
			s.grants.put(of, g)
		} else {
			s.grants.drop(of)
		}
	}
	for _, of := range s.replica.granted {
		s.waiters.wake(of)
	}
	s.replica.granted = s.replica.granted[:0]
}
