package steer

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// lab is a farm under Predict with a clock, whose servers report what the test says.
type lab struct {
	t       testing.TB
	l       *Learned
	f       *Farm
	service Service
	members []Member
	now     int64
}

func newLab(t testing.TB, capacities ...float64) *lab {
	b := &lab{t: t, l: NewLearned(10, 1), now: 1_000_000, service: Service{Name: "www.example.org.", Policy: Predict}}
	for i, c := range capacities {
		b.members = append(b.members, b.member(i, c))
	}
	b.build()
	return b
}

func (b *lab) member(i int, capacity float64) Member {
	s := &Server{ID: fmt.Sprintf("s%04d", i), Capacity: capacity, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}}
	return Member{Server: s, Report: NoReport}
}

func (b *lab) build() {
	b.f = Build(Input{Service: b.service, Members: b.members, Now: b.now, Prev: b.f})
}

// says has server i report.
func (b *lab) says(i int, util, rps float64) {
	m := &b.members[i]
	m.Reported, m.LeaseEnd = true, farFuture
	m.Report = NoReport
	m.Report.Utilization, m.Report.RPS = util, rps
}

// all has every server report the same utilisation.
func (b *lab) all(util float64) {
	for i := range b.members {
		b.says(i, util, util*b.members[i].Server.Capacity)
	}
	b.tick()
}

func (b *lab) tick() {
	b.now += 1000
	b.build()
	b.l.Tick([]*Farm{b.f}, b.now)
}

func (b *lab) query(i int) *Query {
	return &Query{Client: client(i), Family: V4, Chance: b.f.Turn(), Now: b.now}
}

// ask answers a resolver, and notes it.
func (b *lab) ask(q *Query) Pick {
	p := DecideWith(b.f, b.l, q)
	b.l.Note(b.f, q, &p)
	return p
}

func TestPredictFallsBackByName(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(b *lab)
		want Method
		n    int
	}{
		{"nobody reports: capacity", func(b *lab) { b.tick() }, ByCapacity, 2},
		{"reports, but nothing worked out yet: headroom", func(b *lab) { b.says(0, .5, 50); b.build() }, ByHeadroom, 2},
		{"idle: headroom", func(b *lab) { b.all(0) }, ByHeadroom, 2},
		{"one server reports, the rest do not", func(b *lab) { b.says(0, .5, 50); b.tick() }, ByPredict, 4},
		{"all report", func(b *lab) { b.all(.5) }, ByPredict, 4},
		{"utilisation without rates", func(b *lab) { b.says(0, .5, -1); b.says(1, .2, -1); b.tick() }, ByPredict, 4},
		{"Tick came to a stop: headroom", func(b *lab) { b.all(.5); b.now += stalled + 1 }, ByHeadroom, 2},
		{"the clock went back", func(b *lab) { b.all(.5); b.now -= 3_600_000; b.tick() }, ByPredict, 4},
		{"counters were reset", func(b *lab) { b.all(.5); b.says(0, 0, 0); b.tick() }, ByPredict, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newLab(t, 100, 100, 100, 100)
			tc.do(b)
			for i := range 20 {
				p := b.ask(b.query(i))
				if p.By != tc.want || p.N < tc.n {
					t.Fatalf("Expected %v and %d servers or more, got %v and %d", tc.want, tc.n, p.By, p.N)
				}
			}
		})
	}
}

