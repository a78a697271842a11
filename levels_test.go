package farm

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/test"
	"github.com/coredns/coredns/plugin/tsig"
	"github.com/miekg/dns"
)

// levelled is a zone of two services with levels. Of www only fast servers are gold's, which has a part of the network; pro
// is of a server alone; plain is for whoever asks from 10.7.0.0/16.
const levelled = `farm example.org {
	level gold {
		rank 30
		unit 0.1
		classes fast
		down 8M
		dscp EF
		profile QOS_E
		requires network
		handle
		refuse
	}
	level pro {
		rank 20
		ceiling 0.9
		keep 0.1
		delay 30ms
	}
	level plain {
		rank 10
	}
	qos {
		wait 500ms
		rate 1 3
		client tsig key.example.org gold
		client cert app.example.net pro
		client subnet 10.7.0.0/16 gold
		client subnet 10.7.9.0/24 plain
	}
	ecs 127.0.0.0/8
	service www.example.org {
		server fast1 192.0.2.1 2001:db8::1 port 443 classes fast
		server slow1 192.0.2.2 port 443
	}
	service *.apps.example.org {
		server any 192.0.2.3
	}
}`

// shelf is books for tests: what they hold is put there by hand, and what is asked is only noted.
type shelf struct {
	mu      sync.Mutex // guards grants
	ring    *qos.Keyring
	handles map[qos.HandleID]qos.HandleRecord
	grants  map[qos.ClientID]*qos.Grant
	asked   []store.Request
	full    bool
	changed chan struct{}
	waiting int
	onAsk   func(store.Request)
}

func (s *shelf) Keyring() *qos.Keyring { return s.ring }

func (s *shelf) Handle(id qos.HandleID) *qos.HandleRecord {
	if _, ok := s.handles[id]; !ok {
		return nil
	}
	r := s.handles[id]
	return &r
}

func (s *shelf) Grant(_ string, c qos.ClientID) (*qos.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.grants[c]
	return g, ok
}

func (s *shelf) Await(string, qos.ClientID) (<-chan struct{}, func(), bool) {
	s.waiting++
	return s.changed, func() { s.waiting-- }, true
}

func (s *shelf) Ask(r store.Request) bool {
	if s.full {
		return false
	}
	s.asked = append(s.asked, r)
	if s.onAsk != nil {
		s.onAsk(r)
	}
	return true
}

const keyID = 7

var secret = []byte(strings.Repeat("k", 32))

