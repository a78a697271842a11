package broker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// site is an element under its name, with what keeps the calls to it in bounds.
type site struct {
	name    string
	element element.Element
	log     *slog.Logger
	metrics *metrics

	calls   chan struct{} // a place for each call that may be under way
	whole   sync.RWMutex  // calls for single grants share it; Reconcile, which is about all of them, has it alone
	failing atomic.Bool   // whether the log says that it cannot be asked
}

// Bounds of calls to an element.
const (
	maxCalls      = 16               // at a time
	callTime      = 30 * time.Second // of one; a request lives 60 s
	reconcileTime = 5 * time.Minute
)

func newSite(name string, e element.Element, log *slog.Logger, m *metrics) *site {
	return &site{name: name, element: e, log: log.With("element", name), metrics: m, calls: make(chan struct{}, maxCalls)}
}

// grant asks the element for a grant.
func (s *site) grant(ctx context.Context, g *qos.Grant) (out element.Outcome, err error) {
	err = s.call(ctx, ask, func(ctx context.Context) error {
		out, err = s.element.Grant(ctx, g)
		return err
	})
	return out, err
}

// extend has the element let a grant go on.
func (s *site) extend(ctx context.Context, g *qos.Grant) (out element.Outcome, err error) {
	err = s.call(ctx, extend, func(ctx context.Context) error {
		out, err = s.element.Extend(ctx, g)
		return err
	})
	return out, err
}

// release has the element hold nothing for a grant.
func (s *site) release(ctx context.Context, g *qos.Grant) error {
	return s.call(ctx, release, func(ctx context.Context) error { return s.element.Release(ctx, g) })
}

func (s *site) call(ctx context.Context, what act, f func(context.Context) error) error {
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.whole.RLock()
	defer s.whole.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	begin := time.Now()
	err := f(ctx)
	s.metrics.called(s.name, what.String(), begin, err)
	s.note(err)
	return err
}

// note logs that the element cannot be asked any more, or that it can again.
func (s *site) note(err error) {
	switch failed := err != nil; {
	case failed && s.failing.CompareAndSwap(false, true):
		s.log.Warn("the element cannot be asked", "error", err)
	case !failed && s.failing.CompareAndSwap(true, false):
		s.log.Info("the element can be asked again")
	}
}
