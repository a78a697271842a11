package farm

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// With rewrite, a server that gets no clients is nowhere in the next plugin's answer: not behind the targets of SRV, HTTPS and SVCB
// records, not in hints, and not among additional records.

// steersTargets reports whether answers of a type carry addresses beside or in their records.
func steersTargets(qtype uint16) bool {
	switch qtype {
	case dns.TypeSRV, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeMX:
		return true
	}
	return false
}

// maxTargetLookups bounds the questions to the next plugin about the targets of one answer.
const maxTargetLookups = 16

// targetRewriter is an answer of the next plugin on its way to be steered.
type targetRewriter struct {
	f       *Farm
	q       *query
	out     *dns.Msg
	farm    *steer.Farm // of the service that the answer is about; nil is none
	sq      steer.Query
	steered *steer.Farm // the last one that anything was decided for
	ttl     uint32
	lookups int
	hosts   map[string]*targetHost // by name
	kept    []netip.Addr
}

// targetHost is what is known of a name that a record points to.
type targetHost struct {
	farm   *steer.Farm // whose servers it may be
	server int         // its only one; -1 is not known
	out    bool        // whether all its addresses are of servers that get no clients now
	gone   bool        // whether the records that point to it were left out
}

// steeredTargets returns an answer with targets as the decision has it, or the answer itself if it is about no service.
func (f *Farm) steeredTargets(q *query, m *dns.Msg) *dns.Msg {
	f.load(q)
	if len(m.Answer) == 0 || f.tooStale(q) {
		return m
	}
	r := &targetRewriter{f: f, q: q, out: m.Copy(), farm: f.farmOf(q, q.end(m)), hosts: make(map[string]*targetHost)}
	r.sq = steer.Query{Client: q.client.prefix, Region: q.client.region}
	if r.farm != nil {
		r.sq.Chance = f.memory.learned.Chance(r.farm, q.client.prefix, kindOf(q.qtype), q.now)
	}
	r.steerAnswer()
	r.steerAdditional()
	if r.steered == nil {
		return m
	}
	return r.finish()
}

func (r *targetRewriter) finish() *dns.Msg {
	q := r.q
	q.outcome = outcomeRewritten
	r.out.AuthenticatedData = false
	for _, rrs := range [][]dns.RR{r.out.Answer, r.out.Extra} {
		for _, rr := range rrs {
			if rr.Header().Rrtype != dns.TypeOPT {
				rr.Header().Ttl = min(rr.Header().Ttl, r.ttl)
			}
		}
	}
	at := make([]int, len(r.kept))
	for i := range at {
		at[i] = i
	}
	r.f.noteKept(q, r.steered, r.kept, at)
	q.scoped(r.out, scopeOf(r.steered, &q.client, r.steered.Service.Policy == steer.Sticky))
	return r.out
}

// note keeps that something was decided for a farm.
func (r *targetRewriter) note(farm *steer.Farm) {
	ttl := r.q.ttl(ttlOf(farm))
	if r.steered != nil {
		ttl = min(ttl, r.ttl)
	}
	r.steered, r.ttl = farm, ttl
}

// pointsTo returns the name that a record points to, if that is another one than its own.
func pointsTo(rr dns.RR) (string, bool) {
	target := ""
	switch rr := rr.(type) {
	case *dns.SRV:
		target = rr.Target
	default:
		if s := serviceModeOf(rr); s != nil {
			target = s.Target
		}
	}
	return strings.ToLower(target), target != "" && target != "." && !strings.EqualFold(target, rr.Header().Name)
}

// serviceModeOf returns a record with parameters (RFC 9460 section 2.4.3), or nil.
func serviceModeOf(rr dns.RR) *dns.SVCB {
	switch rr := rr.(type) {
	case *dns.SVCB:
		if rr.Priority > 0 {
			return rr
		}
	case *dns.HTTPS:
		if rr.Priority > 0 {
			return &rr.SVCB
		}
	}
	return nil
}

// targetOf returns the name that a record points to: of an MX record, its exchange.
func targetOf(rr dns.RR) (string, bool) {
	if mx, ok := rr.(*dns.MX); ok {
		return strings.ToLower(mx.Mx), true
	}
	return pointsTo(rr)
}

