package farm

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coredns/coredns/plugin/metadata"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

// scripted is a next plugin that answers with records.
type scripted struct {
	answer []dns.RR
	change func(*dns.Msg)
	rcode  int
	err    error
	asked  int
	wrote  *dns.Msg
}

func (s *scripted) Name() string { return "scripted" }

func (s *scripted) ServeDNS(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	s.asked++
	m := new(dns.Msg)
	m.SetReply(r)
	m.Answer = s.answer
	if s.change != nil {
		s.change(m)
	}
	s.wrote = m
	if s.rcode == 0 {
		w.WriteMsg(m)
	}
	return s.rcode, s.err
}

func records(lines ...string) (rrs []dns.RR) {
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

const rewriting = `farm example.org {
	rewrite
	ecs 10.240.0.0/16
	region eu 10.1.0.0/16
	service www.example.org {
		policy weighted
		answers 2
		ttl 20
		server a 192.0.2.1 2001:db8::1
		server b 192.0.2.2 2001:db8::2
		server c 192.0.2.3 2001:db8::3
	}
	service sticky.example.org {
		policy sticky
		answers 1
		server a 192.0.2.1
		server b 192.0.2.2
		server c 192.0.2.3 region eu
	}
}`

func TestRewrite(t *testing.T) {
	www := []string{"www.example.org. 300 IN A 192.0.2.1", "www.example.org. 300 IN A 192.0.2.2", "www.example.org. 10 IN A 192.0.2.3"}
	asItWas := func(lines []string) (s string) {
		for _, rr := range records(lines...) {
			s += sections(&dns.Msg{Answer: []dns.RR{rr}})
		}
		return s
	}
	sig := "www.example.org. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.org. AAAA"
	for _, tc := range []struct {
		what   string
		name   string
		qtype  uint16
		answer []string
		change func(*dns.Msg)
		down   []string
		want   string
	}{
		{"one server is left", "www.example.org.", dns.TypeA, www, nil, []string{"b", "c"}, "AN www.example.org. 20 IN A 192.0.2.1\n"},
		{"shorter TTLs stay", "www.example.org.", dns.TypeA, www, nil, []string{"a", "b"}, "AN www.example.org. 10 IN A 192.0.2.3\n"},
		{"no server is left", "www.example.org.", dns.TypeA, www, nil, []string{"a", "b", "c"}, asItWas(www)},
		{"letters stay", "WWW.example.org.", dns.TypeA,
			[]string{"WWW.example.org. 300 IN A 192.0.2.1", "WWW.example.org. 300 IN A 192.0.2.2"}, nil, []string{"a"},
			"AN WWW.example.org. 20 IN A 192.0.2.2\n"},
		{"AAAA", "www.example.org.", dns.TypeAAAA,
			[]string{"www.example.org. 300 IN AAAA 2001:db8::1", "www.example.org. 300 IN AAAA 2001:db8::2"}, nil, []string{"a"},
			"AN www.example.org. 20 IN AAAA 2001:db8::2\n"},
		{"aliases stay", "alias.example.org.", dns.TypeA,
			append([]string{"alias.example.org. 300 IN CNAME www.example.org."}, www...), nil, []string{"b", "c"},
			"AN alias.example.org. 20 IN CNAME www.example.org.\nAN www.example.org. 20 IN A 192.0.2.1\n"},
		{"service that is an alias", "www.example.org.", dns.TypeA,
			[]string{"www.example.org. 300 IN CNAME lb.example.net.", "lb.example.net. 300 IN A 192.0.2.1", "lb.example.net. 300 IN A 192.0.2.2"},
			nil, []string{"a"}, "AN www.example.org. 20 IN CNAME lb.example.net.\nAN lb.example.net. 20 IN A 192.0.2.2\n"},
		{"a loop of aliases", "www.example.org.", dns.TypeA,
			[]string{"www.example.org. 1 IN CNAME a.example.net.", "a.example.net. 1 IN CNAME www.example.org."}, nil, nil,
			"AN www.example.org. 1 IN CNAME a.example.net.\nAN a.example.net. 1 IN CNAME www.example.org.\n"},
		{"strangers stay", "www.example.org.", dns.TypeA,
			[]string{"www.example.org. 300 IN A 192.0.2.1", "www.example.org. 300 IN A 198.51.100.1"}, nil, []string{"a"},
			"AN www.example.org. 20 IN A 198.51.100.1\n"},
		{"only strangers", "www.example.org.", dns.TypeA, []string{"www.example.org. 300 IN A 198.51.100.1"}, nil, nil,
			"AN www.example.org. 300 IN A 198.51.100.1\n"},
		{"not a service", "other.example.org.", dns.TypeA, []string{"other.example.org. 300 IN A 192.0.2.1"}, nil, []string{"a"},
			"AN other.example.org. 300 IN A 192.0.2.1\n"},
		{"another type", "www.example.org.", dns.TypeMX, []string{"www.example.org. 300 IN MX 1 mail.example.org."}, nil, nil,
			"AN www.example.org. 300 IN MX 1 mail.example.org.\n"},
		{"signed", "www.example.org.", dns.TypeA, append(www[:3:3], sig), nil, []string{"a"}, asItWas(append(www[:3:3], sig))},
		{"an error", "www.example.org.", dns.TypeA, www, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, []string{"a"}, asItWas(www)},
		{"truncated", "www.example.org.", dns.TypeA, www, func(m *dns.Msg) { m.Truncated = true }, []string{"a"}, asItWas(www)},
		{"no question", "www.example.org.", dns.TypeA, www, func(m *dns.Msg) { m.Question = nil }, []string{"a"}, asItWas(www)},
		{"nothing", "www.example.org.", dns.TypeA, nil, nil, nil, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			f := newTestFarm(t, rewriting, down(tc.down...))
			next := &scripted{answer: records(tc.answer...), change: tc.change}
			f.Next = next
			before := asItWas(tc.answer)
			m, rcode := ask(t, f, question(tc.name, tc.qtype), "")
			if got := sections(m); got != tc.want || rcode != 0 {
				t.Errorf("Got %d\n%swant\n%s", rcode, got, tc.want)
			}
			if got := sections(next.wrote); got != before {
				t.Errorf("The next plugin's message was changed to\n%s", got)
			}
		})
	}
}

