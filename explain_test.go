package farm

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin/test"
	"github.com/miekg/dns"
)

// randomFarm makes a service whose n-th server is at 192.0.2.n and 2001:db8::n, at one of these, or is the name sn.example.net.
func randomFarm(rnd *rand.Rand, name string, policy steer.Policy) *steer.Farm {
	in := steer.Input{Service: steer.Service{Name: name, Policy: policy, Answers: rnd.IntN(4)}, Now: at}
	if rnd.IntN(3) == 0 {
		in.Service.Fallback = []string{"s99.example.net."}
	}
	if rnd.IntN(4) == 0 {
		in.Service.ALPN = []string{"h2"}
	}
	if rnd.IntN(4) == 0 {
		in.Service.Flatten = new(true)
	}
	names := rnd.IntN(4) // how many of four servers are names
	if rnd.IntN(2) == 0 {
		names = 0
	}
	for n := 1; n <= 1+rnd.IntN(6); n++ {
		in.Members = append(in.Members, randomMember(rnd, n, names))
	}
	return steer.Build(in)
}

func randomMember(rnd *rand.Rand, n, names int) steer.Member {
	s := &steer.Server{ID: "s" + strconv.Itoa(n), Priority: uint16(rnd.IntN(2)), Capacity: float64(1 + rnd.IntN(50))}
	if n == 1 && rnd.IntN(3) == 0 {
		s.ID = "ns" // of zone example.org, if the service is its top
	}
	if rnd.IntN(12) == 0 {
		s.ID = strings.Repeat("x", 60) + strconv.Itoa(n)
	}
	s.Port = []uint16{0, 443, 443, 8443}[rnd.IntN(4)]
	if rnd.IntN(2) == 0 {
		s.Weight = new(float64(rnd.IntN(4)))
	}
	family := rnd.IntN(3)
	switch {
	case rnd.IntN(4) < names:
		s.Target = fmt.Sprintf("s%d.example.net.", n)
	case family == 0:
		s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n))}
	case family == 1:
		s.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})}
	default:
		s.Addresses = []netip.Addr{netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n))}
	}
	m := steer.Member{Server: s, Report: steer.NoReport}
	if rnd.IntN(3) > 0 {
		m.Report.Utilization, m.Report.RPS = rnd.Float64()*1.2, 1+10*rnd.Float64()
		m.Report.Lease, m.Reported, m.LeaseEnd = 60, true, at+60_000
	}
	switch rnd.IntN(8) {
	case 0:
		m.Report.Health, m.Reported, m.LeaseEnd = steer.Down, true, at+60_000
	case 1:
		m.Admin.State = steer.Maint
	}
	return m
}

// randomZone is a block with random services of random policies: at the top of the zone, with a type, below a long name.
func randomZone(t *testing.T, rnd *rand.Rand) (*Farm, []*steer.Farm) {
	f := newTestFarm(t, "farm example.org {\n explain 0.0.0.0/0\n ns ns.example.org\n}")
	long := strings.Repeat(strings.Repeat("l", 60)+".", 3) + "example.org."
	var farms []*steer.Farm
	for i, name := range []string{"example.org.", "www.example.org.", "_sip._tcp.example.org.", "*.wild.example.org.", long, "api.example.org."} {
		farms = append(farms, randomFarm(rnd, name, steer.Policies[(i+rnd.IntN(6))%len(steer.Policies)]))
	}
	f.source = &fixed{steer.NewSnapshot(farms, f.regions), at}
	var resolved []string
	for _, n := range []int{1, 2, 3, 4, 5, 6, 99} {
		resolved = append(resolved, fmt.Sprintf("s%d.example.net. 192.0.2.%d 2001:db8::%d", n, n, n))
	}
	resolvedTo(f, 60, resolved...)
	return f, farms
}