// TestPredictDegenerate: whatever the farm is like, an answer is what the ladder allows.
func TestPredictDegenerate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members func(b *lab)
		n       int
		rung    Rung
	}{
		{"no servers", func(b *lab) { b.members = nil }, 0, Nothing},
		{"one server", func(b *lab) { b.members = b.members[:1]; b.says(0, .5, 50) }, 1, Normal},
		{"all are full", func(b *lab) { b.says(0, 2, 200); b.says(1, 2, 200); b.says(2, 1, 100) }, 2, LastResort},
		{"one is left", func(b *lab) { b.says(0, 2, 200); b.says(1, 2, 200); b.says(2, .5, 50) }, 1, Normal},
		{"no capacity is declared", func(b *lab) {
			for i := range b.members {
				b.members[i] = quiet(server(i))
				b.says(i, .5, 50)
			}
		}, 3, Normal},
		{"utilisation beyond all measure", func(b *lab) { b.service.Hard = 1e12; b.says(0, 1e11, 50); b.says(1, .1, 10); b.says(2, .1, 10) }, 2, Normal},
		{"rates beyond all measure", func(b *lab) { b.says(0, .5, MaxRate); b.says(1, .5, 0); b.says(2, .5, 0) }, 2, Normal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newLab(t, 100, 100, 100)
			tc.members(b)
			b.tick()
			for i := range 30 {
				b.tick()
				p := b.ask(b.query(i % 5))
				if p.N < tc.n || p.Rung != tc.rung {
					t.Fatalf("Expected %d servers or more on rung %v, got %+v", tc.n, tc.rung, p)
				}
				for j := range p.N {
					for k := range j {
						if p.Servers[j] == p.Servers[k] {
							t.Fatalf("Expected no server twice, got %+v", p)
						}
					}
				}
			}
			for i := range b.l.slots {
				if x, ok := b.l.slots[i].believed(); ok && !(x.mean > 0 && x.sigma >= 0 && x.mean < math.Inf(1)) {
					t.Fatalf("Expected loads that are numbers, got %+v", x)
				}
			}
		})
	}
}

func TestPredictAvoidsTheUtilised(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 100, 100)
	for i := range b.members {
		b.says(i, .2+.1*float64(i), 20+10*float64(i))
	}
	b.tick()
	first := map[int32]int{}
	for i := range 300 {
		first[DecideWith(b.f, b.l, b.query(i)).Servers[0]]++
	}
	if first[0] < 150 || first[5] > 0 {
		t.Errorf("Expected the least utilised server first most often and the most utilised never, got %v", first)
	}
}

// TestAnswersCountBeforeReportsDo: many resolvers that ask between two reports are spread by what each was given.
func TestAnswersCountBeforeReportsDo(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 200, 400)
	b.all(.3)
	given := make([]float64, len(b.members))
	for i := range 600 {
		p := b.ask(b.query(i))
		for j := range p.N {
			given[p.Servers[j]] += b.l.share(j, p.N)
		}
	}
	for i := range given {
		want := 600 * b.members[i].Server.Capacity / 1000
		if math.Abs(given[i]/want-1) > .12 {
			t.Errorf("Expected server %d to get %.0f of the answers, got %.0f", i, want, given[i])
		}
	}
}

func TestNothingStarvesUnderPredict(t *testing.T) {
	var capacities []float64
	for i := range 40 {
		capacities = append(capacities, 50+10*float64(i))
	}
	b := newLab(t, capacities...)
	b.all(.5)
	seen := map[int32]bool{}
	for i := range 1000 {
		p := b.ask(b.query(i))
		for j := range p.N {
			seen[p.Servers[j]] = true
		}
	}
	if len(seen) != 40 {
		t.Errorf("Expected all 40 servers to be given, got %d", len(seen))
	}
}

// TestSameServersForAAndAAAA: both questions of a lookup get the same servers, though the first changed what is
// pending, each family those that have it.
func TestSameServersForAAndAAAA(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 100, 100)
	for i := range b.members {
		if i%3 > 0 {
			b.members[i].Server.Addresses = append(b.members[i].Server.Addresses, netip.MustParseAddr("2001:db8::1"))
		}
	}
	b.f = nil
	b.all(.5)
	for i := range 200 {
		c := client(i)
		q := Query{Client: c, Family: V4, Now: b.now, Chance: b.l.Chance(b.f, c, KindA, b.now)}
		a := b.ask(&q)
		q.Family, q.Chance = V6, b.l.Chance(b.f, c, KindAAAA, b.now)
		aaaa := b.ask(&q)
		if aaaa.By != Again && aaaa.N > 0 {
			t.Fatalf("Expected the second question to get what the first got, got %v", aaaa.By)
		}
		var want []int32
		for j := range a.N {
			if b.f.State[a.Servers[j]].Family&V6 != 0 {
				want = append(want, a.Servers[j])
			}
		}
		if len(want) > 0 && fmt.Sprint(want) != fmt.Sprint(aaaa.Servers[:aaaa.N]) {
			t.Fatalf("Expected %v, got %v", want, aaaa.Servers[:aaaa.N])
		}
		pend := b.f.forecast.pend[0].load()
		again := b.ask(&q)
		if again.N != aaaa.N || b.f.forecast.pend[0].load() != pend {
			t.Fatal("Expected the same question again to change nothing")
		}
	}
}

