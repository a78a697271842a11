package broker

import (
	"sync"

	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/store"
)

// item is something to be done for a grant: work from the queue, or an element's event, or, with neither, a look at it.
type item struct {
	work  *store.Work
	event *element.Event
	site  *site // whose event it is
}

// lanes keep the order of each grant: what is to be done for it is done by one goroutine at a time, whatever is done for
// others meanwhile.
type lanes struct {
	do   func(id element.GrantOf, items []item, more <-chan struct{})
	room chan struct{} // a place for each lane that may be open
	runs sync.WaitGroup

	mu   sync.Mutex
	open map[element.GrantOf]*lane // the grants for which something is being done
}

// lane is one grant's.
type lane struct {
	items []item        // what came since the work began
	more  chan struct{} // holds a token when there are any
}

// newLanes makes lanes of which at most so many are open. do is called with what there is to do for a grant; more tells
// it that something else has come for the same grant, which it is handed once it has returned.
func newLanes(most int, do func(element.GrantOf, []item, <-chan struct{})) *lanes {
	return &lanes{do: do, room: make(chan struct{}, most), open: make(map[element.GrantOf]*lane)}
}

// put has something done. It blocks while no other lane may be opened, and reports whether it was taken: it is not, once
// quit is closed.
func (l *lanes) put(quit <-chan struct{}, id element.GrantOf, it item) bool {
	if l.join(id, it) {
		return true
	}
	select {
	case l.room <- struct{}{}:
	case <-quit:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.joinLocked(id, it) { // it was opened meanwhile
		<-l.room
		return true
	}
	ln := &lane{items: []item{it}, more: make(chan struct{}, 1)}
	l.open[id] = ln
	l.runs.Go(func() { l.run(id, ln) })
	return true
}

// join adds to a lane that is open.
func (l *lanes) join(id element.GrantOf, it item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.joinLocked(id, it)
}

func (l *lanes) joinLocked(id element.GrantOf, it item) bool {
	ln, ok := l.open[id]
	if !ok {
		return false
	}
	ln.items = append(ln.items, it)
	select {
	case ln.more <- struct{}{}:
	default:
	}
	return true
}

// busy reports whether something is being done for a grant.
func (l *lanes) busy(id element.GrantOf) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.open[id]
	return ok
}

func (l *lanes) run(id element.GrantOf, ln *lane) {
	for items := l.next(id, ln); len(items) > 0; items = l.next(id, ln) {
		l.do(id, items, ln.more)
	}
}

// next returns what has come for a lane, or closes it.
func (l *lanes) next(id element.GrantOf, ln *lane) []item {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := ln.items
	ln.items = nil
	select {
	case <-ln.more:
	default:
	}
	if len(items) == 0 {
		delete(l.open, id)
		<-l.room
	}
	return items
}

// wait returns once all lanes are closed.
func (l *lanes) wait() { l.runs.Wait() }
