package denial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/dnssec"
	"github.com/coredns/coredns/plugin/pkg/cache"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"

	"github.com/miekg/dns"
)

const (
	soa = "example.org. 60 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 1209600 5"

	// What proofs list, without the type that was asked for.
	leaf = "A PTR HINFO MX TXT RP AFSDB AAAA LOC SRV NAPTR KX CERT APL SSHFP IPSECKEY RRSIG NSEC DHCID TLSA SMIMEA HIP OPENPGPKEY SVCB HTTPS SPF EUI48 EUI64 URI CAA"
	top  = "A NS SOA PTR HINFO MX TXT RP AFSDB AAAA LOC SRV NAPTR KX CERT APL SSHFP IPSECKEY RRSIG NSEC DNSKEY DHCID TLSA SMIMEA HIP OPENPGPKEY SVCB HTTPS SPF EUI48 EUI64 URI CAA"
)

// longest is a name of 255 octets.
var longest = "a." + strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", 47) + ".example.org."

// except takes one type out of a list.
func except(list, rrtype string) string {
	types := strings.Fields(list)
	return strings.Join(slices.DeleteFunc(types, func(t string) bool { return t == rrtype }), " ")
}

// answers are what a plugin behind dnssec answers, and what comes out before it. dnssec signs example.org and example.com.
var answers = []struct {
	name     string
	question string // name, type
	rcode    int
	answer   []string
	ns       []string

	wantRcode  int
	wantAnswer []string // without signatures
	wantNs     []string
	unsigned   bool // nothing is signed; else everything is, once
}{
	{
		name: "type", question: "www.example.org. AAAA", ns: []string{soa},
		wantNs: []string{soa, `www.example.org. 5 IN NSEC \000.www.example.org. ` + except(leaf, "AAAA")},
	},
	{
		name: "type that is never listed", question: "www.example.org. CNAME", ns: []string{soa},
		wantNs: []string{soa, `www.example.org. 5 IN NSEC \000.www.example.org. ` + leaf},
	},
	{
		name: "letter case", question: "wWw.eXample.org. HTTPS", ns: []string{soa},
		wantNs: []string{soa, `wWw.eXample.org. 5 IN NSEC \000.wWw.eXample.org. ` + except(leaf, "HTTPS")},
	},
	{
		name: "name", question: "no.example.org. A", rcode: dns.RcodeNameError, ns: []string{soa},
		wantNs: []string{soa, `no.example.org. 5 IN NSEC \000.no.example.org. ` + except(leaf, "A")},
	},
	{
		name: "DS", question: "www.example.org. DS", ns: []string{soa},
		wantNs: []string{soa, `www.example.org. 5 IN NSEC \000.www.example.org. ` + leaf},
	},
	{
		name: "DS of no name", question: "no.example.org. DS", rcode: dns.RcodeNameError, ns: []string{soa},
		wantNs: []string{soa, `no.example.org. 5 IN NSEC \000.no.example.org. ` + leaf},
	},
	{
		name: "type at the top", question: "example.org. MX", ns: []string{soa},
		wantNs: []string{soa, `example.org. 5 IN NSEC \000.example.org. ` + except(top, "MX")},
	},
	{
		name: "DS at the top", question: "example.org. DS", ns: []string{soa},
		wantNs: []string{soa, `example.org. 5 IN NSEC \000.example.org. ` + top},
	},
	{
		name: "NSEC", question: "www.example.org. NSEC", ns: []string{soa},
		wantAnswer: []string{`www.example.org. 5 IN NSEC \000.www.example.org. ` + leaf},
	},
	{
		name: "end of an alias", question: "a.example.org. AAAA", answer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN CNAME c.example.org."}, ns: []string{soa},
		wantAnswer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN CNAME c.example.org."},
		wantNs:     []string{soa, `c.example.org. 5 IN NSEC \000.c.example.org. ` + except(leaf, "AAAA")},
	},
	{
		name: "end of an alias, which is no name", question: "a.example.org. A", rcode: dns.RcodeNameError, answer: []string{"a.example.org. 20 IN CNAME b.example.org."}, ns: []string{soa},
		wantAnswer: []string{"a.example.org. 20 IN CNAME b.example.org."},
		wantNs:     []string{soa, `b.example.org. 5 IN NSEC \000.b.example.org. ` + except(leaf, "A")},
	},
	{
		name: "end of an alias at the top", question: "a.example.org. MX", answer: []string{"a.example.org. 20 IN CNAME example.org."}, ns: []string{soa},
		wantAnswer: []string{"a.example.org. 20 IN CNAME example.org."},
		wantNs:     []string{soa, `example.org. 5 IN NSEC \000.example.org. ` + except(top, "MX")},
	},
	{
		name: "end of a circle of aliases", question: "a.example.org. A", answer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN CNAME a.example.org."}, ns: []string{soa},
		wantAnswer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN CNAME a.example.org."},
		wantNs:     []string{soa},
	},
	{
		name: "records at the end of an alias", question: "a.example.org. A", answer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN A 192.0.2.1"}, ns: []string{soa},
		wantAnswer: []string{"a.example.org. 20 IN CNAME b.example.org.", "b.example.org. 20 IN A 192.0.2.1"},
		wantNs:     []string{soa},
	},
	{
		name: "records", question: "b.example.org. A", answer: []string{"b.example.org. 20 IN A 192.0.2.1"},
		wantAnswer: []string{"b.example.org. 20 IN A 192.0.2.1"},
	},
	{
		name: "zone that begins below the signed one", question: "sub.example.org. MX", ns: []string{"sub.example.org. 60 IN SOA ns.sub.example.org. hostmaster.sub.example.org. 1 7200 1800 1209600 5"},
		wantNs: []string{
			"sub.example.org. 60 IN SOA ns.sub.example.org. hostmaster.sub.example.org. 1 7200 1800 1209600 5",
			`sub.example.org. 5 IN NSEC \000.sub.example.org. ` + except(leaf, "MX"),
		},
	},
	{
		name: "short TTL", question: "www.example.org. MX", ns: []string{"example.org. 2 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 1209600 5"},
		wantNs: []string{
			"example.org. 2 IN SOA ns.example.org. hostmaster.example.org. 1 7200 1800 1209600 5",
			`www.example.org. 2 IN NSEC \000.www.example.org. ` + except(leaf, "MX"),
		},
	},
	{
		name: "the longest name", question: longest + " A", rcode: dns.RcodeNameError, ns: []string{soa},
		wantNs: []string{soa, longest + " 5 IN NSEC b" + longest[1:] + " " + except(leaf, "A")},
	},
	{
		name: "failure", question: "www.example.org. A", rcode: dns.RcodeServerFailure, ns: nil, wantRcode: dns.RcodeServerFailure, unsigned: true,
	},
	{
		name: "zone that is not signed", question: "www.example.net. A", rcode: dns.RcodeNameError, ns: []string{"example.net. 60 IN SOA ns.example.net. hostmaster.example.net. 1 7200 1800 1209600 5"},
		wantRcode: dns.RcodeNameError, unsigned: true,
		wantNs: []string{"example.net. 60 IN SOA ns.example.net. hostmaster.example.net. 1 7200 1800 1209600 5"},
	},
	{
		name: "alias from a zone that is not signed", question: "www.example.net. A", answer: []string{"www.example.net. 20 IN CNAME no.example.org."}, ns: []string{soa},
		wantAnswer: []string{"www.example.net. 20 IN CNAME no.example.org."}, unsigned: true,
		wantNs: []string{soa},
	},
}

