// Package element says what a network element is to the broker: what grants, and enforces, network quality of service
// between a client and a server. A new kind of element is one folder beside this file.
package element

import (
	"context"

	"github.com/coredns-farm/farm/qos"
)

// Element is one network element. The broker calls its methods from several goroutines, never two at a time for one
// grant. Each blocks until the element has answered or the context ends. An error means that the element could not be
// asked, and that asking again may help; a refusal is no error.
type Element interface {
	// Grant asks for a grant. It is idempotent: a grant that the element holds already (by its ID, or its Session) is
	// answered as it stands.
	Grant(ctx context.Context, g *qos.Grant) (Outcome, error)
	// Extend has a grant that stands go on until g.End.
	Extend(ctx context.Context, g *qos.Grant) (Outcome, error)
	// Release gives a grant back. It is idempotent: what the element does not hold is released.
	Release(ctx context.Context, g *qos.Grant) error
	// Reconcile makes the element hold what is live and nothing else of ours. It is called when the broker starts, and now
	// and then. What it cannot hold (any more) it reports as Events.
	Reconcile(ctx context.Context, live []*qos.Grant) error
	// Events tells what the element did by itself, or later than it was asked. It may be nil; it is closed by Close.
	Events() <-chan Event
	// Close ends the element. What it put in place is taken away if it would not go by itself.
	Close(ctx context.Context) error
}

// Outcome is an element's answer.
type Outcome struct {
	State   qos.State  // Granted; Refused; or Requested: an Event will tell
	Session string     // its name for the grant, if it has one
	End     int64      // ms since 1970; when the grant ends, 0 is as asked
	Reason  qos.Reason // of a refusal
	Detail  string     // for people
}

// Event is what became of a grant by the element's own doing. State is Granted, Refused or Ended.
type Event struct {
	ID GrantOf
	Outcome
}

// GrantOf names the grant that an event is about.
type GrantOf struct {
	Service string
	ID      qos.GrantID
}
