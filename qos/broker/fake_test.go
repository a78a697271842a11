package broker

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/store"
)

// fakeElement is a fake: an element that grants in memory, as it is told to. It outlives the brokers that ask it.
type fakeElement struct {
	events chan element.Event

	mu      sync.Mutex
	held    map[element.GrantOf]qos.Grant
	answers map[string]element.Outcome // to requests for a level; without one it is granted
	broken  int                        // how many calls fail before it can be asked
	twice   bool                       // whether two calls for one grant were under way at once
	calling map[qos.GrantID]bool
	extends int
}

func newFakeElement() *fakeElement {
	return &fakeElement{events: make(chan element.Event, 16), held: make(map[element.GrantOf]qos.Grant),
		answers: make(map[string]element.Outcome), calling: make(map[qos.GrantID]bool)}
}

// call does what a call does, and notes whether there is another one for the same grant at the time.
func (f *fakeElement) call(id qos.GrantID, do func()) (err error) {
	f.set(func(*fakeElement) {
		f.twice = f.twice || f.calling[id]
		f.calling[id] = true
	})
	runtime.Gosched() // gives another call the chance to be there at the same time
	f.set(func(*fakeElement) {
		delete(f.calling, id)
		if f.broken > 0 {
			f.broken--
			err = errors.New("the fake element is broken")
			return
		}
		do()
	})
	return err
}

func (f *fakeElement) Grant(_ context.Context, g *qos.Grant) (out element.Outcome, err error) {
	err = f.call(g.ID, func() {
		var told bool
		if out, told = f.answers[g.Level]; !told {
			out = element.Outcome{State: qos.Granted, Session: "fake"}
		}
		if out.State != qos.Refused {
			f.held[element.GrantOf{Service: g.Service, ID: g.ID}] = *g
		}
	})
	return out, err
}

func (f *fakeElement) Extend(_ context.Context, g *qos.Grant) (out element.Outcome, err error) {
	err = f.call(g.ID, func() {
		f.extends++
		f.held[element.GrantOf{Service: g.Service, ID: g.ID}] = *g
		out = element.Outcome{State: qos.Granted, Session: "fake", End: g.End}
	})
	return out, err
}

func (f *fakeElement) Release(_ context.Context, g *qos.Grant) error {
	return f.call(g.ID, func() { delete(f.held, element.GrantOf{Service: g.Service, ID: g.ID}) })
}

func (f *fakeElement) Reconcile(_ context.Context, live []*qos.Grant) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := make(map[element.GrantOf]bool)
	for _, g := range live {
		wanted[element.GrantOf{Service: g.Service, ID: g.ID}] = true
	}
	for id := range f.held {
		if !wanted[id] {
			delete(f.held, id)
		}
	}
	return nil
}

func (f *fakeElement) Events() <-chan element.Event { return f.events }
func (f *fakeElement) Close(context.Context) error  { return nil }

func (f *fakeElement) set(change func(*fakeElement)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// holds returns the level at which the element holds a grant; empty is not at all.
func (f *fakeElement) holds(service string, id qos.GrantID) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[element.GrantOf{Service: service, ID: id}].Level
}

// crash makes a broker die between two steps: before a call takes effect, or after it has, and nobody hears of it.
type crash struct {
	mu    sync.Mutex
	steps int // until it dies
	die   context.CancelFunc
	dead  bool
}

var errDead = errors.New("the broker is dead")

func (c *crash) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps--; c.steps < 0 && !c.dead {
		c.dead = true
		c.die()
	}
	if c.dead {
		return errDead
	}
	return nil
}

func (c *crash) died() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// mortal is the database, or an element, of a broker that dies.
func mortal[T any](c *crash, call func() (T, error)) (none T, err error) {
	if err := c.step(); err != nil {
		return none, err
	}
	got, err := call()
	if dead := c.step(); dead != nil {
		return none, dead
	}
	return got, err
}

type mortalDB struct {
	database
	*crash
}

func (m mortalDB) Ack(ctx context.Context, w store.Work) error {
	_, err := mortal(m.crash, func() (int, error) { return 0, m.database.Ack(ctx, w) })
	return err
}

func (m mortalDB) Answer(ctx context.Context, service string, g qos.Grant) (bool, error) {
	return mortal(m.crash, func() (bool, error) { return m.database.Answer(ctx, service, g) })
}

func (m mortalDB) Grant(ctx context.Context, service string, id qos.GrantID) (g qos.Grant, known bool, err error) {
	g, err = mortal(m.crash, func() (qos.Grant, error) {
		g, known, err = m.database.Grant(ctx, service, id)
		return g, err
	})
	return g, known, err
}

type mortalElement struct {
	*fakeElement
	*crash
}

func (m mortalElement) Grant(ctx context.Context, g *qos.Grant) (element.Outcome, error) {
	return mortal(m.crash, func() (element.Outcome, error) { return m.fakeElement.Grant(ctx, g) })
}

func (m mortalElement) Extend(ctx context.Context, g *qos.Grant) (element.Outcome, error) {
	return mortal(m.crash, func() (element.Outcome, error) { return m.fakeElement.Extend(ctx, g) })
}

func (m mortalElement) Release(ctx context.Context, g *qos.Grant) error {
	_, err := mortal(m.crash, func() (int, error) { return 0, m.fakeElement.Release(ctx, g) })
	return err
}
