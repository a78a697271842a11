package camara

import (
	"context"
	"net/http"
)

// call makes a call, and tells the log when the operator refuses our credentials, and when it takes them again.
func (e *Element) call(ctx context.Context, op call) (answer, error) {
	ans, err := e.api.do(ctx, op)
	switch p := problemOf(err); {
	case p.is(http.StatusUnauthorized), p.is(http.StatusForbidden):
		if !e.alarmed.Swap(true) {
			e.log.Error("the operator refuses our credentials, or what they may do", "call", op.what(), "answer", p.Error())
		}
	case err == nil && e.alarmed.Load() && e.alarmed.Swap(false):
		e.log.Info("the operator takes our credentials again")
	}
	return ans, err
}
