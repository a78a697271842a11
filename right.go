package farm

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin/tsig"
	"github.com/miekg/dns"
)

// origin is how a client has shown who it is, the weakest first. A weaker one never overrides a stronger one.
type origin uint8

const (
	byNobody origin = iota
	bySubnet
	byLabel
	byOption
	byCertificate
	byTSIG
	origins
)

var originNames = [origins]string{"none", "subnet", "label", "option", "cert", "tsig"}

// right is what a client may have, and how it has shown that.
type right struct {
	origin  origin
	client  qos.ClientID
	rank    uint8 // of the best level that it may have; 0 is best effort
	expires int64 // ms; 0 is never
	addr    netip.Addr
	phone   string
	why     error // why the handle that it has shown was not accepted
}

// identifyClient finds out who a client is, by the strongest of what it shows, and what it may have at a service.
func (f *Farm) identifyClient(q *query, farm *steer.Farm) {
	c, r := f.conf.qos, &q.right
	if name, ok := tsig.ValidatedKeyName(q.ctx); ok && c.tsig[name] != "" {
		r.origin, r.client, r.rank = byTSIG, qos.Client(qos.KindTSIG, name), rankOf(farm, c.tsig[name])
		return
	}
	if len(c.certs) > 0 {
		if name := c.certificate(q); name != "" {
			r.origin, r.client, r.rank = byCertificate, qos.Client(qos.KindCert, name), rankOf(farm, c.certs[name])
			return
		}
	}
	if !f.handle(q, farm, &q.option, byOption) && !f.handle(q, farm, &q.label, byLabel) {
		c.subnet(q, farm)
	}
}

func rankOf(farm *steer.Farm, level string) uint8 {
	if l := farm.Service.Level(level); l != nil {
		return l.Rank
	}
	return 0
}

// errUnknown is what is wrong with a handle that nobody has a record of.
var errUnknown = errors.New("handle: it is not known")

// handle finds out what a handle entitles to at a service, and whether there is one that does.
func (f *Farm) handle(q *query, farm *steer.Farm, a *qos.Asked, by origin) bool {
	if a.HandleLen == 0 {
		return false
	}
	r := &q.right
	token := a.Handle[:a.HandleLen]
	id := qos.HandleOf(token)
	rec := f.books.Handle(id)
	if r.why = f.claim(q, token, id, rec); r.why != nil {
		return false
	}
	shown, has := q.clientShown()
	if r.why = q.claim.Fits(farm.Service.Name, shown, has, q.client.addr); r.why != nil {
		return false
	}
	r.origin, r.client, r.rank, r.expires = by, q.claim.Client, q.claim.Rank, q.claim.Expires
	if rec != nil {
		r.addr, _ = netip.ParseAddr(rec.Address)
		r.phone = rec.Phone
	}
	return true
}

// claim leaves in q.claim what a handle says, if it holds. It asks nobody: keys and records are in memory.
func (f *Farm) claim(q *query, token []byte, id qos.HandleID, rec *qos.HandleRecord) (err error) {
	switch ring := f.books.Keyring(); {
	case rec != nil && (rec.Revoked || len(token) == qos.LookedUp):
		err = rec.ClaimInto(&q.claim, id, q.now)
	case len(token) == qos.Signed && ring != nil:
		err = ring.VerifyInto(&q.claim, token, q.now)
	default:
		err = errUnknown
	}
	return err
}

// clientShown is the client id that the query shows beside a handle, the name of its TSIG key standing in for one.
func (q *query) clientShown() (qos.ClientID, bool) {
	switch {
	case q.option.HasClient:
		return q.option.Client, true
	case q.label.HasClient:
		return q.label.Client, true
	}
	if name, ok := tsig.ValidatedKeyName(q.ctx); ok {
		return qos.Client(qos.KindID, strings.TrimSuffix(name, ".")), true
	}
	return qos.ClientID{}, false
}

// subnet is the right of whoever asks from an address. It is the source address of the query, never the client subnet
// option: that anybody can write. Each address is a client of its own.
func (c *qosConfig) subnet(q *query, farm *steer.Farm) {
	region, _ := c.trie.Find(q.client.addr)
	if region == 0 {
		return
	}
	rank := uint8(0)
	for i := range farm.Service.Levels {
		l := &farm.Service.Levels[i]
		if !l.Handle && l.Rank <= rankOf(farm, c.trie.Name(region)) {
			rank = max(rank, l.Rank)
		}
	}
	a := q.client.addr
	q.right.origin, q.right.rank = bySubnet, rank
	q.right.client = qos.Client(qos.KindNet, netip.PrefixFrom(a, a.BitLen()).String())
}

// certificate returns the name, of those that have a level, in the client's certificate. Only a certificate that the
// server has verified counts.
func (c *qosConfig) certificate(q *query) string {
	state := connectionState(q)
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	for _, name := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
		if name = strings.ToLower(name); c.certs[name] != "" {
			return name
		}
	}
	return ""
}

// connectionState returns the state of the TLS connection that a query came over, or nil. The server wraps the writer of
// the connection, and its wraps do not pass the state on.
func connectionState(q *query) *tls.ConnectionState {
	if r, ok := q.ctx.Value(dnsserver.HTTPRequestKey{}).(*http.Request); ok {
		return r.TLS
	}
	w := q.w
	for range 16 {
		if s, ok := w.(dns.ConnectionStater); ok {
			return s.ConnectionState()
		}
		inner := reflect.Indirect(reflect.ValueOf(w)).FieldByName("ResponseWriter")
		if !inner.IsValid() || !inner.CanInterface() {
			return nil
		}
		next, ok := inner.Interface().(dns.ResponseWriter)
		if !ok {
			return nil
		}
		w = next
	}
	return nil
}

// unspoofed says whether whoever asks can be told from somebody who forges its address: what it has shown proves it, or
// the transport does.
func (q *query) unspoofed() bool {
	if q.right.origin > bySubnet {
		return true
	}
	_, datagram := q.w.RemoteAddr().(*net.UDPAddr)
	return !datagram
}
