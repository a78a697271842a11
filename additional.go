package farm

import (
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// answerWith is an answer with additional records, as many sets of them as fit: a reply is truncated only if what it has to
// carry does not fit (RFC 2181 section 9), and a set that is left out is asked for. OPT comes last.
func (f *Farm) answerWith(q *query, rrs, extra []dns.RR) *dns.Msg {
	m := q.answer(rrs)
	own := m.Extra
	state := request.Request{W: q.w, Req: q.r}
	size := state.Size()
	if size == dns.MaxMsgSize {
		m.Extra = append(extra, own...)
		return m
	}
	signature := 0
	if f.signs && q.opt != nil && q.opt.Do() {
		signature = signatureSize(q.zone.Name)
	}
	m.Compress = true // as it will be if it must
	for size -= q.reserve(signature); ; extra = withoutLastSet(extra) {
		m.Extra = append(extra[:len(extra):len(extra)], own...)
		if len(extra) == 0 || m.Len()+setsOf(extra)*signature < size {
			m.Compress = false
			return m
		}
	}
}

// signatureSize is what an RRSIG takes of a message: its owner's name compressed, the name of its zone in full, and a signature as
// ECDSA P-256 and Ed25519 make it: 64 octets, which the library that truncates counts as 66, for it goes by their base64 form. RSA's
// is longer: with it a reply may be truncated for its additional records.
func signatureSize(zone string) int {
	const owner, header, fixed, ecdsa = 2, 10, 18, 66
	return owner + header + fixed + len(zone) + 1 + ecdsa
}

// reserve is what a reply will carry beside what is in it yet: an OPT record, the aliases that led here, and the signatures of
// the answer.
func (q *query) reserve(signature int) int {
	size := signature
	if q.opt != nil && q.subnet == nil && !q.asksByOption && q.reason.text == "" {
		size += dns.Len(q.opt) // CoreDNS sends the client's own back
	}
	for _, target := range q.seen[:q.hops] {
		const owner, header = 2, 10
		size += owner + header + len(target) + 1 + signature
	}
	return size
}

func sameSet(a, b dns.RR) bool {
	return a.Header().Rrtype == b.Header().Rrtype && a.Header().Name == b.Header().Name
}

// setsOf counts the sets of records; those of one stand beside each other.
func setsOf(rrs []dns.RR) (n int) {
	for i, rr := range rrs {
		if i == 0 || !sameSet(rr, rrs[i-1]) {
			n++
		}
	}
	return n
}

func withoutLastSet(rrs []dns.RR) []dns.RR {
	n := len(rrs) - 1
	for n > 0 && sameSet(rrs[n], rrs[n-1]) {
		n--
	}
	return rrs[:n]
}
