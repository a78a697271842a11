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

// rightOf finds out who a client is, by the strongest of what it shows, and what it may have at a service.
func (f *Farm) rightOf(q *query, farm *steer.Farm) right {
	c := f.conf.qos
	if name, ok := tsig.ValidatedKeyName(q.ctx); ok && c.tsig[name] != "" {
		return right{origin: byTSIG, client: qos.Client(qos.KindTSIG, name), rank: rankOf(farm, c.tsig[name])}
	}
	if len(c.certs) > 0 {
		if name := c.certificate(q); name != "" {
			return right{origin: byCertificate, client: qos.Client(qos.KindCert, name), rank: rankOf(farm, c.certs[name])}
		}
	}
	var why error
	for _, shown := range []struct {
		by origin
		*qos.Asked
	}{{byOption, &q.option}, {byLabel, &q.label}} {
		if shown.HandleLen == 0 {
			continue
		}
		r, err := f.handle(q, farm, shown.Asked)
		if err == nil {
			r.origin = shown.by
			return r
		}
		why = err
	}
	r := c.subnet(q, farm)
	r.why = why
	return r
}

func rankOf(farm *steer.Farm, level string) uint8 {
	if l := farm.Service.Level(level); l != nil {
		return l.Rank
	}
	return 0
}

// errUnknown is what is wrong with a handle that nobody has a record of.
var errUnknown = errors.New("handle: it is not known")

// handle finds out what a handle entitles to at a service. It asks nobody: keys and records are in memory.
func (f *Farm) handle(q *query, farm *steer.Farm, a *qos.Asked) (right, error) {
	token := a.Handle[:a.HandleLen]
	id := qos.HandleOf(token)
	rec, known := f.books.Handle(id)
	ring := f.books.Keyring()
	claim, err := qos.Claim{}, errUnknown
	switch {
	case known && (rec.Revoked || len(token) == qos.LookedUp):
		claim, err = rec.Claim(id, q.now)
	case len(token) == qos.Signed && ring != nil:
		claim, err = ring.Verify(token, q.now)
	}
	if err != nil {
		return right{}, err
	}
	shown, has := q.clientShown()
	if err := claim.Fits(farm.Service.Name, shown, has, q.client.addr); err != nil {
		return right{}, err
	}
	r := right{client: claim.Client, rank: claim.Rank, expires: claim.Expires}
	if known {
		r.addr, _ = netip.ParseAddr(rec.Address)
		r.phone = rec.Phone
	}
	return r, nil
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
func (c *qosConfig) subnet(q *query, farm *steer.Farm) right {
	region, _ := c.trie.Find(q.client.addr)
	if region == 0 {
		return right{}
	}
	rank := uint8(0)
	for i := range farm.Service.Levels {
		l := &farm.Service.Levels[i]
		if !l.Handle && l.Rank <= rankOf(farm, c.trie.Name(region)) {
			rank = max(rank, l.Rank)
		}
	}
	a := q.client.addr
	return right{origin: bySubnet, client: qos.Client(qos.KindNet, netip.PrefixFrom(a, a.BitLen()).String()), rank: rank}
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