func TestAnswers(t *testing.T) {
	for _, tc := range answers {
		t.Run(tc.name, func(t *testing.T) {
			r := question(t, tc.question)
			m := new(dns.Msg).SetRcode(r, tc.rcode)
			m.Answer, m.Ns = parse(t, tc.answer), parse(t, tc.ns)
			before := m.Copy()
			got := serve(t, protected(t, writes(m)), r)
			if tc.unsigned && len(signatures(got)) > 0 {
				t.Errorf("Expected no signatures, got\n%v", got)
			} else if !tc.unsigned {
				verify(t, got)
			}
			if got.Rcode != tc.wantRcode {
				t.Errorf("Expected %s, got %s", dns.RcodeToString[tc.wantRcode], dns.RcodeToString[got.Rcode])
			}
			compare(t, "answer", got.Answer, tc.wantAnswer)
			compare(t, "authority", got.Ns, tc.wantNs)
			if len(m.Ns) > 0 && m.Ns[0].String() != before.Ns[0].String() {
				t.Errorf("Expected the records of the plugin as they were, got %v", m.Ns)
			}
		})
	}
}

// An answer may bring the SOA of a zone above the signed ones. Then the proof alone is signed.
func TestForeignSOA(t *testing.T) {
	const above = "org. 60 IN SOA ns.example.net. hostmaster.example.net. 1 7200 1800 1209600 5"
	for name, list := range map[string]string{"example.org.": top, "x.example.org.": leaf} {
		r := question(t, name+" DS")
		m := new(dns.Msg).SetReply(r)
		m.Ns = parse(t, []string{above})
		got := serve(t, protected(t, writes(m)), r)
		compare(t, "authority", got.Ns, []string{above, name + ` 5 IN NSEC \000.` + name + " " + list})
		if sigs := signatures(got); len(sigs) != 1 || sigs[0].TypeCovered != dns.TypeNSEC {
			t.Errorf("Expected the signature of the NSEC record, got\n%v", got)
		}
	}
}