func TestRewriteReduces(t *testing.T) {
	f := newTestFarm(t, rewriting)
	f.Next = &scripted{answer: records("www.example.org. 300 IN A 192.0.2.1", "www.example.org. 300 IN A 192.0.2.2", "www.example.org. 300 IN A 192.0.2.3")}
	seen := make(map[string]int)
	for range 300 {
		m, _ := ask(t, f, question("www.example.org.", dns.TypeA), "")
		if len(m.Answer) != 2 {
			t.Fatalf("Got %d addresses, want 2", len(m.Answer))
		}
		seen[m.Answer[0].(*dns.A).A.String()]++
	}
	for a, n := range seen {
		if n < 80 || n > 120 {
			t.Errorf("%s was first %d times of 300, want about 100", a, n)
		}
	}
}

// An answer that was validated upstream is left alone for those who can see it, and loses the mark for the others.
func TestRewriteOfValidated(t *testing.T) {
	answer := records("www.example.org. 300 IN A 192.0.2.1", "www.example.org. 300 IN A 192.0.2.2")
	for _, do := range []bool{true, false} {
		f := newTestFarm(t, rewriting, down("a"))
		f.Next = &scripted{answer: answer, change: func(m *dns.Msg) { m.AuthenticatedData = true }}
		q := question("www.example.org.", dns.TypeA)
		q.SetEdns0(1232, do)
		m, _ := ask(t, f, q, "")
		if m.AuthenticatedData != do || (len(m.Answer) == 2) != do {
			t.Errorf("DO %t: got %v", do, m)
		}
	}
}

func TestRewriteSticky(t *testing.T) {
	f := newTestFarm(t, rewriting)
	f.Next = &scripted{answer: records("sticky.example.org. 300 IN A 192.0.2.1", "sticky.example.org. 300 IN A 192.0.2.2", "sticky.example.org. 300 IN A 192.0.2.3")}
	first := ""
	for range 20 {
		m, _ := ask(t, f, withSubnet(question("sticky.example.org.", dns.TypeA), "10.1.2.0/24"), "")
		if got := sections(m); first == "" {
			first = got
		} else if got != first {
			t.Fatalf("Got\n%sthen\n%s", first, got)
		}
		if scope := scopeIn(m); scope != 24 {
			t.Errorf("Got scope %d, want all 24 bits", scope)
		}
	}
}

func TestRewriteOfFailure(t *testing.T) {
	f := newTestFarm(t, rewriting)
	f.Next = &scripted{rcode: dns.RcodeServerFailure, err: errors.New("no luck")}
	rec := dnstest.NewRecorder(&test.ResponseWriter{})
	rcode, err := f.ServeDNS(t.Context(), rec, question("www.example.org.", dns.TypeA))
	if rcode != dns.RcodeServerFailure || err == nil || rec.Msg != nil {
		t.Errorf("Got %d, %v, %v: want what the next plugin returned", rcode, err, rec.Msg)
	}
}

func TestRewriteStale(t *testing.T) {
	f := stale(newTestFarm(t, rewriting+"\n", down("a")), time.Hour)
	f.conf.maxStale = time.Minute
	f.Next = &scripted{answer: records("www.example.org. 300 IN A 192.0.2.1", "www.example.org. 300 IN A 192.0.2.2")}
	if m, _ := ask(t, f, question("www.example.org.", dns.TypeA), ""); len(m.Answer) != 2 {
		t.Errorf("Steered by what is too old: %v", m)
	}
	f.conf.maxStale = 0
	if m, _ := ask(t, f, question("www.example.org.", dns.TypeA), ""); len(m.Answer) != 1 || m.Answer[0].Header().Ttl > staleTTL {
		t.Errorf("Got %v", m)
	}
}

// Of an answer that was steered, other plugins and metrics learn which servers it kept; a stranger's address is nobody's.
func TestRewrittenIsTold(t *testing.T) {
	f := newTestFarm(t, "farm kept.test {\nrewrite\nservice www.kept.test {\npolicy first\nserver a 192.0.2.1\nserver b 192.0.2.2\n}\n}")
	f.Next = &scripted{answer: records("www.kept.test. 60 IN A 192.0.2.2", "www.kept.test. 60 IN A 192.0.2.1")}
	ctx := metadata.ContextWithMetadata(t.Context())
	f.ServeDNS(ctx, dnstest.NewRecorder(&test.ResponseWriter{}), question("www.kept.test.", dns.TypeA))
	for label, want := range map[string]string{
		"farm/service": "www.kept.test.", "farm/server": "a", "farm/servers": "a", "farm/policy": "first", "farm/region": "",
	} {
		if value := metadata.ValueFunc(ctx, label); value == nil || value() != want {
			t.Errorf("%s: want %q", label, want)
		}
	}
	if metadata.ValueFunc(ctx, "farm/reason") != nil {
		t.Error("It is told of a rung that was not asked for")
	}
	if n := f.memory.picks.byName[pickName{"www.kept.test.", "a"}]; n == nil || n.Load() != 1 {
		t.Error("The pick is not counted")
	}
}