func withShelf(t testing.TB, block string) (*Farm, *shelf) {
	t.Helper()
	f := newTestFarm(t, block)
	for i := range f.conf.services {
		f.conf.services[i].Levels = f.conf.defaults.Levels
	}
	f.source = &fixed{snapshotOf(f), at}
	ring, err := qos.NewKeyring([]qos.Key{{ID: keyID, Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{
		ring: ring, handles: make(map[qos.HandleID]qos.HandleRecord), grants: make(map[qos.ClientID]*qos.Grant),
		changed: make(chan struct{}, 1),
	}
	f.books, f.conf.qos.wait = s, 0
	return f, s
}

var alice = qos.Client(qos.KindID, "alice")

// claim is alice's for gold at www, for an hour, with changes.
func claim(change ...func(*qos.Claim)) qos.Claim {
	c := qos.Claim{Client: alice, Rank: 30, Expires: at + 3_600_000, Service: qos.ServiceHash("www.example.org."), KeyID: keyID}
	for _, each := range change {
		each(&c)
	}
	return c
}

func (s *shelf) sign(t testing.TB, c qos.Claim) []byte {
	t.Helper()
	token, err := s.ring.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token[:]
}

// hex32 is how octets stand in a label.
func hex32(b []byte) string {
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

func label(token []byte) string { return "_h-" + hex32(token) + "." }

var asAlice = as("alice")

func as(id string) string { return "_c-" + hex32([]byte(id)) + "." }

func option(data []byte) *dns.EDNS0_LOCAL {
	return &dns.EDNS0_LOCAL{Code: defaultOption, Data: data}
}

// tlvs is the data of an option.
func tlvs(parts ...any) []byte {
	b := []byte{1, 0}
	for i := 0; i < len(parts); i += 2 {
		var v []byte
		switch x := parts[i+1].(type) {
		case string:
			v = []byte(x)
		case []byte:
			v = x
		}
		b = append(append(b, byte(parts[i].(int)), byte(len(v))), v...)
	}
	return b
}

const (
	tlvClient = 2
	tlvHandle = 3
	tlvLevel  = 4
)

// levelWriter keeps what is written.
type levelWriter struct {
	dns.ResponseWriter
	msg *dns.Msg
}

func (w *levelWriter) WriteMsg(m *dns.Msg) error { w.msg = m; return nil }

func TestEntitlement(t *testing.T) {
	f, s := withShelf(t, levelled)
	good := s.sign(t, claim())
	flip := func(i int) []byte {
		b := append([]byte(nil), good...)
		b[i] ^= 1
		return b
	}
	looked := []byte("sixteen octets!!")
	s.handles[qos.HandleOf(looked)] = qos.HandleRecord{Client: alice, Rank: 30, Service: ".", Expires: at + 1000, Address: "198.51.100.9"}
	stale := []byte("older than that!")
	s.handles[qos.HandleOf(stale)] = qos.HandleRecord{Client: alice, Rank: 30, Service: ".", Expires: at}
	revoked := s.sign(t, claim(func(c *qos.Claim) { c.Expires += 60_000 }))
	s.handles[qos.HandleOf(revoked)] = qos.HandleRecord{Client: alice, Rank: 30, Service: ".", Expires: at + 1e9, Revoked: true}
	bound, _ := qos.ClientAt(netip.MustParseAddr("203.0.113.5"))
	other := qos.Client(qos.KindID, "bob")

	a := func(name string) *dns.Msg { return question(name, dns.TypeA) }
	opt := func(name string, data []byte) *dns.Msg { return withOption(a(name), option(data)) }
	const www = "www.example.org."
	for _, tc := range []struct {
		name  string
		q     *dns.Msg
		from  string
		udp   bool
		gold  bool // whether gold is requested
		rcode int
	}{
		{"a handle and its client", a(label(good) + asAlice + www), "203.0.113.1", true, true, 0},
		{"in another order", a(asAlice + label(good) + www), "203.0.113.1", true, true, 0},
		{"in capitals", a(strings.ToUpper(asAlice + label(good) + www)), "203.0.113.1", true, true, 0},
		{"asking for the level", a("_q-gold." + label(good) + asAlice + www), "203.0.113.1", true, true, 0},
		{"asking by its profile", a("_q-qos-e." + label(good) + asAlice + www), "203.0.113.1", true, true, 0},
		{"asking in figures", a("_q-r-n8000." + label(good) + asAlice + www), "203.0.113.1", true, true, 0},
		{"in the option", opt(www, tlvs(tlvHandle, good, tlvClient, "alice")), "203.0.113.1", true, true, 0},
		{"in the option, asking by the profile", opt(www, tlvs(tlvHandle, good, tlvClient, "alice", tlvLevel, "QOS_E")), "203.0.113.1", true, true, 0},
		{"looked up", a(label(looked) + asAlice + www), "203.0.113.1", true, true, 0},
		{"a bearer's", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Bearer = true }))) + www), "203.0.113.1", true, true, 0},
		{"of an address", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Client, c.Bound = bound, true }))) + www), "203.0.113.5", true, true, 0},
		{"for every service", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Service = qos.ServiceHash(qos.AnyService) }))) + asAlice + www), "203.0.113.1", true, true, 0},

		{"nothing", a(www), "203.0.113.1", false, false, 0},
		{"without its client", a(label(good) + www), "203.0.113.1", false, false, 0},
		{"another client's", a(label(good) + as("bob") + www), "203.0.113.1", false, false, 0},
		{"another client's, in the option", opt(www, tlvs(tlvHandle, good, tlvClient, "bob")), "203.0.113.1", false, false, 0},
		{"a client id alone", a(asAlice + www), "203.0.113.1", false, false, 0},
		{"forged: signature", a(label(flip(35)) + asAlice + www), "203.0.113.1", false, false, 0},
		{"forged: rank", a(label(flip(6)) + asAlice + www), "203.0.113.1", false, false, 0},
		{"forged: expiry", a(label(flip(2)) + asAlice + www), "203.0.113.1", false, false, 0},
		{"forged: bearer", a(label(flip(7)) + www), "203.0.113.1", false, false, 0},
		{"forged: another key", a(label(flip(1)) + asAlice + www), "203.0.113.1", false, false, 0},
		{"truncated", opt(www, tlvs(tlvHandle, good[:35], tlvClient, "alice")), "203.0.113.1", false, false, dns.RcodeFormatError},
		{"truncated label", a(label(good[:35]) + asAlice + www), "203.0.113.1", false, false, 0},
		{"expired", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Expires = at - 60_000 }))) + asAlice + www), "203.0.113.1", false, false, 0},
		{"expired, looked up", a(label(stale) + asAlice + www), "203.0.113.1", false, false, 0},
		{"never issued", a(label([]byte("nobody knows it!")) + asAlice + www), "203.0.113.1", false, false, 0},
		{"revoked", a(label(revoked) + asAlice + www), "203.0.113.1", false, false, 0},
		{"replayed for another service", a(label(good) + asAlice + "x.apps.example.org."), "203.0.113.1", false, false, 0},
		{"of an address, from another", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Client, c.Bound = bound, true }))) + www), "203.0.113.6", false, false, 0},
		{"of an address, shown by its client id", a(label(s.sign(t, claim(func(c *qos.Claim) { c.Client, c.Bound = other, true }))) + asAlice + www), "203.0.113.6", false, false, 0},
		{"twice", a(label(good) + label(good) + asAlice + www), "203.0.113.1", false, false, 0},
		{"two clients", a(label(good) + asAlice + asAlice + www), "203.0.113.1", false, false, 0},
		{"two levels", a("_q-gold._q-pro." + label(good) + asAlice + www), "203.0.113.1", false, false, 0},
		{"oversized option", opt(www, append(tlvs(tlvHandle, good, tlvClient, "alice"), make([]byte, 600)...)), "203.0.113.1", false, false, dns.RcodeFormatError},
		{"option of another version", opt(www, append([]byte{2}, tlvs(tlvHandle, good, tlvClient, "alice")[1:]...)), "203.0.113.1", false, false, dns.RcodeFormatError},
		{"asks without a right", a("_q-gold." + www), "203.0.113.1", false, false, dns.RcodeRefused},
		{"asks with a bad one", a("_q-gold." + label(flip(35)) + asAlice + www), "203.0.113.1", false, false, dns.RcodeRefused},

		{"a subnet's level that: expected a handle", a(www), "10.7.1.1", false, false, 0},
		{"and asks for it", a("_q-gold." + www), "10.7.1.1", false, false, dns.RcodeRefused},
		{"the subnet of another, by ECS", withSubnet(a("_q-gold."+www), "10.7.1.0/24"), "127.0.0.1", false, false, dns.RcodeRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.limiter = qos.NewLimiter(16, 1000, 1000, 1)
			w := &levelWriter{ResponseWriter: &test.ResponseWriter{RemoteIP: tc.from, TCP: !tc.udp}}
			s.asked = nil
			rcode, err := f.ServeDNS(t.Context(), w, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			if w.msg != nil {
				checkPacks(t, w.msg)
				rcode = w.msg.Rcode
			}
			gold := len(s.asked) == 1 && s.asked[0].Level == "gold" && s.asked[0].Server == "fast1"
			if rcode != tc.rcode || gold != tc.gold || !gold && len(s.asked) > 0 && s.asked[0].Asked == "gold" {
				t.Errorf("Expected rcode %d and gold %v, got %d and %+v", tc.rcode, tc.gold, rcode, s.asked)
			}
		})
	}
}

