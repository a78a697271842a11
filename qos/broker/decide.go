package broker

import (
	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// act is what a grant's element has to do for it.
type act uint8

const (
	release act = iota // the element must hold nothing for it
	ask                // the element must say yes or no
	extend             // the element must hold it until its end
)

var actNames = [...]string{"release", "ask", "extend"}

func (a act) String() string { return actNames[a] }

// actOf says what a grant needs of its element. What is in the queue carries no verb: the grant as it stands says it, so
// that an entry that is read twice, late, or out of order does no harm.
func actOf(g *qos.Grant) act {
	switch {
	case g.State == qos.Requested && g.Network:
		return ask
	case g.State.Given() && g.Network:
		return extend
	}
	return release
}

// offers returns what may be granted to a request, the best first.
func offers(g *qos.Grant) []qos.Offer { return append([]qos.Offer{g.Offer}, g.Lower...) }

// clockSlack is by how much the clocks of a broker and of the database are expected to differ, in ms. It also covers how
// late a grant is swept that is over.
const clockSlack = 5000

// localEnd returns when a live grant ends, or by when a request is to be answered, on the broker's clock, which is expected
// to be the database's. It cannot be far off: the grant is live, and no longer than its duration. If it seems to be, the
// clocks differ, and its time is taken to begin now: the end that counts comes through the queue in any case.
func localEnd(g *qos.Grant, now int64) int64 {
	whole := int64(g.Duration) * 1000
	if g.State == qos.Requested {
		whole = patience.Milliseconds()
	}
	if left := g.End - now; left >= -clockSlack && left <= whole+clockSlack {
		return max(g.End, now)
	}
	return now + whole
}

// with returns the grant as a request for one of its offers.
func with(g *qos.Grant, o qos.Offer) qos.Grant {
	g2 := *g
	g2.Offer, g2.Lower = o, nil
	if o.Level != g.Level {
		g2.Session = "" // of the level that was refused
	}
	return g2
}

// answerOf returns the answer to a request, or to a grant that stands, that an element's outcome is. The outcome's state
// is Granted or Requested.
func answerOf(g *qos.Grant, o qos.Offer, out element.Outcome) qos.Grant {
	a := *g
	a.Offer, a.Session, a.Detail, a.Reason = o, out.Session, out.Detail, qos.NoReason
	a.State = qos.Requested
	if out.State == qos.Granted {
		a.State = stateAt(g, o.Level)
	}
	if out.End != 0 {
		a.End = out.End
	}
	return a
}

func stateAt(g *qos.Grant, level string) qos.State {
	if level == g.Asked {
		return qos.Granted
	}
	return qos.GrantedLower
}

// without returns the answer when the element grants nothing, or no longer does: the server's part stands alone, if there
// is one and the level can do without the network's; else it is over.
func without(g *qos.Grant, out element.Outcome) qos.Grant {
	a := *g
	a.Reason, a.Detail, a.Session = out.Reason, out.Detail, ""
	if a.Reason == qos.NoReason {
		a.Reason = qos.ByElement
	}
	switch {
	case !g.NeedsNetwork && g.Unit > 0:
		a.Network = false
		a.State = stateAt(g, g.Level)
	case g.State == qos.Requested:
		a.State = qos.Refused
	default:
		a.State = qos.Ended
	}
	return a
}

// extended returns the answer to an outcome of an extension, and whether there is anything to write: when all is as it
// stands already, there is not.
func extended(g *qos.Grant, out element.Outcome) (a qos.Grant, news bool) {
	switch out.State {
	case qos.Ended:
		return without(g, out), true
	case qos.Refused: // it stands as it did; the element tells when it ends
		return *g, false
	}
	a = answerOf(g, g.Offer, out)
	a.State, a.Detail, a.Reason = g.State, g.Detail, g.Reason
	return a, a.End != g.End || a.Session != g.Session
}
