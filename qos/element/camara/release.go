package camara

import (
	"context"
	"net/http"

	"github.com/coredns-farm/farm/qos"
)

// Release deletes the grant's session, also one that was made and whose name nobody has heard.
func (e *Element) Release(ctx context.Context, g *qos.Grant) error {
	one, _ := e.sessions.get(g.ID)
	e.sessions.drop(g.ID) // first: what the operator tells of the deletion is no news
	if session := sessionOf(one, g); session != "" {
		return e.remove(ctx, g.ID, session)
	}
	req, why := e.requestOf(g)
	if why != "" {
		return nil // it cannot have been asked for
	}
	list, _, err := e.find(ctx, g, req)
	for i := range list {
		if err == nil && list[i].equals(&req.flow) && e.whose(&list[i], g) == ours {
			err = e.remove(ctx, g.ID, list[i].SessionID)
		}
	}
	return err
}

// remove deletes a session. One that is not there is deleted.
func (e *Element) remove(ctx context.Context, id qos.GrantID, session string) error {
	_, err := e.call(ctx, call{method: http.MethodDelete, path: "/sessions/" + session, grant: id, expect: http.StatusNoContent})
	if p := problemOf(err); p.is(http.StatusNotFound) || p.is(http.StatusGone) {
		return nil
	}
	return err
}