// Who does not ask for signatures gets the answer as the plugin made it.
func TestWithoutDO(t *testing.T) {
	for _, edns := range []bool{false, true} {
		r := question(t, "no.example.org. A")
		r.Extra = nil
		if edns {
			r.SetEdns0(1232, false)
		}
		m := new(dns.Msg).SetRcode(r, dns.RcodeNameError)
		m.Ns = parse(t, []string{soa})
		if got := serve(t, protected(t, writes(m)), r); got != m || got.Rcode != dns.RcodeNameError || len(got.Ns) != 1 {
			t.Errorf("EDNS %t: expected the answer as it was made, got\n%v", edns, got)
		}
	}
}

// What an alias leads to has been signed already where it was asked for through the server.
func TestSignedOnce(t *testing.T) {
	r := question(t, "a.example.org. A")
	target := new(dns.Msg).SetReply(question(t, "b.example.org. A"))
	target.Ns = parse(t, []string{soa})
	h := protected(t, writes(target))
	inner := serve(t, h, question(t, "b.example.org. A"))
	m := new(dns.Msg).SetReply(r)
	m.Answer, m.Ns = parse(t, []string{"a.example.org. 20 IN CNAME b.example.org."}), slices.Clone(inner.Ns)
	target.Question, target.Answer, target.Ns = m.Question, m.Answer, m.Ns
	got := serve(t, h, r)
	verify(t, got)
	compare(t, "authority", got.Ns, []string{soa, `b.example.org. 5 IN NSEC \000.b.example.org. ` + except(leaf, "A")})
}

// Other plugins of a server block are what they were.
func TestProtectTouchesDnssecAlone(t *testing.T) {
	last := writes(nil)
	config := &dnsserver.Config{}
	h := &other{}
	config.AddPlugin(func(next plugin.Handler) plugin.Handler { h.next = next; return h })
	b := Protect(config)
	if got := config.Plugin[0](last); got != h || h.next.Name() != last.Name() || len(b.guards) != 0 {
		t.Errorf("Expected the plugin and its next one, got %v, %v", got, h.next)
	}
}

type other struct {
	plugin.Handler
	next plugin.Handler
}

func (*other) Name() string { return "other" }

// TestTypes holds what a proof must not list, and the order that NSEC records keep.
func TestTypes(t *testing.T) {
	for p, types := range typesAt {
		if !slices.IsSorted(types) || len(slices.Compact(slices.Clone(types))) != len(types) {
			t.Errorf("%d: expected the types in order, got %v", p, types)
		}
		for _, never := range []uint16{dns.TypeCNAME, dns.TypeDNAME, dns.TypeDS, dns.TypeNXNAME, dns.TypeANY} {
			if slices.Contains(types, never) {
				t.Errorf("%d: expected no %s", p, dns.TypeToString[never])
			}
		}
		if slices.Contains(types, dns.TypeNS) != (place(p) != inside) || slices.Contains(types, dns.TypeSOA) != (place(p) == apex) {
			t.Errorf("%d: expected NS at cuts and tops, and SOA at tops, got %v", p, types)
		}
	}
}

func TestNextAfter(t *testing.T) {
	rest := longest[2:] // 253 octets
	for _, tc := range []struct{ name, want string }{
		{".", `\000.`},
		{"example.org.", `\000.example.org.`},
		{rest, `\000.` + rest},
		{rest[1:], `\000.` + rest[1:]},
		{"A." + rest, "b." + rest},
		{"@." + rest, "[." + rest},
		{`\255.` + rest, strings.Repeat("a", 62) + "b" + rest[63:]},
		{"ab." + rest[1:], "ac." + rest[1:]},
		{`a\255.` + rest[1:], "b." + rest[1:]},
		{`\.a.` + rest[1:], `\.b.` + rest[1:]},
		{"a." + rest[1:], `a\000.` + rest[1:]},
		{strings.Repeat("b", 63) + "." + rest[64:128] + rest[64:128] + "a" + rest[192:], strings.Repeat("b", 62) + "c." + rest[64:128] + rest[64:128] + "a" + rest[192:]},
	} {
		got := nextAfter(tc.name)
		if got != tc.want {
			t.Errorf("%s: expected\n%s\ngot\n%s", tc.name, tc.want, got)
		}
		if !fits(got) {
			t.Errorf("%s: expected a name, got %s", tc.name, got)
		}
	}
}