func TestMoreAddressesForMoreLoad(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100)
	b.all(.5)
	for _, tc := range []struct {
		load, sigma float64
		want        int
	}{
		{1, .1, 4}, {50, 1, 5}, {70, 1, 6}, {300, 10, 8}, {1, 5, 8},
	} {
		q := b.query(1)
		b.ask(q)
		b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(q.Client)))].believe(belief{tc.load, tc.sigma})
		if p := DecideWith(b.f, b.l, b.query(1)); p.N != tc.want {
			t.Errorf("load %v +- %v: expected %d addresses, got %d", tc.load, tc.sigma, tc.want, p.N)
		}
		b.service.Answers = 2
		b.build()
		if p := DecideWith(b.f, b.l, b.query(1)); p.N != 2 {
			t.Errorf("Expected the service's number of addresses, got %d", p.N)
		}
		b.service.Answers = 0
		b.build()
	}
}

func TestExplainPredict(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 100)
	b.all(.5)
	if e := ExplainWith(b.f, b.l, nil, b.query(1)); e.Resolver == nil || e.Resolver.Known || len(e.Resolver.Servers) != 0 || e.Resolver.Why == "" {
		t.Errorf("Expected a stranger, got %+v", e.Resolver)
	}
	q := b.query(1)
	given := b.ask(q)
	b.tick()
	q = b.query(1)
	e := ExplainWith(b.f, b.l, nil, q)
	if r := e.Resolver; r == nil || !r.Known || !r.Live || r.Load <= 0 || fmt.Sprint(r.Servers) != fmt.Sprint(given.Servers[:given.N]) {
		t.Errorf("Expected what the resolver was given and its load, got %+v", e.Resolver)
	}
	if again := DecideWith(b.f, b.l, q); again != e.Pick {
		t.Errorf("Expected the pick of the decision, got %+v, not %+v", e.Pick, again)
	}
	for _, c := range e.Candidates {
		if c.Predicted < .4 || c.Score < .3 || c.Predicted > 1 {
			t.Errorf("Expected predictions about the reported 0.5, got %+v", c)
		}
	}
	if e := ExplainWith(b.f, nil, nil, q); e.Resolver != nil || e.Pick.By != ByHeadroom {
		t.Errorf("Expected nothing of the resolver without what was learned, got %+v", e)
	}
}

// TestLearnsAGiant: of twenty resolvers, one of which is half the load, the giant is found.
func TestLearnsAGiant(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100)
	rnd := rand.New(rand.NewPCG(1, 1))
	loads := make([]float64, 20)
	for i := range loads {
		loads[i] = 5
	}
	loads[7] = 100
	on := make([][]float64, 20) // where each resolver's clients are
	last := make([]Pick, 20)
	for i := range on {
		on[i] = make([]float64, 4)
	}
	b.service.Answers = 1
	b.all(.5)
	for second := range 600 {
		for i := range loads {
			if (second+i*3)%20 == 0 {
				last[i] = b.ask(b.query(i))
			}
			for s := range on[i] {
				on[i][s] *= math.Exp(-1. / 10)
			}
			for j := range last[i].N {
				on[i][last[i].Servers[j]] += (1 - math.Exp(-1./10)) * b.l.share(j, last[i].N)
			}
		}
		for s := range b.members {
			rps := 0.0
			for i := range loads {
				rps += on[i][s] * loads[i]
			}
			rps *= 1 + .05*rnd.NormFloat64()
			b.says(s, rps/100, max(rps, 0))
		}
		b.tick()
	}
	best, most := -1, 0.0
	for i := range loads {
		x, _ := b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(i))))].believed()
		if x.mean > most {
			best, most = i, x.mean
		}
	}
	if best != 7 || most < 60 || most > 150 {
		t.Errorf("Expected resolver 7 with about 100 a second, got %d with %.0f", best, most)
	}
}