// serversIn returns the numbers of the servers that an answer leads to, in order.
func serversIn(farm *steer.Farm, m *dns.Msg) (list []int) {
	add := func(n int) {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	byName := func(name string) {
		if i := slices.IndexFunc(farm.Servers, func(s *steer.Server) bool {
			return s.Target == name || s.Target == "" && steer.HostName(farm.Service.Name, s.ID) == name
		}); i >= 0 {
			add(numberOf(farm.Servers[i]))
			return
		}
		add(99)
	}
	for _, rr := range m.Answer {
		switch rr := rr.(type) {
		case *dns.A:
			add(int(rr.A.To4()[3]))
		case *dns.AAAA:
			n, _ := strconv.Atoi(fmt.Sprintf("%x", rr.AAAA[15])) // 2001:db8::99 ends in 0x99
			add(n)
		case *dns.CNAME:
			byName(rr.Target)
		case *dns.SRV:
			byName(rr.Target)
		case *dns.HTTPS:
			svcbServers(rr.SVCB, byName, add)
		case *dns.SVCB:
			svcbServers(*rr, byName, add)
		}
	}
	return list
}

// svcbServers takes the servers of a record: by its target, or of one for the name itself by its hints.
func svcbServers(rr dns.SVCB, byName func(string), add func(int)) {
	if rr.Target != "." {
		byName(rr.Target)
		return
	}
	for _, kv := range rr.Value {
		switch kv := kv.(type) {
		case *dns.SVCBIPv4Hint:
			for _, ip := range kv.Hint {
				add(int(ip.To4()[3]))
			}
		case *dns.SVCBIPv6Hint:
			for _, ip := range kv.Hint {
				n, _ := strconv.Atoi(fmt.Sprintf("%x", ip[15]))
				add(n)
			}
		}
	}
}

// numberOf is the number in a server's addresses or name; 99 is the fallback's.
func numberOf(s *steer.Server) int {
	if s.Target != "" {
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(s.Target, "s"), ".example.net."))
		return n
	}
	b := s.Addresses[0].AsSlice()
	return int(b[len(b)-1])
}

// What an answer is made of by explanations is what the handler answers: for all types, at every kind of name.
func TestExplainedIsAnswered(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 11))
	answered := make(map[uint16]int)
	for range 250 {
		f, farms := randomZone(t, rnd)
		for _, farm := range farms {
			name := strings.Replace(farm.Service.Name, "*", "any", 1)
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeCNAME} {
				got, want := answeredAndExplained(t, f, farm, name, qtype)
				if qtype == dns.TypeHTTPS || qtype == dns.TypeSVCB { // hints come by family
					slices.Sort(got)
					slices.Sort(want)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s %s %s: answered %v, explained %v: %s", farm.Service.Policy, name, dns.TypeToString[qtype], got, want, describeFarm(farm))
				}
				answered[qtype] += len(got)
			}
		}
	}
	for qtype, n := range answered {
		if n < 100 {
			t.Errorf("%s: only %d servers answered; the farms are too poor", dns.TypeToString[qtype], n)
		}
	}
}

// answeredAndExplained asks once, and explains the pick that was made.
func answeredAndExplained(t *testing.T, f *Farm, farm *steer.Farm, name string, qtype uint16) (got, want []int) {
	q := newQuery(t.Context(), &test.ResponseWriter{RemoteIP: "10.240.0.1"}, question(name, qtype))
	defer q.release()
	q.zone = f.zoneOf(q)
	m := f.serve(q)
	if m != nil {
		got = serversIn(farm, m)
	}
	asked := f.askedAbout(q, farm, name)
	asked.Type = q.recordType()
	a := q.snap.AnswerOf(farm, &q.pick, asked)
	if farm.Service.Policy != steer.Predict && a.Form != steer.NoForm {
		if e := steer.ExplainWith(farm, f.memory.learned, f.regions, &q.asks); e.Pick != q.pick {
			t.Fatalf("%s %s: picked %+v, explained %+v", name, dns.TypeToString[qtype], q.pick, e.Pick)
		}
	}
	for n, i := range q.pick.Servers[:q.pick.N] {
		if a.Omitted[n] == steer.NotOmitted {
			want = append(want, numberOf(farm.Servers[i]))
		}
	}
	if a.Form == steer.SRVForm {
		for _, b := range steer.Backups(farm, &q.asks, &q.pick, nil) {
			if q.snap.Omits(farm, farm.Servers[b.Server], asked) == steer.NotOmitted {
				want = append(want, numberOf(farm.Servers[b.Server]))
			}
		}
	}
	if a.Alias == "s99.example.net." || a.Flat && q.pick.Rung == steer.Fallback {
		want = append(want, 99)
	}
	return got, want
}

func describeFarm(farm *steer.Farm) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flat=%t answers=%d", farm.IsFlat(), farm.Service.Answers)
	for i, s := range farm.Servers {
		fmt.Fprintf(&b, "\n %s %v%s port=%d prio=%d gate=%s", s.ID, s.Addresses, s.Target, s.Port, s.Priority, farm.State[i].Gate)
	}
	return b.String()
}