// The stronger origin holds, also where a weaker one entitles to more.
func TestOrigins(t *testing.T) {
	f, s := withShelf(t, levelled)
	pro := s.sign(t, claim(func(c *qos.Claim) { c.Rank, c.Bearer = 20, true }))
	gold := s.sign(t, claim(func(c *qos.Claim) { c.Bearer = true }))
	farm := f.source.Load().Farm("www.example.org.")
	at := func(from string, q query) query {
		if q.w == nil {
			q.w = &test.ResponseWriter{RemoteIP: from}
		}
		if q.wish == nil {
			q.wish = new(wish)
		}
		q.client, q.now = client{addr: netip.MustParseAddr(from)}, at
		if q.ctx == nil {
			q.ctx = t.Context()
		}
		return q
	}
	shows := func(token []byte) (a qos.Asked) {
		a.HandleLen = uint8(copy(a.Handle[:], token))
		return a
	}
	for _, tc := range []struct {
		name   string
		q      query
		origin origin
		rank   uint8
	}{
		{"nobody", at("203.0.113.1", query{}), byNobody, 0},
		{"subnet, but for what: expected a handle", at("10.7.1.1", query{}), bySubnet, 20},
		{"the longer subnet, which may have less", at("10.7.9.1", query{}), bySubnet, 10},
		{"label over subnet", at("10.7.9.1", query{wish: &wish{label: shows(pro)}}), byLabel, 20},
		{"option over label", at("203.0.113.1", query{wish: &wish{label: shows(gold), option: shows(pro)}}), byOption, 20},
		{"a bad option does not hide the label", at("203.0.113.1", query{wish: &wish{label: shows(gold), option: shows([]byte("nobody knows it!"))}}), byLabel, 30},
		{"certificate over handles", at("203.0.113.1", query{w: withCertificate("app.example.net", true), wish: &wish{option: shows(gold)}}), byCertificate, 20},
		{"a certificate that nobody verified", at("203.0.113.1", query{w: withCertificate("app.example.net", false), wish: &wish{label: shows(gold)}}), byLabel, 30},
		{"a certificate that has no level", at("203.0.113.1", query{w: withCertificate("other.example.net", true), wish: &wish{label: shows(gold)}}), byLabel, 30},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.identifyClient(&tc.q, farm)
			r := &tc.q.right
			if r.origin != tc.origin || r.rank != tc.rank {
				t.Errorf("Expected %s with rank %d, got %s with %d (%v)", originNames[tc.origin], tc.rank, originNames[r.origin], r.rank, r.why)
			}
		})
	}
}

