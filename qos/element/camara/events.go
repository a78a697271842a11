package camara

import (
	"context"
	"sync"

	"github.com/coredns-farm/farm/qos/element"
)

// events waits for the broker to take what is told. Nobody who tells has to wait: the broker may be inside one of the
// element's methods. There are never many, since a session makes few, and each needs the operator's answer.
type events struct {
	mu     sync.Mutex
	list   []element.Event
	signal chan struct{}
}

func (q *events) put(ev element.Event) {
	q.mu.Lock()
	q.list = append(q.list, ev)
	q.mu.Unlock()
	wake(q.signal)
}

// pump hands events on in order until the context ends, and closes to.
func (q *events) pump(ctx context.Context, to chan<- element.Event) {
	defer close(to)
	for {
		q.mu.Lock()
		list := q.list
		q.list = nil
		q.mu.Unlock()
		for _, ev := range list {
			select {
			case to <- ev:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-q.signal:
		case <-ctx.Done():
			return
		}
	}
}

// wake makes a channel of one place ready.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