// Whom TXT at _farm.SERVICE shows with a share is who is answered, and as often as it shows.
func TestShownSharesAreAnswered(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 5))
	for round := range 60 {
		f := newTestFarm(t, "farm example.org {\n explain 0.0.0.0/0\n}")
		policy := steer.Policies[round%len(steer.Policies)]
		farm := withOneAnswer(rnd, policy)
		f.source = &fixed{steer.NewSnapshot([]*steer.Farm{farm}, f.regions), at}
		shares := shownShares(t, f)
		const n = 3000
		got := make(map[int]int)
		for i := range n {
			m, _ := ask(t, f, question("www.example.org.", dns.TypeA), fmt.Sprintf("10.%d.%d.1", i>>8, i&255))
			got[serversIn(farm, m)[0]]++
		}
		for _, s := range farm.Servers {
			share, times := shares[s.ID], got[numberOf(s)]
			if policy == steer.Predict { // it has no shares: what it answers with takes part
				if times > 0 && share == 0 {
					t.Errorf("%s: %s was answered %d times and is shown without a share: %s", policy, s.ID, times, describeFarm(farm))
				}
				continue
			}
			sigma := math.Sqrt(n * share * (1 - share))
			if d := math.Abs(float64(times) - n*share); d > 5*sigma+3 {
				t.Errorf("%s: %s was answered %d of %d times, shown %.3f: %s", policy, s.ID, times, n, share, describeFarm(farm))
			}
		}
	}
}

// withOneAnswer makes a farm whose answers have one server, all with IPv4: then whoever is drawn first is the answer.
func withOneAnswer(rnd *rand.Rand, policy steer.Policy) *steer.Farm {
	in := steer.Input{Service: steer.Service{Name: "www.example.org.", Policy: policy, Answers: 1}, Now: at}
	for n := range 2 + rnd.IntN(5) {
		m := randomMember(rnd, n+1, 0)
		m.Server.ID = "s" + strconv.Itoa(n+1)
		m.Server.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(n + 1)})}
		if n == 0 {
			m.Admin.State, m.Report.Health, m.Report.Utilization = "", "", .5 // somebody is open
		}
		in.Members = append(in.Members, m)
	}
	return steer.Build(in)
}

// shownShares are those of TXT, by server.
func shownShares(t *testing.T, f *Farm) map[string]float64 {
	shares := make(map[string]float64)
	for _, rr := range mustAsk(t, f, "_farm.www.example.org.", dns.TypeTXT).Answer {
		var id string
		for _, field := range strings.Fields(rr.(*dns.TXT).Txt[0]) {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "id":
				id = value
			case "share":
				shares[id], _ = strconv.ParseFloat(value, 64)
			}
		}
	}
	return shares
}

// haveThere is a next plugin that has there.example.org.
func haveThere(_ context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	m := new(dns.Msg)
	if m.SetReply(r); r.Question[0].Name == "there.example.org." {
		m.Answer = records("there.example.org. 60 IN A 192.0.2.9")
	} else {
		m.Rcode = dns.RcodeNameError
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// Names at which the handler does not answer with a wildcard are not explained as if it did.
func TestExplainSeesWhatExists(t *testing.T) {
	f := newTestFarm(t, `farm example.org sub.example.org {
	explain 10.240.0.0/16
	ns a.ns.example.org
	fallthrough
	service *.example.org {
		server w 192.0.2.61
	}
}`)
	f.Next = test.HandlerFunc(haveThere)
	for name, want := range map[string]bool{
		"x.example.org.": true, "x.sub.example.org.": false, "y.ns.example.org.": false, "a.ns.example.org.": false,
		"there.example.org.": false, "below.there.example.org.": false,
	} {
		m, _ := ask(t, f, question(name, dns.TypeA), "10.240.0.1")
		answered := m != nil && strings.Contains(sections(m), "192.0.2.61")
		m, _ = ask(t, f, question("_farm."+name, dns.TypeTXT), "10.240.0.1")
		explained := m != nil && len(m.Answer) > 0 && m.Answer[0].Header().Rrtype == dns.TypeTXT
		if answered != want || explained != want {
			t.Errorf("%s: answered by the wildcard %v, explained %v, want both %v", name, answered, explained, want)
		}
	}
}