// tlsWriter is a writer of a TLS connection, inside one that hides that.
type tlsWriter struct {
	dns.ResponseWriter
	state *tls.ConnectionState
}

func (w *tlsWriter) ConnectionState() *tls.ConnectionState { return w.state }

func withCertificate(name string, verified bool) dns.ResponseWriter {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: name}}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if verified {
		state.VerifiedChains = [][]*x509.Certificate{{leaf}}
	}
	return &levelWriter{ResponseWriter: &tlsWriter{ResponseWriter: &test.ResponseWriter{TCP: true}, state: state}}
}

// A TSIG key counts if the tsig plugin has verified it, and not because a query carries one.
func TestTSIG(t *testing.T) {
	f, s := withShelf(t, levelled)
	ask := func(signed bool) {
		s.asked = nil
		m := question("www.example.org.", dns.TypeA)
		m.SetTsig("key.example.org.", dns.HmacSHA256, 300, time.Now().Unix())
		w := &levelWriter{ResponseWriter: &test.ResponseWriter{RemoteIP: "203.0.113.1"}}
		var next plugin.Handler = f
		if signed { // the writer says of every signature that it is right
			next = &tsig.TSIGServer{Zones: []string{"."}, Next: f}
		}
		if _, err := next.ServeDNS(t.Context(), w, m); err != nil {
			t.Fatal(err)
		}
	}
	if ask(false); len(s.asked) != 0 {
		t.Errorf("Expected no right by an unverified key, got %+v", s.asked)
	}
	if ask(true); len(s.asked) != 1 || s.asked[0].Asked != "gold" || s.asked[0].Client != qos.Client(qos.KindTSIG, "key.example.org.") {
		t.Errorf("Expected gold by the key, got %+v", s.asked)
	}
}