// TestServersOnOneMachine: what one service's answers will bring a machine counts for the other service on it.
func TestServersOnOneMachine(t *testing.T) {
	a := newLab(t, 100, 100)
	o := newLab(t, 100, 100)
	o.service.Name, o.f = "other.example.org.", nil
	for i := range 2 {
		a.says(i, .3, 30)
		o.says(i, .3, 30)
	}
	o.members[1].Server = &Server{ID: o.members[1].Server.ID, Capacity: 100, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.200")}}
	for range 3 {
		a.now += 1000
		a.build()
		o.build()
		a.l.Tick([]*Farm{a.f, o.f}, a.now)
		for i := range 20 {
			a.ask(a.query(i))
		}
	}
	a.now += 1000
	a.l.Tick([]*Farm{a.f, o.f}, a.now)
	shared, alone := o.f.forecast.pend[o.f.forecast.place[0]].load(), o.f.forecast.pend[o.f.forecast.place[1]].load()
	if shared <= .31 || math.Abs(alone-.3) > .02 {
		t.Errorf("Expected the shared machine to be expected above 0.31 and the other at 0.3, got %.3f and %.3f", shared, alone)
	}
}

func TestPlacesStayWhenServersComeAndGo(t *testing.T) {
	b := newLab(t, 100, 100, 100)
	b.all(.5)
	p := b.ask(b.query(1))
	was := map[string]bool{}
	for i := range p.N {
		was[b.f.Servers[p.Servers[i]].ID] = true
	}
	b.members = append([]Member{b.member(9, 100)}, b.members[1:]...)
	b.build()
	var x facts
	q := b.query(1)
	i := b.l.find(b.l.key(b.f, hashPrefix(q.Client)))
	if !b.l.slots[i].read(b.l.slots[i].key.Load(), &x) {
		t.Fatal("Expected the slot to be readable")
	}
	for _, place := range x.places[:x.n] {
		if s := b.f.forecast.server(place); s >= 0 && !was[b.f.Servers[s].ID] {
			t.Errorf("Expected the slot to speak of the servers that it was given, got %s", b.f.Servers[s].ID)
		}
	}
}

// TestFloodOfStrangers: the table stays as it is, and who is known stays known.
func TestFloodOfStrangers(t *testing.T) {
	b := newLab(t, 100, 100, 100)
	b.l.Resize(6, .3)
	b.all(.5)
	b.ask(b.query(1))
	b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(1))))].believe(belief{10, 1})
	for i := range 100_000 {
		if i%100 == 0 {
			b.now += 10
		}
		p := b.ask(b.query(1000 + i))
		if p.N == 0 {
			t.Fatal("Expected an answer for everybody")
		}
	}
	if b.l.find(b.l.key(b.f, hashPrefix(client(1)))) < 0 {
		t.Error("Expected the known resolver to keep its slot")
	}
	b.tick()
	if n, room := b.l.Tracked(); n != 64 || room != 64 {
		t.Errorf("Expected all of 64 slots to be taken, got %d of %d", n, room)
	}
}

func TestManyServices(t *testing.T) {
	l := NewLearned(10, 1)
	farms := make([]*Farm, 10_000)
	for i := range farms {
		m := []Member{reporting(server(1), .5), reporting(server(2), .4)}
		m[0].Report.RPS, m[1].Report.RPS = 50, 40
		farms[i] = Build(Input{Service: Service{Name: fmt.Sprintf("s%d.example.org.", i), Policy: Predict}, Members: m, Now: 1_000_000})
	}
	for now := int64(1_000_000); now < 1_003_000; now += 1000 {
		l.Tick(farms, now)
		for i, f := range farms {
			q := Query{Client: client(i % 3), Family: V4, Chance: f.Turn(), Now: now}
			p := DecideWith(f, l, &q)
			l.Note(f, &q, &p)
			if p.N != 2 || p.By != ByPredict {
				t.Fatalf("Expected two servers by prediction, got %+v", p)
			}
		}
	}
	l.Tick(farms[:1], 1_004_000)
	if len(l.works) != 1 {
		t.Errorf("Expected services that are gone to be forgotten, %d are kept", len(l.works))
	}
}

