package farm

import (
	"encoding/binary"
	"fmt"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"

	"github.com/miekg/dns"
)

// What a client is told of its grant: in the EDNS0 option of a query that has one (answer.go), in SvcParams, and in TXT.

// The keys of SvcParams for private use (RFC 9460 section 14.3.2).
const (
	paramState dns.SVCBKey = 65300 // 1 octet, as qos.State
	paramGrant dns.SVCBKey = 65301 // 16 octets
	paramDSCP  dns.SVCBKey = 65302 // 1 octet
	paramLeft  dns.SVCBKey = 65303 // 4 octets, seconds
)

// grantParameters adds what was granted to the parameters of a SVCB record. They are not mandatory: clients that know
// nothing of them leave them alone.
func (q *query) grantParameters(kv []dns.SVCBKeyValue) []dns.SVCBKeyValue {
	s := &q.shown
	if s.State == qos.NoGrant {
		return kv
	}
	kv = append(kv, &dns.SVCBLocal{KeyCode: paramState, Data: []byte{byte(s.State)}})
	if s.Grant != (qos.GrantID{}) {
		kv = append(kv, &dns.SVCBLocal{KeyCode: paramGrant, Data: append([]byte(nil), s.Grant[:]...)})
	}
	if s.HasDSCP {
		kv = append(kv, &dns.SVCBLocal{KeyCode: paramDSCP, Data: []byte{s.DSCP}})
	}
	if s.State.Given() {
		kv = append(kv, &dns.SVCBLocal{KeyCode: paramLeft, Data: binary.BigEndian.AppendUint32(nil, s.Left)})
	}
	return kv
}

// grant answers TXT at _grant before a name: what its client has been granted. Looking asks for nothing.
func (f *Farm) grant(q *query, farm *steer.Farm) *dns.Msg {
	if q.qtype != dns.TypeTXT || q.level == nil {
		return q.nodata()
	}
	g := f.grantOf(q, farm)
	q.show(farm, g, &q.pick)
	if g != nil {
		q.shown.Server = g.Server
	}
	line := fmt.Sprintf("state=%s level=%s asked=%s", q.shown.State, orDash(q.shown.Level), q.level.Name)
	if g != nil {
		line += fmt.Sprintf(" server=%s left=%d grant=%s", g.Server, q.shown.Left, g.ID)
	}
	if q.shown.Reason != qos.NoReason {
		line += " reason=" + q.shown.Reason.String()
	}
	return q.answer([]dns.RR{q.txt(line)})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// prohibit refuses a client what it is not entitled to. One that cannot be told why gets the server's own refusal.
func (q *query) prohibit() *dns.Msg {
	if q.opt == nil {
		return q.refuse(outcomeRefused)
	}
	q.shown.State, q.shown.Reason = qos.Refused, qos.NotEntitled
	m := q.reply(outcomeRefused, dns.RcodeRefused)
	m.Authoritative = false
	return q.finish(m)
}

// replySize is what the data of the option in an answer mostly takes, in octets.
const replySize = 96