func TestGrantIsShown(t *testing.T) {
	f, s := withShelf(t, levelled)
	token := s.sign(t, claim())
	id := qos.GrantID{1, 2, 3}
	s.grants[alice] = &qos.Grant{
		ID: id, Service: "www.example.org.", Client: alice, Server: "fast1", Asked: "gold", State: qos.Granted,
		Offer: qos.Offer{Level: "gold", DSCP: 46}, Start: at - 10_000, End: at + 290_500,
	}
	name := label(token) + asAlice + "www.example.org."
	want := qos.Shown{State: qos.Granted, Grant: id, Level: "gold", Left: 290, DSCP: 46, HasDSCP: true, Server: "fast1"}

	m, _ := ask(t, f, withOption(question("www.example.org.", dns.TypeA), option(tlvs(tlvHandle, token, tlvClient, "alice"))), "203.0.113.1")
	var shown qos.Shown
	for _, o := range m.IsEdns0().Option {
		if l, ok := o.(*dns.EDNS0_LOCAL); ok && l.Code == defaultOption {
			var err error
			if shown, err = qos.ParseReply(l.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if shown != want {
		t.Errorf("option: expected %+v, got %+v", want, shown)
	}
	if ttl := m.Answer[0].Header().Ttl; ttl != 0 || len(m.Answer) != 1 {
		t.Errorf("Expected one answer that no cache keeps, for none sees the option, got %v", m.Answer)
	}

	m, _ = ask(t, f, question(name, dns.TypeHTTPS), "203.0.113.1")
	if got := m.Answer[0].String(); !strings.Contains(got, `key65300="\002"`) || !strings.Contains(got, `key65302="."`) || !strings.Contains(got, `key65303="\000\000\001\""`) {
		t.Errorf("HTTPS: got %s", got)
	}
	m, _ = ask(t, f, question("_grant."+name, dns.TypeTXT), "203.0.113.1")
	if got := m.Answer[0].(*dns.TXT).Txt[0]; got != "state=granted level=gold asked=gold server=fast1 left=290 grant="+id.String() {
		t.Errorf("TXT: got %s", got)
	}
	if m.IsEdns0() != nil {
		t.Error("Expected no option in the answer to a query without one")
	}
	m, _ = ask(t, f, question("_grant.www.example.org.", dns.TypeTXT), "203.0.113.1")
	if len(m.Answer) != 0 || m.Rcode != dns.RcodeSuccess {
		t.Errorf("Expected nothing for who has shown nothing, got %v", m)
	}
	if len(s.asked) != 0 {
		t.Errorf("Expected no request, got %+v", s.asked)
	}
}

// An answer never outlives the grant, and is short while a request is open.
func TestTTLOfGrants(t *testing.T) {
	for _, tc := range []struct {
		name  string
		state qos.State
		left  int64 // ms
		ttl   uint32
	}{
		{"granted for long", qos.Granted, 290_000, 20},
		{"soon over", qos.Granted, 7_900, 7},
		{"just over", qos.Granted, 900, 0},
		{"requested", qos.Requested, 59_000, 5},
		{"granted a lower level", qos.GrantedLower, 3_000, 3},
	} {
		f, s := withShelf(t, levelled)
		s.grants[alice] = &qos.Grant{Server: "fast1", Asked: "gold", Offer: qos.Offer{Level: "gold"}, State: tc.state, Start: at, End: at + tc.left}
		m, _ := ask(t, f, question(label(s.sign(t, claim()))+asAlice+"www.example.org.", dns.TypeA), "203.0.113.1")
		if len(m.Answer) != 1 || m.Answer[0].Header().Ttl != tc.ttl || m.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
			t.Errorf("%s: expected the granted server for %d s, got %v", tc.name, tc.ttl, m.Answer)
		}
	}
}

// When is a request filed, and what is in it?
func TestRequests(t *testing.T) {
	live := func(state qos.State, start, end int64, server, level string) *qos.Grant {
		return &qos.Grant{Server: server, Asked: level, Offer: qos.Offer{Level: level, Duration: 300}, State: state, Start: at + start, End: at + end}
	}
	for _, tc := range []struct {
		name     string
		grant    *qos.Grant
		parts    []any // of the option, beside handle and client
		flags    byte
		filed    bool
		released bool
		change   func(*Farm, *shelf)
	}{
		{name: "no grant", filed: true},
		{name: "granted", grant: live(qos.Granted, -10_000, 290_000, "fast1", "gold")},
		{name: "half of it is over", grant: live(qos.Granted, -160_000, 140_000, "fast1", "gold"), filed: true},
		{name: "renewed before", grant: live(qos.Granted, -500_000, 290_000, "fast1", "gold")},
		{name: "requested", grant: live(qos.Requested, 0, 50_000, "fast1", "gold")},
		{name: "over", grant: live(qos.Granted, -300_000, 0, "fast1", "gold"), filed: true},
		{name: "ended", grant: live(qos.Ended, -10_000, 200_000, "fast1", "gold"), filed: true},
		{name: "refused a moment ago", grant: live(qos.Refused, 0, -1_000, "fast1", "gold")},
		{name: "refused before", grant: live(qos.Refused, 0, -11_000, "fast1", "gold"), filed: true},
		{name: "at a server that is gone", grant: live(qos.Granted, -10_000, 290_000, "old1", "gold"), filed: true},
		{name: "of another level", grant: live(qos.Granted, -10_000, 290_000, "fast1", "pro"), filed: true},
		{name: "wants none", flags: 2},
		{name: "only looks", flags: 4},
		{name: "gives it back", grant: live(qos.Granted, -10_000, 290_000, "fast1", "gold"), flags: 8, parts: []any{9, make([]byte, 16)}, filed: true, released: true},
		{name: "gives another back", grant: live(qos.Granted, -10_000, 290_000, "fast1", "gold"), flags: 8, parts: []any{9, []byte("sixteen octets!!")}},
		{name: "has none to give back", flags: 8, parts: []any{9, make([]byte, 16)}},
		{name: "the queue is full", change: func(_ *Farm, s *shelf) { s.full = true }},
		{name: "too often", change: func(f *Farm, _ *shelf) {
			for f.limiter.Allow(steer.WhoIs(alice), at) {
			}
		}},
		{name: "another asks too often", filed: true, change: func(f *Farm, _ *shelf) {
			for f.limiter.Allow(steer.WhoIs([8]byte{1}), at) {
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, s := withShelf(t, levelled)
			if tc.grant != nil {
				s.grants[alice] = tc.grant
			}
			if tc.change != nil {
				tc.change(f, s)
			}
			data := tlvs(append([]any{tlvHandle, s.sign(t, claim()), tlvClient, "alice"}, tc.parts...)...)
			data[1] = tc.flags
			m, _ := ask(t, f, withOption(question("www.example.org.", dns.TypeA), option(data)), "203.0.113.1")
			if len(m.Answer) != 1 {
				t.Errorf("Expected an answer in any case, got %v", m)
			}
			if filed := len(s.asked) == 1; filed != tc.filed {
				t.Fatalf("Expected filed %v, got %+v", tc.filed, s.asked)
			}
			if s.waiting != 0 {
				t.Error("Expected nobody to be left waiting")
			}
			if !tc.filed {
				return
			}
			r := s.asked[0]
			if r.Release != tc.released {
				t.Errorf("Expected release %v, got %+v", tc.released, r)
			}
			if tc.released {
				return
			}
			if r.Client != alice || r.Service != "www.example.org." || r.Server != "fast1" || r.Level != "gold" || r.Down != 8000 || r.Unit != 100_000 ||
				r.ClientAddr.String() != "203.0.113.1" || r.ServerAddr.String() != "192.0.2.1" || r.ServerPort != 443 || len(r.Lower) != 1 || r.Lower[0].Level != "pro" {
				t.Errorf("Got %+v", r)
			}
		})
	}
}

// A subnet proves nothing over UDP: anybody can write its addresses. Over TCP it does.
func TestSpoofable(t *testing.T) {
	f, s := withShelf(t, levelled)
	for _, tcp := range []bool{false, true} {
		w := &levelWriter{ResponseWriter: &test.ResponseWriter{RemoteIP: "10.7.1.1", TCP: tcp}}
		if _, err := f.ServeDNS(t.Context(), w, question("www.example.org.", dns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if filed := len(s.asked) == 1; filed != tcp || len(w.msg.Answer) == 0 {
			t.Errorf("TCP %v: got %+v", tcp, s.asked)
		}
	}
}

// A grant ends with the handle that it was got with, and where the client is may be said beside it.
func TestRequestGoesByTheHandle(t *testing.T) {
	f, s := withShelf(t, levelled)
	looked := []byte("sixteen octets!!")
	s.handles[qos.HandleOf(looked)] = qos.HandleRecord{
		Client: alice, Rank: 20, Service: ".", Expires: at + 20_000, Address: "2001:db8::99", Phone: "+123456789", Bearer: true,
	}
	ask(t, f, question(label(looked)+"www.example.org.", dns.TypeA), "203.0.113.1")
	r := s.asked[0]
	if r.Duration != 20 || r.ClientAddr.String() != "2001:db8::99" || r.Phone != "+123456789" || r.Level != "pro" || !r.ServerAddr.IsValid() {
		t.Errorf("Got %+v", r)
	}
	device := append([]byte{1, 198, 51, 100, 7}, 0x13, 0x88)
	f.limiter = qos.NewLimiter(16, 1, 1, 1)
	ask(t, f, withOption(question("www.example.org.", dns.TypeA), option(tlvs(tlvHandle, looked, 8, device, 7, []byte{0, 0, 0, 12}))), "203.0.113.1")
	if r = s.asked[1]; r.ClientAddr.String() != "198.51.100.7" || r.ClientPort != 5000 || r.Duration != 12 {
		t.Errorf("Got %+v", r)
	}
}

// An answer is held for a grant, and no longer than it is to be.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := withShelf(t, levelled)
		f.conf.qos.wait = 500 * time.Millisecond
		name := label(s.sign(t, claim())) + asAlice + "www.example.org."
		grant := &qos.Grant{Server: "fast1", Asked: "gold", Offer: qos.Offer{Level: "gold"}, State: qos.Granted, Start: at, End: at + 300_000}
		s.onAsk = func(store.Request) {
			go func() {
				for _, state := range []qos.State{qos.Requested, qos.Granted} {
					time.Sleep(50 * time.Millisecond)
					g := *grant
					g.State = state
					s.mu.Lock()
					s.grants[alice] = &g
					s.mu.Unlock()
					s.changed <- struct{}{}
				}
			}()
		}
		began := time.Now()
		m, _ := ask(t, f, question(name, dns.TypeHTTPS), "203.0.113.1")
		if took := time.Since(began); took != 100*time.Millisecond || !strings.Contains(m.Answer[0].String(), `key65300="\002"`) {
			t.Errorf("after %v: %v", took, m)
		}
		delete(s.grants, alice)
		s.onAsk = nil
		began = time.Now()
		m, _ = ask(t, f, question(name, dns.TypeHTTPS), "203.0.113.1")
		if took := time.Since(began); took != 500*time.Millisecond || !strings.Contains(m.Answer[0].String(), `key65300="\001"`) {
			t.Errorf("after %v: %v", took, m)
		}
		if s.waiting != 0 {
			t.Error("Expected nobody to be left waiting")
		}
	})
}

// Names with parameters are there, and so is all that stands above them; what has none below it is not.
func TestAncestors(t *testing.T) {
	f, s := withShelf(t, levelled)
	h := label(s.sign(t, claim()))
	for name, want := range map[string]string{
		h + "www.example.org.":                        "NOERROR 1",
		asAlice + h + "www.example.org.":              "NOERROR 1",
		"_q-gold." + asAlice + h + "www.example.org.": "NOERROR 1",
		"_q-pro.www.example.org.":                     "NOERROR 1",
		"_q-nothing.www.example.org.":                 "NOERROR 1",
		"_q-.www.example.org.":                        "NOERROR 0",
		"_q-pro._q-pro.www.example.org.":              "NOERROR 0",
		"_q-pro.x.apps.example.org.":                  "NOERROR 1",
		"_q-pro.nosuch.example.org.":                  "NXDOMAIN 0",
		"_q-pro.example.org.":                         "NOERROR 0",
	} {
		m, _ := ask(t, f, question(name, dns.TypeA), "203.0.113.1")
		n := min(len(m.Answer), 1)
		if got := dns.RcodeToString[m.Rcode] + " " + string(rune('0'+n)); got != want {
			t.Errorf("%s: expected %s, got %s", name, want, got)
		}
	}
}

func BenchmarkLevels(b *testing.B) {
	f, s := withShelf(b, levelled)
	s.grants[alice] = &qos.Grant{Server: "fast1", Asked: "gold", Offer: qos.Offer{Level: "gold"}, State: qos.Granted, Start: at, End: at + 300_000}
	token, err := s.ring.Sign(claim())
	if err != nil {
		b.Fatal(err)
	}
	for what, q := range map[string]*dns.Msg{
		"label":  question(label(token[:])+asAlice+"www.example.org.", dns.TypeA),
		"option": withOption(question("www.example.org.", dns.TypeA), option(tlvs(tlvHandle, token[:], tlvClient, "alice"))),
		"none":   question("www.example.org.", dns.TypeA),
	} {
		b.Run(what, func(b *testing.B) {
			w := newSink()
			b.ReportAllocs()
			for b.Loop() {
				f.ServeDNS(b.Context(), w, q)
			}
		})
	}
}