// protected returns dnssec for example.org and example.com, with a guard, before a plugin.
func protected(t *testing.T, last plugin.Handler) plugin.Handler {
	t.Helper()
	config := &dnsserver.Config{}
	config.AddPlugin(signingPlugin(key()))
	Protect(config)
	return config.Plugin[0](last)
}

func signingPlugin(key *dnssec.DNSKEY) plugin.Plugin {
	signatures := cache.New[[]dns.RR](1024)
	return func(next plugin.Handler) plugin.Handler {
		return dnssec.New([]string{"example.org.", "example.com."}, []*dnssec.DNSKEY{key}, false, next, signatures)
	}
}

// key is the one that all tests sign with.
var key = sync.OnceValue(func() *dnssec.DNSKEY {
	k := &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256,
	}
	private, err := k.Generate(256)
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "denial")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	public, secret := filepath.Join(dir, "key"), filepath.Join(dir, "private")
	if err := errors.Join(os.WriteFile(public, []byte(k.String()+"\n"), 0o600), os.WriteFile(secret, []byte(k.PrivateKeyString(private)), 0o600)); err != nil {
		panic(err)
	}
	parsed, err := dnssec.ParseKeyFile(public, secret)
	if err != nil {
		panic(err)
	}
	return parsed
})

// writes returns a plugin that answers every query with a message.
func writes(m *dns.Msg) plugin.Handler {
	return plugin.HandlerFunc(func(_ context.Context, w dns.ResponseWriter, _ *dns.Msg) (int, error) {
		return m.Rcode, w.WriteMsg(m)
	})
}

func question(t *testing.T, text string) *dns.Msg {
	t.Helper()
	name, qtype, _ := strings.Cut(text, " ")
	r := new(dns.Msg)
	r.SetQuestion(name, dns.StringToType[qtype])
	r.SetEdns0(1232, true)
	return r
}

func serve(t *testing.T, h plugin.Handler, r *dns.Msg) *dns.Msg {
	t.Helper()
	w := dnstest.NewRecorder(&test.ResponseWriter{})
	if _, err := h.ServeDNS(t.Context(), w, r); err != nil {
		t.Fatal(err)
	}
	return w.Msg
}

func parse(t *testing.T, lines []string) (rrs []dns.RR) {
	t.Helper()
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// compare compares a section, its signatures left out.
func compare(t *testing.T, section string, got []dns.RR, want []string) {
	t.Helper()
	var lines []string
	for _, rr := range got {
		if rr.Header().Rrtype != dns.TypeRRSIG {
			lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s: expected\n%s\ngot\n%s", section, strings.Join(want, "\n"), strings.Join(lines, "\n"))
	}
}

func signatures(m *dns.Msg) (list []*dns.RRSIG) {
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		if sig, ok := rr.(*dns.RRSIG); ok {
			list = append(list, sig)
		}
	}
	return list
}

// verify wants one good signature for each set of records.
func verify(t *testing.T, m *dns.Msg) {
	t.Helper()
	type set struct {
		owner  string
		rrtype uint16
	}
	sets := make(map[set][]dns.RR)
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if h := rr.Header(); h.Rrtype != dns.TypeRRSIG {
			sets[set{h.Name, h.Rrtype}] = append(sets[set{h.Name, h.Rrtype}], rr)
		}
	}
	sigs := signatures(m)
	if len(sigs) != len(sets) {
		t.Errorf("Expected a signature for each set of records, got\n%v", m)
	}
	for _, sig := range sigs {
		k := dns.Copy(key().K).(*dns.DNSKEY)
		if sig.SignerName != k.Hdr.Name || !sig.ValidityPeriod(time.Now()) {
			t.Errorf("Expected a signature of example.org, got %v", sig)
		}
		if err := sig.Verify(k, sets[set{sig.Hdr.Name, sig.TypeCovered}]); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}
