package camara

import (
	"context"
	"net/http"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// Grant asks the operator for a session. A session that it has for the grant already is answered as it stands, also when
// it was another element, or an earlier one, that asked.
func (e *Element) Grant(ctx context.Context, g *qos.Grant) (element.Outcome, error) {
	req, why := e.requestOf(g)
	if why != "" {
		return refused(why), nil
	}
	one, asked := e.sessions.get(g.ID)
	switch session := sessionOf(one, g); {
	case session != "":
		if out, stands, err := e.standing(ctx, g, req, session); stands || err != nil {
			return out, err
		}
	case asked: // and not answered
		out, found, err := e.search(ctx, g, req)
		if err != nil {
			return refusal(err)
		}
		if found {
			return out, nil
		}
	}
	return e.create(ctx, g, req)
}

// sessionOf returns the session of a grant; empty is none.
func sessionOf(one held, g *qos.Grant) string {
	if one.session != "" {
		return one.session
	}
	if isUUID(g.Session) {
		return g.Session
	}
	return ""
}

// standing answers with a session that is known, if the operator still has it. One of another profile, which was asked
// for before, makes way.
func (e *Element) standing(ctx context.Context, g *qos.Grant, req *createSession, session string) (out element.Outcome, stands bool, err error) {
	info, ans, err := e.fetch(ctx, g.ID, session)
	switch {
	case problemOf(err).is(http.StatusNotFound):
		return out, false, nil
	case err != nil:
		out, err = refusal(err)
		return out, err == nil, err
	case info.QosProfile != req.QosProfile:
		return out, false, e.remove(ctx, g.ID, session)
	}
	return e.adopt(ctx, g, info, ans), true, nil
}

// create asks for a new session. What stands in its way, and a duration out of range, are mended once each.
func (e *Element) create(ctx context.Context, g *qos.Grant, req *createSession) (element.Outcome, error) {
	e.sessions.put(held{grant: *g})
	e.profiles.clamp(ctx, g, req)
	for cleared, clamped := false, false; ; {
		info, ans, err := e.post(ctx, g, req)
		switch p := problemOf(err); {
		case err == nil:
			return e.adopt(ctx, g, info, ans), nil
		case p.is(http.StatusConflict) && !cleared:
			cleared = true
			if out, settled, err := e.clear(ctx, g, req); settled || err != nil {
				return out, err
			}
		case p.says(codeDuration) && !clamped:
			clamped = true
			e.profiles.forget(req.QosProfile)
			if !e.profiles.clamp(ctx, g, req) {
				e.sessions.drop(g.ID)
				return refused(p.Error()), nil
			}
		case p != nil:
			e.sessions.drop(g.ID)
			return refusal(err)
		default: // it may have made the session: what is held remembers that
			return element.Outcome{}, err
		}
	}
}

func (e *Element) post(ctx context.Context, g *qos.Grant, req *createSession) (*sessionInfo, answer, error) {
	if e.sink != nil {
		req.Sink = e.sink.urlOf(g.ID)
		req.SinkCredential = e.sink.credential(g.ID, e.now().Add(e.profiles.longest(req)))
	}
	return e.session(ctx, call{method: http.MethodPost, path: "/sessions", grant: g.ID, body: req, expect: http.StatusCreated})
}

// fetch gets a session as it is.
func (e *Element) fetch(ctx context.Context, id qos.GrantID, session string) (*sessionInfo, answer, error) {
	return e.session(ctx, call{method: http.MethodGet, path: "/sessions/" + session, grant: id, expect: http.StatusOK})
}

// session makes a call that is answered with a session.
func (e *Element) session(ctx context.Context, c call) (*sessionInfo, answer, error) {
	ans, err := e.call(ctx, c)
	if err != nil {
		return nil, ans, err
	}
	info, err := decodeSession(ans.body)
	return info, ans, err
}

// adopt holds a session for a grant, and returns what it is to the broker.
func (e *Element) adopt(ctx context.Context, g *qos.Grant, info *sessionInfo, ans answer) element.Outcome {
	out := outcomeOf(info, false, ans)
	if out.State == qos.Refused {
		e.sessions.drop(g.ID)
		e.bury(ctx, g.ID, info)
		return out
	}
	one := held{grant: *g, session: info.SessionID, given: out.State == qos.Granted, end: out.End}
	one.next = e.nextLook(one)
	e.sessions.name(one)
	wake(e.nudged)
	return out
}

// outcomeOf says what a session is to the broker. given is whether the broker has been told that it is available.
func outcomeOf(info *sessionInfo, given bool, ans answer) element.Outcome {
	out := element.Outcome{Session: info.SessionID}
	switch info.QosStatus {
	case statusRequested:
		out.State = qos.Requested
	case statusAvailable:
		out.State, out.End = qos.Granted, info.end(ans.ahead)
	default:
		out.State, out.Reason, out.Detail = qos.Refused, reasonOf(info.StatusInfo), info.StatusInfo
		if given {
			out.State = qos.Ended
		}
	}
	return out
}

// reasonOf says why a session is unavailable. What is not said is the network's doing.
func reasonOf(statusInfo string) qos.Reason {
	switch statusInfo {
	case infoExpired:
		return qos.Expired
	case infoDeleted:
		return qos.Released
	}
	return qos.ByElement
}

// bury deletes a session that the network has ended: until then, it stands in the way of the next one. If that fails, the
// next one finds it.
func (e *Element) bury(ctx context.Context, id qos.GrantID, info *sessionInfo) {
	if reasonOf(info.StatusInfo) == qos.ByElement {
		_ = e.remove(ctx, id, info.SessionID)
	}
}
