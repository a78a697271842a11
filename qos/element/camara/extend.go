package camara

import (
	"context"
	"errors"
	"math"
	"net/http"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// Extend has a session go on until g.End. Since the API adds time to what there is, and an answer may have been lost, it
// looks at the session first. The operator may give less time than asked, or none: the outcome's End says what there is.
// Refused means that the session stands as it did; Ended, that it is gone.
func (e *Element) Extend(ctx context.Context, g *qos.Grant) (element.Outcome, error) {
	one, _ := e.sessions.get(g.ID)
	session := sessionOf(one, g)
	if session == "" {
		return noSession(), nil
	}
	info, ans, err := e.fetch(ctx, g.ID, session)
	if err == nil && info.QosStatus == statusAvailable {
		if more := secondsUntil(g.End, info.end(ans.ahead)); more > 0 {
			info, ans, err = e.prolong(ctx, g, session, more)
		}
	}
	switch p := problemOf(err); {
	case p.is(http.StatusNotFound):
		e.sessions.drop(g.ID)
		return noSession(), nil
	case err != nil:
		return refusal(err)
	case info.QosStatus == statusRequested:
		return element.Outcome{}, errors.New("extend: the session is not available yet")
	}
	return e.extended(ctx, g, info, ans), nil
}

func noSession() element.Outcome {
	return element.Outcome{State: qos.Ended, Reason: qos.ByElement, Detail: "the operator has no such session"}
}

// secondsUntil returns the whole seconds from one end to a later one; both in ms. Ends that are nearly the same are the
// same: an operator may tell whole seconds alone.
func secondsUntil(later, end int64) int32 {
	if later-end < nearly.Milliseconds() {
		return 0
	}
	return int32(min((later-end+999)/1000, math.MaxInt32))
}

// prolong adds seconds to a session. In a state that allows none, what counts is the session as it has become.
func (e *Element) prolong(ctx context.Context, g *qos.Grant, session string, more int32) (*sessionInfo, answer, error) {
	info, ans, err := e.session(ctx, call{method: http.MethodPost, path: "/sessions/" + session + "/extend", grant: g.ID,
		body: extendSession{more}, expect: http.StatusOK})
	if problemOf(err).is(http.StatusConflict) {
		return e.fetch(ctx, g.ID, session)
	}
	return info, ans, err
}

// extended takes in a session that was to be extended.
func (e *Element) extended(ctx context.Context, g *qos.Grant, info *sessionInfo, ans answer) element.Outcome {
	out := outcomeOf(info, true, ans)
	if out.State == qos.Ended {
		e.sessions.drop(g.ID)
		e.bury(ctx, g.ID, info)
		return out
	}
	one := held{grant: *g, session: info.SessionID, given: true, end: out.End}
	one.next = e.nextLook(one)
	e.sessions.put(one)
	wake(e.nudged)
	if out.End > g.End {
		out.End = g.End // rounded to whole seconds, or longer by an earlier wish
	}
	return out
}
