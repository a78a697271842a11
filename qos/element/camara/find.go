package camara

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// find returns the sessions of the client's device that are for the same flow.
func (e *Element) find(ctx context.Context, g *qos.Grant, req *createSession) ([]sessionInfo, answer, error) {
	ans, err := e.call(ctx, call{method: http.MethodPost, path: "/retrieve-sessions", grant: g.ID,
		body: retrieveSessions{req.Device}, expect: http.StatusOK})
	if problemOf(err).is(http.StatusNotFound) {
		return nil, ans, nil
	}
	if err != nil {
		return nil, ans, err
	}
	all, err := decodeSessions(ans.body)
	list := all[:0]
	for _, s := range all {
		if s.overlaps(&req.flow) {
			list = append(list, s)
		}
	}
	return list, ans, err
}

// search adopts the session that was made for a grant and whose name nobody has heard.
func (e *Element) search(ctx context.Context, g *qos.Grant, req *createSession) (out element.Outcome, found bool, err error) {
	list, ans, err := e.find(ctx, g, req)
	if err != nil {
		return out, false, err
	}
	for i := range list {
		if e.fits(&list[i], g, req) {
			return e.adopt(ctx, g, &list[i], ans), true, nil
		}
	}
	return out, false, nil
}

// fits tells whether a session is what the grant asks for, and no other grant's.
func (e *Element) fits(s *sessionInfo, g *qos.Grant, req *createSession) bool {
	return s.QosStatus != statusUnavailable && s.equals(&req.flow) && e.whose(s, g) == ours
}

// owner says whose a session is.
type owner int

const (
	ours    owner = iota // the grant's, as far as anyone can tell
	left                 // a former grant's, that nobody has given back
	another              // another grant's, that stands
	foreign              // another application's
)

// whose says whose a session is, of a flow that is the grant's too. The sink tells it, where there is one.
func (e *Element) whose(s *sessionInfo, g *qos.Grant) owner {
	if holder, ok := e.sessions.holder(s.SessionID); ok {
		if holder == g.ID {
			return ours
		}
		return another
	}
	if s.Sink == "" {
		return ours
	}
	switch id, ok := grantOfSink(s.Sink); {
	case !ok:
		return foreign
	case id == g.ID:
		return ours
	}
	return left
}

// clear makes way for a session that is in conflict with others: the grant's own one is adopted, and those that nobody
// needs are deleted. settled is whether out is the answer; if not, it is worth asking once more.
func (e *Element) clear(ctx context.Context, g *qos.Grant, req *createSession) (out element.Outcome, settled bool, err error) {
	list, ans, err := e.find(ctx, g, req)
	if err != nil {
		e.sessions.drop(g.ID)
		out, err = refusal(err)
		return out, err == nil, err
	}
	for i := range list {
		if e.fits(&list[i], g, req) {
			return e.adopt(ctx, g, &list[i], ans), true, nil
		}
	}
	for i := range list {
		if w := e.whose(&list[i], g); w == another || w == foreign {
			e.sessions.drop(g.ID)
			return refused(fmt.Sprintf("409 %s: the flow has the session of another %s", codeConflict, w.word())), true, nil
		}
	}
	for i := range list {
		if err := e.remove(ctx, g.ID, list[i].SessionID); err != nil {
			return out, false, err
		}
	}
	return out, false, nil
}

func (o owner) word() string {
	if o == foreign {
		return "application"
	}
	return "grant"
}