// TestPredictReplays: the same traffic gives the same picks.
func TestPredictReplays(t *testing.T) {
	run := func() string {
		b := newLab(t, 100, 200, 400, 100, 300)
		rnd := rand.New(rand.NewPCG(3, 3))
		out := ""
		for range 60 {
			for i := range b.members {
				u := rnd.Float64()
				b.says(i, u, u*b.members[i].Server.Capacity)
			}
			b.tick()
			for range 20 {
				p := b.ask(b.query(rnd.IntN(30)))
				out += fmt.Sprint(p.Servers[:p.N])
			}
		}
		return out
	}
	if once, again := run(), run(); once != again {
		t.Error("Expected the same picks from the same traffic")
	}
}

// TestQueriesAndTickTogether is for the race detector, and holds that nothing pending is lost or made up.
func TestQueriesAndTickTogether(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100)
	b.all(.5)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 3000 {
				q := Query{Client: client((g*7 + i) % 50), Family: V4, Chance: b.f.Turn(), Now: b.now + int64(i)}
				p := DecideWith(b.f, b.l, &q)
				b.l.Note(b.f, &q, &p)
			}
		})
	}
	for i := range 20 {
		b.l.Tick([]*Farm{b.f}, b.now+int64(i)*100)
	}
	wg.Wait()
	b.l.Tick([]*Farm{b.f}, b.now+3000)
	for place := range b.f.forecast.pend {
		if x := b.f.forecast.pend[place].added.Load(); x != 0 {
			t.Errorf("Expected nothing to be pending twice, got %d", x)
		}
	}
}

func TestShareAndMerge(t *testing.T) {
	b, o := newLab(t, 100, 100, 100), newLab(t, 100, 100, 100)
	b.all(.5)
	o.all(.5)
	for i := range 10 {
		b.ask(b.query(i))
		b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(i))))].believe(belief{10 * float64(i+1), 1})
	}
	shared := b.l.Export(b.f, 4, []byte("x"))
	if string(shared[:1]) != "x" || len(shared) != 2+4*sharedEntry {
		t.Fatalf("Expected 4 entries appended, got %d octets", len(shared))
	}
	stranger := newLab(t, 100).f
	stranger.hash++
	told := 0
	b.l.ExportAll([]*Farm{stranger, b.f}, 4, func(f *Farm, loads []byte) {
		if told++; f != b.f || !bytes.Equal(loads, shared[1:]) {
			t.Errorf("Expected of %s what Export says, got %d octets of %s", b.f.Service.Name, len(loads), f.Service.Name)
		}
	})
	if told != 1 {
		t.Errorf("Expected to be told of one service, got %d", told)
	}
	o.ask(o.query(9))
	o.ask(o.query(8))
	known := o.l.find(o.l.key(o.f, hashPrefix(client(8))))
	o.l.slots[known].believe(belief{1000, 1})
	if err := o.l.Merge(o.f, shared[1:], o.now); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]float64{9: 100, 8: 1000, 7: 80, 6: 70} {
		x, ok := o.l.slots[o.l.find(o.l.key(o.f, hashPrefix(client(i))))].believed()
		if !ok || x.mean != want {
			t.Errorf("Expected %v of resolver %d, got %v", want, i, x)
		}
	}
	if o.l.find(o.l.key(o.f, hashPrefix(client(5)))) >= 0 {
		t.Error("Expected the best known alone to be shared")
	}
	o.tick()
	if x, _ := o.l.slots[o.l.find(o.l.key(o.f, hashPrefix(client(7))))].believed(); math.Abs(x.mean-80) > 5 {
		t.Errorf("Expected what was taken over to outlast a tick, got %v", x)
	}
}

func FuzzMerge(f *testing.F) {
	b := newLab(f, 100, 100)
	b.all(.5)
	b.ask(b.query(1))
	b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(1))))].believe(belief{10, 1})
	f.Add(b.l.Export(b.f, 10, nil))
	f.Add([]byte{})
	f.Add([]byte{sharedRequests})
	f.Add([]byte{3, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		err := b.l.Merge(b.f, data, b.now)
		if err == nil && (len(data) == 0 || data[0] != sharedRequests && data[0] != sharedRelative || len(data) > 1+MaxShared*sharedEntry) {
			t.Error("Expected octets that Export does not write to be refused")
		}
		for i := range b.l.slots {
			if x, ok := b.l.slots[i].believed(); ok && !(x.mean > 0 && x.mean <= MaxRate && x.sigma > 0) {
				t.Fatalf("Expected loads in bounds, got %v", x)
			}
		}
	})
}