// steerAnswer leaves out the records whose targets get no clients, unless that is all of them: then the answer had better stay, as it does
// for addresses. A record that points to its own name always stays. It steers the hints and weights of the others.
func (r *targetRewriter) steerAnswer() {
	records, out := 0, 0
	for _, rr := range r.out.Answer {
		if rr.Header().Rrtype == r.q.qtype {
			records++
		}
		if target, ok := pointsTo(rr); ok && r.host(target, hintsOf(rr)).out {
			out++
		}
	}
	if out < records {
		r.leaveOut()
		for _, rr := range r.out.Answer {
			if s := serviceModeOf(rr); s != nil {
				r.steerHints(s)
			}
		}
	}
	r.weigh()
}

// leaveOut leaves out the records whose targets get no clients.
func (r *targetRewriter) leaveOut() {
	r.out.Answer = slices.DeleteFunc(r.out.Answer, func(rr dns.RR) bool {
		target, ok := pointsTo(rr)
		if !ok || !r.hosts[target].out {
			return false
		}
		r.hosts[target].gone = true
		return true
	})
}

// host finds out what a name is that a record points to.
func (r *targetRewriter) host(name string, hinted []netip.Addr) *targetHost {
	if h := r.hosts[name]; h != nil {
		return h
	}
	h := &targetHost{farm: r.farm, server: -1}
	r.hosts[name] = h
	match, farm, server := r.q.snap.Find(name)
	switch match {
	case steer.ServerMatch:
		h.farm, h.server = farm, server
		r.note(farm)
		h.out = !steer.Gives(farm, &r.sq, server)
		return h
	case steer.ServiceMatch:
		h.farm = farm
	}
	if h.farm != nil {
		h.settle(r, append(r.addressesOf(name), hinted...))
	}
	return h
}

// settle decides over a name by its addresses.
func (h *targetHost) settle(r *targetRewriter, addrs []netip.Addr) {
	servers, given := 0, 0
	for _, a := range addrs {
		s := h.farm.ByAddress(a)
		if s < 0 {
			given++ // a stranger's: nothing speaks against it
			continue
		}
		r.note(h.farm)
		servers++
		h.server = s
		if steer.Gives(h.farm, &r.sq, s) {
			given++
			r.kept = append(r.kept, a)
		}
	}
	h.out = servers > 0 && given == 0
}

// addressesOf returns the addresses of a name: those that stand beside the answer, else what the next plugin says.
func (r *targetRewriter) addressesOf(name string) []netip.Addr {
	addrs := addressesAmong(r.out.Extra, name)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if len(addrs) > 0 || r.lookups == maxTargetLookups {
			break
		}
		r.lookups++
		state := request.Request{W: r.q.w, Req: r.q.r}
		if m := r.f.askNextFor(r.q.ctx, r.q.w, state.NewWithQuestion(name, qtype).Req); m != nil {
			addrs = addressesAmong(m.Answer, "")
		}
	}
	return addrs
}

