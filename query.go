package farm

import (
	"context"
	"strings"
	"sync"

	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// query is one lookup on its way through, and the room that it is worked out in.
type query struct {
	ctx    context.Context
	w      dns.ResponseWriter
	r      *dns.Msg
	name   string // lower case
	qtype  uint16
	zone   *zone
	opt    *dns.OPT
	subnet *dns.EDNS0_SUBNET
	client client

	snap *steer.Snapshot
	now  int64 // ms; the one reading of the clock

	aliases
	*wish // what it says about quality of service; noWish where that is nothing

	// What the cases leave for the reply.
	outcome outcome
	scope   uint8
	reason  ede

	asks steer.Query // what was asked of the decision
	pick steer.Pick  // what it said
	room wish        // for a wish that is one
}

// queries are used again. Each lookup has a goroutine of its own, whose stack begins small and grows by being copied: with
// the room of a lookup on it, growing took a fifth of the server's time.
var queries = sync.Pool{New: func() any { return new(query) }}

func newQuery(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) *query {
	q := queries.Get().(*query)
	question := &r.Question[0]
	q.ctx, q.w, q.r, q.wish, q.name, q.qtype = ctx, w, r, &noWish, strings.ToLower(question.Name), question.Qtype
	return q
}

// release gives the query back. Nothing may refer to it any more.
func (q *query) release() {
	*q = query{}
	queries.Put(q)
}
