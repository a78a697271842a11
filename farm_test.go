package farm

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/plugin/pkg/dnstest"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

func init() { clog.Discard() }

// fixed is a source that holds still.
type fixed struct {
	snap *steer.Snapshot
	now  int64
}

func (s *fixed) Load() *steer.Snapshot { return s.snap }
func (s *fixed) Now() int64            { return s.now }

// at is the time of fixed sources.
const at = 1_700_000_000_000

// newTestFarm sets a block up as caddy would, and gives it a snapshot of what stands in it.
func newTestFarm(t testing.TB, block string, change ...func(*steer.Member)) *Farm {
	t.Helper()
	conf, err := parse(caddy.NewTestController("dns", block))
	if err != nil {
		t.Fatal(err)
	}
	f := newFarm(conf)
	// Nothing is to be left of another test.
	f.memory = &memory{learned: steer.NewLearned(pairBits, 1)}
	f.source = &fixed{snapshotOf(f, change...), at}
	return f
}

// snapshotOf builds what the store would of the Corefile alone, after changes to its servers.
func snapshotOf(f *Farm, change ...func(*steer.Member)) *steer.Snapshot {
	var farms []*steer.Farm
	for _, service := range f.conf.services {
		if service.Policy == "" {
			service.Policy = f.conf.defaults.Policy
		}
		in := steer.Input{Service: service, Regions: f.regions, Now: at, Indexed: f.conf.rewrite}
		servers := slices.Clone(f.conf.servers[service.Name])
		for i := range servers {
			m := steer.Member{Server: &servers[i], Report: steer.NoReport}
			for _, c := range change {
				c(&m)
			}
			in.Members = append(in.Members, m)
		}
		farms = append(farms, steer.Build(in))
	}
	snap := steer.NewSnapshot(farms, f.regions)
	snap.Serial = 7
	return snap
}

// down takes servers out of service.
func down(ids ...string) func(*steer.Member) {
	return func(m *steer.Member) {
		if slices.Contains(ids, m.Server.ID) {
			m.Admin.State = steer.Maint
		}
	}
}

// stale makes the farm's snapshot one of a database that is out of reach.
func stale(f *Farm, since time.Duration) *Farm {
	s := f.source.(*fixed)
	next := *s.snap
	next.Stale, next.Since = true, at-since.Milliseconds()
	f.source = &fixed{&next, at}
	return f
}

// ask sends one query through the plugin, and returns the reply, nil if none was written.
func ask(t testing.TB, f *Farm, m *dns.Msg, from string) (*dns.Msg, int) {
	t.Helper()
	rec := dnstest.NewRecorder(&test.ResponseWriter{RemoteIP: from})
	rcode, err := f.ServeDNS(t.Context(), rec, m)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Msg != nil {
		checkPacks(t, rec.Msg)
	}
	return rec.Msg, rcode
}

func checkPacks(t testing.TB, m *dns.Msg) {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatalf("reply does not pack: %v\n%v", err, m)
	}
	if err := new(dns.Msg).Unpack(wire); err != nil {
		t.Fatalf("reply does not unpack: %v\n%v", err, m)
	}
}

func question(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = false
	return m
}

// withSubnet adds a client subnet option.
func withSubnet(m *dns.Msg, subnet string) *dns.Msg {
	p := netip.MustParsePrefix(subnet)
	s := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: net.IP(p.Addr().AsSlice())}
	if p.Addr().Is6() {
		s.Family = 2
	}
	return withOption(m, s)
}

func withOption(m *dns.Msg, options ...dns.EDNS0) *dns.Msg {
	m.SetEdns0(1232, false)
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, options...)
	return m
}

// sections prints the records of a reply for comparison, an RR a line, without TTLs where ttl is false.
func sections(m *dns.Msg) string {
	var b strings.Builder
	print := func(name string, rrs []dns.RR) {
		for _, rr := range rrs {
			if rr.Header().Rrtype != dns.TypeOPT {
				b.WriteString(name + " " + strings.Join(strings.Fields(rr.String()), " ") + "\n")
			}
		}
	}
	print("AN", m.Answer)
	print("NS", m.Ns)
	print("AR", m.Extra)
	return b.String()
}

// edeOf returns the extended error of a reply, "" if it has none.
func edeOf(m *dns.Msg) (texts []string) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				texts = append(texts, e.String())
			}
		}
	}
	return texts
}

// scopeIn returns the scope of the client subnet of a reply, -1 if it has none.
func scopeIn(m *dns.Msg) int {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*dns.EDNS0_SUBNET); ok {
				return int(s.SourceScope)
			}
		}
	}
	return -1
}
