// Package linux is the network element that a Linux router is: nftables puts the packets between a client and a server
// that hold a grant into a class of their own and marks them with the level's DSCP; HTB guarantees the class's rate
// under contention. What is granted on a link never exceeds the part of its rate that may be granted. It works on the
// network namespace of its process, and needs CAP_NET_ADMIN there.
package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// Element is an [element.Element]. What the database grants is the truth: the book is made of it, and the kernel is made
// to follow the book.
type Element struct {
	cfg    Config
	net    network
	log    *slog.Logger
	events chan element.Event

	mu     sync.Mutex // guards what follows, and what the kernel has
	book   book
	have   *state // nil when it has to be read
	closed bool
}

// maxEvents bounds the events that nobody has taken yet. What does not fit is told again by the next Reconcile.
const maxEvents = 1024

// New makes an element and what it needs on its links. It refuses what others have put there, unless told to replace
// it. Dry runs write what they would do to out, a line each.
func New(cfg Config, log *slog.Logger, out io.Writer) (*Element, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	e := &Element{cfg: cfg.withDefaults(), log: log, events: make(chan element.Event, maxEvents), book: make(book)}
	if cfg.DryRun {
		e.net = newPaper(&e.cfg, out)
	} else {
		k, err := newKernel(&e.cfg)
		if err != nil {
			return nil, err
		}
		e.net = k
	}
	if err := e.net.ensure(cfg.Replace); err != nil {
		return nil, err
	}
	return e, nil
}

// Grant implements [element.Element]. The grant lasts as long as its level says, or until its End if it stands already.
func (e *Element) Grant(_ context.Context, g *qos.Grant) (element.Outcome, error) {
	until := g.End
	if !g.State.Given() {
		until = nowMillis() + int64(g.Duration)*1000
	}
	return e.hold(g, until)
}

// Extend implements [element.Element]. A grant that is not held (any more) is granted, if there is room for it; if there
// is none, it has ended.
func (e *Element) Extend(_ context.Context, g *qos.Grant) (element.Outcome, error) {
	out, err := e.hold(g, g.End)
	if out.State == qos.Refused {
		out.State = qos.Ended
	}
	return out, err
}

func (e *Element) hold(g *qos.Grant, until int64) (element.Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := element.GrantOf{Service: g.Service, ID: g.ID}
	e.book.prune(nowMillis())
	err := e.enter(id, g, until)
	var no refusal
	if errors.As(err, &no) {
		return element.Outcome{State: qos.Refused, Reason: qos.ByElement, Detail: no.Error()}, nil
	}
	if err != nil {
		return element.Outcome{}, err
	}
	return element.Outcome{State: qos.Granted}, nil
}

// enter puts a grant into the book and into the kernel; if it fails, the book is as it was.
func (e *Element) enter(id element.GrantOf, g *qos.Grant, until int64) error {
	h, err := flows(g, until, e.route)
	if err != nil {
		return err
	}
	if err := e.book.admit(&e.cfg, id, h); err != nil {
		return err
	}
	before, held := e.book[id]
	e.book[id] = h
	if err := e.sync(); err != nil {
		delete(e.book, id)
		if held {
			e.book[id] = before
		}
		return err
	}
	return nil
}

// route picks the link toward clients or servers that leads to an address.
func (e *Element) route(toward string, to netip.Addr) (int, error) {
	links := e.cfg.toward(toward)
	if len(links) == 0 {
		return 0, refusal("no link leads toward " + toward)
	}
	return e.net.route(links, to)
}

// Release implements [element.Element].
func (e *Element) Release(_ context.Context, g *qos.Grant) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.book, element.GrantOf{Service: g.Service, ID: g.ID})
	e.book.prune(nowMillis())
	return e.sync()
}

// Reconcile implements [element.Element]. Of the grants that no longer fit together, the latest are told of as ended.
// A request that has not been answered keeps what it holds.
func (e *Element) Reconcile(_ context.Context, live []*qos.Grant) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.net.ensure(false); err != nil {
		return err
	}
	before := e.book
	e.book = make(book, len(live))
	for _, g := range slices.SortedFunc(slices.Values(live), byStart) {
		id := element.GrantOf{Service: g.Service, ID: g.ID}
		if !g.State.Given() {
			if h, held := before[id]; held {
				e.book[id] = h
			}
			continue
		}
		h, err := flows(g, g.End, e.route)
		if err == nil {
			err = e.book.admit(&e.cfg, id, h)
		}
		if err != nil {
			e.tell(id, err)
			continue
		}
		e.book[id] = h
	}
	e.book.prune(nowMillis())
	e.have = nil
	return e.sync()
}

func byStart(a, b *qos.Grant) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.ID[:], b.ID[:]))
}

func (e *Element) tell(id element.GrantOf, why error) {
	out := element.Outcome{State: qos.Ended, Reason: qos.ByElement, Detail: why.Error()}
	select {
	case e.events <- element.Event{ID: id, Outcome: out}:
	default:
	}
}

// sync makes the kernel follow the book. What is known of the kernel may be out of date, since its elements end by
// themselves and others may meddle: so a failure is a cause to read it, and to try once more.
func (e *Element) sync() error {
	fresh := e.have == nil
	for {
		if e.have == nil {
			s, err := e.net.read()
			if err != nil {
				return err
			}
			e.have, fresh = s, true
		}
		ops := plan(e.have, e.book.wants())
		if len(ops) == 0 {
			return nil
		}
		err := e.net.apply(ops)
		if err == nil {
			e.have.note(ops)
			e.log.Debug("the network was changed", "changes", len(ops), "grants", len(e.book))
			return nil
		}
		e.have = nil
		if fresh {
			return fmt.Errorf("cannot change the network: %w", err)
		}
	}
}

// Events implements [element.Element].
func (e *Element) Events() <-chan element.Event { return e.events }

// Close implements [element.Element]. It leaves nothing behind, unless it is told to keep it. A second Close does nothing.
func (e *Element) Close(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	close(e.events)
	if e.cfg.Keep {
		return nil
	}
	return e.net.remove()
}