// addressesAmong returns the addresses of a name among records; of any name, if it is empty.
func addressesAmong(rrs []dns.RR, name string) (addrs []netip.Addr) {
	for _, rr := range rrs {
		if a, ok := addressOf(rr); ok && (name == "" || strings.EqualFold(rr.Header().Name, name)) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

func hintsOf(rr dns.RR) (addrs []netip.Addr) {
	s := serviceModeOf(rr)
	if s == nil {
		return nil
	}
	for _, kv := range s.Value {
		addrs = append(addrs, hintAddresses(kv)...)
	}
	return addrs
}

func hintAddresses(kv dns.SVCBKeyValue) (addrs []netip.Addr) {
	var ips []net.IP
	switch kv := kv.(type) {
	case *dns.SVCBIPv4Hint:
		ips = kv.Hint
	case *dns.SVCBIPv6Hint:
		ips = kv.Hint
	}
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// steerHints reduces and orders the hints of a record as the addresses of its target are. A hint of which nothing is left is left
// out: it is only a hint.
func (r *targetRewriter) steerHints(s *dns.SVCB) {
	farm := r.farm
	if target, ok := pointsTo(s); ok {
		farm = r.hosts[target].farm
	}
	if farm == nil {
		return
	}
	var kvs []dns.SVCBKeyValue
	for _, kv := range s.Value {
		addrs := hintAddresses(kv)
		if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return farm.ByAddress(a) >= 0 }) {
			kvs = append(kvs, kv)
			continue
		}
		r.note(farm)
		if kept := r.among(farm, addrs); len(kept) > 0 {
			kvs = append(kvs, hintWith(kv, kept))
			r.kept = append(r.kept, kept...)
		}
	}
	s.Value = kvs
}

// among returns the addresses that a pick leaves, in its order.
func (r *targetRewriter) among(farm *steer.Farm, addrs []netip.Addr) (kept []netip.Addr) {
	sq := r.sq
	sq.Family = steer.FamilyOf(addrs[0])
	order := make([]int, len(addrs))
	for _, i := range order[:steer.Among(farm, &sq, addrs, order)] {
		kept = append(kept, addrs[i])
	}
	return kept
}

func hintWith(kv dns.SVCBKeyValue, addrs []netip.Addr) dns.SVCBKeyValue {
	if _, ok := kv.(*dns.SVCBIPv4Hint); ok {
		return &dns.SVCBIPv4Hint{Hint: hints(addrs, steer.V4)}
	}
	return &dns.SVCBIPv6Hint{Hint: hints(addrs, steer.V6)}
}

// weigh sets the weights of SRV records in proportion to what the decision weighs their servers, where those of a priority are
// all servers of one service.
func (r *targetRewriter) weigh() {
	byPriority := make(map[uint16][]*dns.SRV)
	for _, rr := range r.out.Answer {
		if rr, ok := rr.(*dns.SRV); ok {
			byPriority[rr.Priority] = append(byPriority[rr.Priority], rr)
		}
	}
	for _, rrs := range byPriority {
		first := r.hosts[strings.ToLower(rrs[0].Target)]
		most, known := 0.0, true
		for _, rr := range rrs {
			h := r.hosts[strings.ToLower(rr.Target)]
			if known = known && h != nil && h.server >= 0 && h.farm == first.farm; known {
				most = max(most, h.farm.State[h.server].Weight)
			}
		}
		for _, rr := range rrs {
			if known {
				h := r.hosts[strings.ToLower(rr.Target)]
				rr.Weight = srvWeight(h.farm.State[h.server].Weight, most)
			}
		}
	}
}

// steerAdditional leaves out addresses of servers that get no clients, and those of targets that are not in the answer any more.
// Signed ones stay as they are.
func (r *targetRewriter) steerAdditional() {
	if slices.ContainsFunc(r.out.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG }) {
		return
	}
	for _, rr := range r.out.Extra {
		if _, isAddress := addressOf(rr); isAddress {
			r.host(strings.ToLower(rr.Header().Name), nil)
		}
	}
	keep := r.keptBeside()
	r.out.Extra = slices.DeleteFunc(r.out.Extra, func(rr dns.RR) bool {
		a, isAddress := addressOf(rr)
		name := strings.ToLower(rr.Header().Name)
		if !isAddress || keep[name] {
			return false
		}
		h := r.hosts[name]
		if h.gone || h.farm == nil {
			return h.gone
		}
		s := h.farm.ByAddress(a)
		return s >= 0 && !steer.Gives(h.farm, &r.sq, s)
	})
}

// keptBeside returns the names that keep their addresses although no server there gets clients: names that the answer does not point
// to, and its targets where it has no better one.
func (r *targetRewriter) keptBeside() map[string]bool {
	isTarget, better := make(map[string]bool), false
	for _, rr := range r.out.Answer {
		target, ok := targetOf(rr)
		if ok {
			isTarget[target] = true
		}
		if h := r.hosts[target]; rr.Header().Rrtype == r.q.qtype && (!ok || h == nil || !h.out) {
			better = true
		}
	}
	keep := make(map[string]bool)
	for name, h := range r.hosts {
		keep[name] = h.out && !h.gone && !(better && isTarget[name])
	}
	return keep
}