func TestPredictAllocatesNothing(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100, 100)
	b.all(.5)
	q := b.query(1)
	if n := testing.AllocsPerRun(100, func() { q.Chance++; b.ask(q) }); n != 0 {
		t.Errorf("Expected no allocation a query, got %v", n)
	}
	if n := testing.AllocsPerRun(20, func() { b.now += 1000; b.l.Tick([]*Farm{b.f}, b.now) }); n > 1 {
		t.Errorf("Expected no allocation a tick but for what it publishes, got %v", n)
	}
}

// BenchmarkPredict decides for 10,000 known resolvers.
func BenchmarkPredict(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			lab := benchLab(b, n)
			rnd := rand.New(rand.NewPCG(1, 1))
			queries := make([]Query, 4096)
			for i := range queries {
				queries[i] = Query{Client: client(rnd.IntN(10_000)), Family: V4, Answers: 3, Now: lab.now, Chance: rnd.Uint64()}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				DecideWith(lab.f, lab.l, &queries[i&4095])
				i++
			}
		})
	}
}

func benchLab(b testing.TB, n int) *lab {
	lab := newLab(b, make([]float64, n)...)
	lab.l.Resize(15, .3)
	for i := range lab.members {
		lab.members[i] = lab.member(i, 100)
	}
	lab.f = nil
	lab.all(.5)
	for i := range 10_000 {
		q := lab.query(i)
		q.Answers = 3
		lab.ask(q)
	}
	lab.tick()
	return lab
}

func BenchmarkNote(b *testing.B) {
	lab := benchLab(b, 1000)
	q := lab.query(1)
	p := DecideWith(lab.f, lab.l, q)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		q.Client, q.Chance = client(i%10_000), q.Chance+1
		lab.l.Note(lab.f, q, &p)
		i++
	}
}

func BenchmarkTick(b *testing.B) {
	lab := benchLab(b, 1000)
	farms := []*Farm{lab.f}
	b.ReportAllocs()
	for b.Loop() {
		lab.now += 1000
		lab.l.Tick(farms, lab.now)
	}
	b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N)/10_000), "ns/resolver")
}

// TestLoadsWithoutCapacity reports requests a second of servers of which no capacity is known: loads are in the servers'
// utilization then, not in requests.
func TestLoadsWithoutCapacity(t *testing.T) {
	b := newLab(t, 0, 0, 0)
	b.says(0, .97, 120)
	b.says(1, .3, 40)
	b.says(2, .5, 60)
	b.tick()
	if b.f.CapacityInRequests() {
		t.Error("Expected relative capacities where none was declared or measured")
	}
	for i := range 60 {
		p := b.ask(b.query(i % 7))
		if p.Servers[0] == 0 {
			t.Fatalf("Expected the server at 97%% never to be the first address, got %v at lookup %d", p.Servers[:p.N], i)
		}
		if i%10 == 9 {
			b.tick()
		}
	}
	e := ExplainWith(b.f, b.l, &Regions{}, b.query(1))
	for _, c := range e.Candidates {
		if c.Predicted < 0 || c.Predicted > 2 || c.Score < 0 || c.Score > 3 {
			t.Errorf("Expected figures of the size of a utilization, got %.2f and %.2f of %s", c.Predicted, c.Score, c.Server.ID)
		}
	}
}

// TestLoadsFollowTheFirstMeasurement measures the first capacity: what was learned before is worth the same in the new unit.
func TestLoadsFollowTheFirstMeasurement(t *testing.T) {
	b := newLab(t, 0, 0)
	report := func() {
		b.says(0, .5, 50)
		b.says(1, .25, 25)
		b.tick()
	}
	report()
	b.ask(b.query(1))
	report()
	slot := b.l.find(b.l.key(b.f, hashPrefix(client(1))))
	before, ok := b.l.slots[slot].believed()
	back := b.l.works[b.f.hash].back[0]
	if !ok {
		t.Fatal("Expected something to be known of the resolver")
	}
	for i := range b.members {
		b.members[i].Measured.Capacity = 100
	}
	report()
	after, _ := b.l.slots[slot].believed()
	if r := after.mean / before.mean; r < 60 || r > 170 {
		t.Errorf("Expected a load 100 times as large in requests a second, got %.1f", r)
	}
	if r := b.l.works[b.f.hash].back[0] / back; r < 60 || r > 170 {
		t.Errorf("Expected the load of others to follow, got %.1f times as much", r)
	}
	if !b.f.CapacityInRequests() {
		t.Error("Expected capacities in requests a second")
	}
}

// TestSharedUnits tells loads to a replica that has not measured a capacity yet.
func TestSharedUnits(t *testing.T) {
	b, o := newLab(t, 0, 0), newLab(t, 0, 0)
	b.members[0].Measured.Capacity = 100
	b.says(0, .5, 50)
	b.says(1, .5, 50)
	b.tick()
	b.ask(b.query(1))
	b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(1))))].believe(belief{20, 1})
	o.all(.5)
	if err := o.l.Merge(o.f, b.l.Export(b.f, 4, nil), o.now); err != nil {
		t.Fatalf("Expected loads in another unit to be passed over, got %v", err)
	}
	if o.l.find(o.l.key(o.f, hashPrefix(client(1)))) >= 0 {
		t.Error("Expected nothing to be taken over in another unit")
	}
	o.members[0].Measured.Capacity = 100
	o.all(.5)
	if err := o.l.Merge(o.f, b.l.Export(b.f, 4, nil), o.now); err != nil {
		t.Fatal(err)
	}
	if o.l.find(o.l.key(o.f, hashPrefix(client(1)))) < 0 {
		t.Error("Expected loads in the same unit to be taken over")
	}
}

// shares returns what part of the clients each server is given in n lookups of as many resolvers, where some take the first
// address and the others any.
func (b *lab) shares(n int) []float64 {
	got := make([]float64, len(b.members))
	for i := range n {
		q := b.query(i)
		p := DecideWith(b.f, b.l, q)
		for j, c := range p.Servers[:p.N] {
			got[c] += b.l.share(j, p.N) / float64(n)
		}
	}
	return got
}

func TestSecondAddressStaysInProportion(t *testing.T) {
	for _, policy := range []Policy{Predict, Headroom} {
		b := newLab(t, 100, 400)
		b.service.Policy = policy
		b.all(.5)
		ones, n := 0, 4000
		for i := range n {
			if p := DecideWith(b.f, b.l, b.query(i)); p.N == 1 {
				ones++
			}
		}
		if ones == 0 || ones > n*2/3 {
			t.Errorf("%s: expected one address now and then, got %d of %d", policy, ones, n)
		}
		equal := newLab(t, 100, 100)
		equal.service.Policy = policy
		equal.all(.5)
		for i := range 100 {
			if p := DecideWith(equal.f, equal.l, equal.query(i)); p.N != 2 {
				t.Fatalf("%s: expected two addresses of equal servers, got %d", policy, p.N)
			}
		}
	}
	b := newLab(t, 100, 400)
	b.all(.5)
	if got := b.shares(4000); math.Abs(got[0]-.2) > .04 {
		t.Errorf("Expected the small server to be given to a fifth of the clients, got %.3f", got[0])
	}
}

// TestDrawsStayInProportion draws two of four servers, one of which has more than half of the weight.
func TestDrawsStayInProportion(t *testing.T) {
	b := newLab(t, 100, 200, 400, 800)
	b.service.Policy = Weighted
	for i, w := range []float64{1, 2, 4, 8} {
		b.members[i].Server.Weight = &w
	}
	b.service.Answers = 2
	b.build()
	got := b.shares(6000)
	if r := got[0] / got[1]; r < .4 || r > .65 {
		t.Errorf("Expected half as much for the smallest as for the next, got %.2f of %.3f", r, got)
	}
}

// TestServersWithoutReportsAreAccounted has three of four equal servers report. What the fourth was sent counts.
func TestServersWithoutReportsAreAccounted(t *testing.T) {
	b := newLab(t, 100, 100, 100, 100)
	for i := range b.members {
		b.members[i].Measured.Capacity = 100
	}
	counts := make([]float64, 4)
	for second := range 300 {
		for i := range 3 {
			b.says(i, .5, 50)
		}
		b.tick()
		for i := range 3 {
			q := b.query((second*3 + i) % 90)
			p := b.ask(q)
			if second >= 100 {
				counts[p.Servers[0]]++
			}
		}
	}
	if counts[3] < 50 || counts[3] > 300 {
		t.Errorf("Expected about a quarter of 600 first addresses for the server that does not report, got %v", counts)
	}
}

// TestOutdatedReports has a report that never changes: it was written by hand, and predicts nothing.
func TestOutdatedReports(t *testing.T) {
	b := newLab(t, 100, 100)
	for i := range b.members {
		b.members[i].Measured.Capacity = 100
	}
	given := func(seconds int) (first int) {
		for i := range seconds {
			b.says(0, .2, 20)
			b.says(1, .5+.01*float64(i%2), 50)
			b.tick()
			if p := b.ask(b.query(i % 30)); p.Servers[0] == 0 {
				first++
			}
		}
		return first
	}
	before := given(50)
	given(60)
	if after := given(50); after >= before {
		t.Errorf("Expected the server with an old report to be given less often than before, got %d, then %d", before, after)
	}
}

// TestLoadsFollowTheService has a service's load grow and shrink: what is believed of a resolver follows, with doubt when it grows.
func TestLoadsFollowTheService(t *testing.T) {
	tr := trace{load: 2, variance: .01, byMetric: 2, byMetricVar: .01}
	tr.followLoad(10)
	tr.followLoad(14)
	if tr.load != 2 {
		t.Errorf("Expected a small change to leave a load alone, got %v", tr.load)
	}
	tr.followLoad(1000)
	if tr.load != 200 || math.Sqrt(tr.variance) < .4*tr.load {
		t.Errorf("Expected 200 and doubt, got %v +- %v", tr.load, math.Sqrt(tr.variance))
	}
	doubt := tr.variance / (tr.load * tr.load)
	tr.followLoad(0)
	tr.followLoad(100)
	if tr.load != 20 || tr.variance/(tr.load*tr.load) > doubt+1e-9 {
		t.Errorf("Expected 20 and no more doubt, got %v, variance %v", tr.load, tr.variance)
	}
}

// TestEqualScoresAreGivenByCapacity asks for an idle service, all of whose servers score nearly the same.
func TestEqualScoresAreGivenByCapacity(t *testing.T) {
	b := newLab(t, 100, 200)
	b.says(0, .02, 2)
	b.says(1, .02, 4)
	b.tick()
	first := 0
	for i := range 3000 {
		if p := DecideWith(b.f, b.l, b.query(i)); p.Servers[0] == 0 {
			first++
		}
	}
	if first < 600 || first > 1400 {
		t.Errorf("Expected the first address by capacity, a third for the small server, got %d of 3000", first)
	}
}

func TestServedOn(t *testing.T) {
	report := func(util, rps float64, h Health) Report {
		r := NoReport
		r.Utilization, r.RPS, r.Health = util, rps, h
		return r
	}
	for _, tc := range []struct {
		name          string
		before, after Report
		want          bool
	}{
		{"as busy as before", report(.5, 50, Up), report(.48, 47, Up), true},
		{"half as busy", report(.5, -1, Up), report(.25, -1, Up), true},
		{"requests alone", report(-1, 50, ""), report(-1, 30, ""), true},
		{"cold", report(.5, 50, Up), report(.02, 1, Up), false},
		{"idle before", report(.01, 0, Up), report(.01, 0, Up), false},
		{"down after", report(.5, 50, Up), report(.5, 50, Down), false},
		{"down before", report(.5, 50, Down), report(.5, 50, Up), false},
		{"nothing known", NoReport, NoReport, false},
	} {
		if got := ServedOn(tc.before, tc.after); got != tc.want {
			t.Errorf("%s: expected %t, got %t", tc.name, tc.want, got)
		}
	}
}
