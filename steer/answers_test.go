package steer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// exportAnswers returns a lab's answers after since, nil if there are none.
func (b *lab) exportAnswers(since int64) (answers []byte) {
	b.l.ExportAnswers([]*Farm{b.f}, since, b.now, func(_ *Farm, a []byte) { answers = a })
	return answers
}

// mergeAnswers merges answers that were exported just now.
func (b *lab) mergeAnswers(answers []byte) {
	b.t.Helper()
	if err := b.l.MergeAnswers(b.f, answers, b.now, b.now); err != nil {
		b.t.Fatal(err)
	}
}

// factsOf returns what the table has of a resolver.
func (b *lab) factsOf(i int) (x facts, known bool) {
	at := b.l.find(b.l.key(b.f, hashPrefix(client(i))))
	if at < 0 {
		return x, false
	}
	b.l.slots[at].load(&x)
	return x, true
}

func (b *lab) believe(i int, load float64) {
	b.l.slots[b.l.find(b.l.key(b.f, hashPrefix(client(i))))].believe(belief{load, 1})
}

// pending is the load, in requests a second, that is on its way to each server.
func (b *lab) pending() []float64 {
	loads := make([]float64, len(b.f.Servers))
	for c, place := range b.f.forecast.place {
		loads[c] = float64(b.f.forecast.pend[place].added.Load()) / pendUnit * b.f.State[c].Capacity
	}
	return loads
}

// answerOf is the entry of an answer as a replica writes it.
func answerOf(who uint64, age, ttl uint16, ids ...string) []byte {
	e := binary.LittleEndian.AppendUint64(nil, who)
	e = binary.LittleEndian.AppendUint16(e, age)
	e = binary.LittleEndian.AppendUint16(e, ttl)
	e = append(e, byte(len(ids)))
	for _, id := range ids {
		e = binary.LittleEndian.AppendUint32(e, uint32(hashString(id)))
	}
	return e
}

func answersOf(entries ...[]byte) []byte {
	return append([]byte{answersVersion}, bytes.Join(entries, nil)...)
}

// twoReplicas are replicas of one farm of four servers, all at half load.
func twoReplicas(t testing.TB) (b, o *lab) {
	b, o = newLab(t, 100, 100, 100, 100), newLab(t, 100, 100, 100, 100)
	o.l.seed++
	b.all(.5)
	o.all(.5)
	return b, o
}

func TestExportAnswers(t *testing.T) {
	b, _ := twoReplicas(t)
	for i := range 3 {
		b.ask(b.query(i))
		b.believe(i, 10*float64(i+1))
	}
	before := b.now
	b.now += 500
	p := b.ask(b.query(3))
	b.believe(3, 15)
	b.now += 250

	var want [][]byte
	for _, i := range []int{2, 1, 3, 0} {
		x, _ := b.factsOf(i)
		var ids []string
		for _, place := range x.places[:x.n] {
			ids = append(ids, b.f.Servers[b.f.forecast.server(place)].ID)
		}
		want = append(want, answerOf(hashPrefix(client(i)), uint16(b.now-x.asked), uint16(p.TTL), ids...))
	}
	if got := b.exportAnswers(0); !bytes.Equal(got, answersOf(want...)) {
		t.Errorf("Expected the answers, those to the largest first:\n%x\ngot\n%x", answersOf(want...), got)
	}
	if got := b.exportAnswers(before); !bytes.Equal(got, answersOf(want[2])) {
		t.Errorf("Expected the answer since then alone:\n%x\ngot\n%x", answersOf(want[2]), got)
	}
	if got := b.exportAnswers(b.now); got != nil {
		t.Errorf("Expected nothing to tell, got %x", got)
	}
}

// Every farm's answers are its own, of services without answers nothing is told, and one farm does not tell of everybody.
func TestExportAnswersOfAllFarms(t *testing.T) {
	b := newLab(t, 100, 100, 100)
	b.l.Resize(12, DefaultFirst)
	b.all(.5)
	farms := []*Farm{b.f}
	for i := range 3 {
		service := b.service
		service.Name = fmt.Sprintf("s%d.example.org.", i)
		farms = append(farms, Build(Input{Service: service, Members: b.members, Now: b.now}))
	}
	farms = append(farms, Build(Input{Service: Service{Name: "headroom.example.org.", Policy: Headroom}, Members: b.members, Now: b.now}))
	b.l.Tick(farms, b.now)
	for _, f := range farms {
		if f.Service.Name == "s1.example.org." {
			continue
		}
		for i := range map[bool]int{true: MaxTold + 50, false: 2}[f == b.f] {
			q := Query{Client: client(i), Family: V4, Chance: f.Turn(), Now: b.now}
			p := DecideWith(f, b.l, &q)
			b.l.Note(f, &q, &p)
		}
	}
	got := make(map[string]int)
	b.l.ExportAnswers(farms, 0, b.now, func(f *Farm, answers []byte) {
		for e := answers[1:]; len(e) > 0; e = e[answerSize(e):] {
			got[f.Service.Name]++
		}
	})
	if want := map[string]int{b.service.Name: MaxTold, "s0.example.org.": 2, "s2.example.org.": 2}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Expected the numbers of answers %v, got %v", want, got)
	}
}

// TestMergeAnswers: the load behind a resolver goes where the other replica's answer sends it.
func TestMergeAnswers(t *testing.T) {
	b, _ := twoReplicas(t)
	who := hashPrefix(client(1))
	b.mergeAnswers(answersOf(answerOf(who, 500, 30, "s0000", "s0001")))
	prior := b.f.forecast.model.Load().prior.mean
	first, other := (DefaultFirst+(1-DefaultFirst)/2)*prior, (1-DefaultFirst)/2*prior
	expect := func(what string, want ...float64) {
		t.Helper()
		for c, got := range b.pending() {
			if math.Abs(got-want[c]) > 1e-6 {
				t.Errorf("%s: expected pending %v, got %v", what, want, b.pending())
				return
			}
		}
	}
	expect("a stranger", first, other, 0, 0)
	if x, _ := b.factsOf(1); !x.told || x.asked != b.now-500 || x.ttl != 30_000 || x.n != 2 || !x.live(b.now+30_000) || x.live(b.now+40_000) {
		t.Errorf("Expected an answer of 30 s that another replica gave half a second ago, got %+v", x)
	}
	b.mergeAnswers(answersOf(answerOf(who, 500, 30, "s0000", "s0001")))
	expect("the same again", first, other, 0, 0)
	b.mergeAnswers(answersOf(answerOf(who, 600, 30, "s0002")))
	expect("an older one", first, other, 0, 0)
	b.mergeAnswers(answersOf(answerOf(who, 400, 30, "s0003", "nosuch", "s0000")))
	expect("a newer one, of servers one of which is not known", other, 0, 0, first)
	b.mergeAnswers(answersOf(answerOf(who, 300, 30, "nosuch")))
	expect("one of servers that are not known", other, 0, 0, first)
	if b.exportAnswers(0) != nil {
		t.Error("Expected nothing to be passed on that another replica told")
	}
}

// Of two replicas that answer one resolver, the one that answered last is right, and what is known of a resolver stays.
func TestNewerAnswerWins(t *testing.T) {
	b, o := twoReplicas(t)
	b.ask(b.query(1))
	b.now, o.now = b.now+100, o.now+100
	o.ask(o.query(1))
	fromB, fromO := b.exportAnswers(0), o.exportAnswers(0)
	own, _ := o.factsOf(1)
	o.mergeAnswers(fromB)
	if x, _ := o.factsOf(1); x != own {
		t.Errorf("Expected the newer answer of one's own to stay, got %+v", x)
	}
	b.mergeAnswers(fromO)
	x, _ := b.factsOf(1)
	if !x.told || x.asked != own.asked || x.n != own.n || x.places != own.places || x.seen != 1 {
		t.Errorf("Expected the newer answer %+v, got %+v", own, x)
	}
	b.believe(1, 40)
	before := b.pending()
	b.now += 1000
	b.ask(b.query(1))
	if x, _ := b.factsOf(1); x.told {
		t.Error("Expected the next answer of one's own to stand")
	}
	sum := 0.0
	for c, load := range b.pending() {
		sum += load - before[c]
	}
	if math.Abs(sum) > 1e-6 {
		t.Errorf("Expected the load to move from the servers of the told answer, got %v more", sum)
	}
}

// How often a resolver asks is learned from lookups that came here, one after the other.
func TestNoIntervalsOfToldAnswers(t *testing.T) {
	b, _ := twoReplicas(t)
	for range 2 {
		b.ask(b.query(1))
		b.now += 30_000
	}
	before, _ := b.factsOf(1)
	if before.seen != 2 || before.gaps[0] != 30_000 {
		t.Fatalf("Expected one interval, got %+v", before)
	}
	b.mergeAnswers(answersOf(answerOf(hashPrefix(client(1)), 100, 30, "s0000")))
	b.now += 7000
	b.ask(b.query(1))
	if x, _ := b.factsOf(1); x.seen != before.seen || x.gaps != before.gaps {
		t.Errorf("Expected no interval since the told answer, got %+v", x)
	}
	b.now += 31_000
	b.ask(b.query(1))
	if x, _ := b.factsOf(1); x.seen != 3 || x.gaps[1] != 31_000 {
		t.Errorf("Expected an interval between two answers of one's own, got %+v", x)
	}
}

// The other question of a lookup repeats the answer to the first one, never an answer of another replica.
func TestToldAnswersAreNotRepeated(t *testing.T) {
	b, _ := twoReplicas(t)
	for i := range 50 {
		c := client(i)
		b.mergeAnswers(answersOf(answerOf(hashPrefix(c), 0, 30, "s0000", "s0001")))
		q := Query{Client: c, Family: V4, Now: b.now, Chance: b.l.Chance(b.f, c, KindA, b.now)}
		if p := b.ask(&q); p.By == Again {
			t.Fatalf("Resolver %d: expected an answer of its own, got that of the other replica", i)
		}
		q.Chance = b.l.Chance(b.f, c, KindHTTPS, b.now)
		if p := b.ask(&q); p.By != Again {
			t.Fatalf("Resolver %d: expected the same answer, got %v", i, p.By)
		}
	}
}

// What is damaged, too old, or from the future takes nothing over, or no more than it should.
func TestMergeAnswersChecks(t *testing.T) {
	who := hashPrefix(client(1))
	good := answerOf(who, 0, 30, "s0000")
	none := append(answerOf(who, 0, 30), 0)
	const future = 60_000
	for _, tc := range []struct {
		name     string
		answers  []byte
		exported int64 // ms from now
		refused  bool
		taken    bool
	}{
		{"empty", nil, 0, true, false},
		{"no entry", answersOf(), 0, false, false},
		{"version 2", append([]byte{2}, good...), 0, true, false},
		{"an entry cut short", answersOf(good, good[:5]), 0, true, false},
		{"servers cut short", answersOf(good, good[:15]), 0, true, false},
		{"no servers", answersOf(good, none[:answerHead]), 0, true, false},
		{"nine servers", answersOf(good, answerOf(who, 0, 30, make([]string, 9)...)), 0, true, false},
		{"too many", answersOf(bytes.Repeat(good, MaxTold+1)), 0, true, false},
		{"as many as there may be", answersOf(bytes.Repeat(good, MaxTold)), 0, false, true},
		{"run out", answersOf(answerOf(who, 37_000, 30, "s0000")), 0, false, false},
		{"about to run out", answersOf(answerOf(who, 35_000, 30, "s0000")), 0, false, true},
		{"a TTL of 0", answersOf(answerOf(who, 1000, 0, "s0000")), 0, false, true},
		{"exported long ago", answersOf(good), -40_000, false, false},
		{"exported in the future", answersOf(good), future, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, _ := twoReplicas(t)
			if err := b.l.MergeAnswers(b.f, tc.answers, b.now+tc.exported, b.now); (err != nil) != tc.refused {
				t.Errorf("Expected refused %t, got %v", tc.refused, err)
			}
			x, known := b.factsOf(1)
			if known != tc.taken {
				t.Errorf("Expected taken %t, got %t", tc.taken, known)
			}
			if x.asked > b.now {
				t.Errorf("Expected no answer of the future, got %d ms ahead", x.asked-b.now)
			}
		})
	}
}

// A flood of told strangers takes free slots, and displaces neither what is known nor what asked just now.
func TestFloodOfToldStrangers(t *testing.T) {
	b := newLab(t, 100, 100, 100)
	b.l.Resize(6, .3)
	b.all(.5)
	for i := range 20 {
		b.ask(b.query(i))
	}
	for i := range 10 {
		b.believe(i, 10)
	}
	for n := range 500 {
		var entries [][]byte
		for i := range MaxTold {
			entries = append(entries, answerOf(mix(uint64(n*MaxTold+i)), 0, 30, "s0000"))
		}
		b.mergeAnswers(answersOf(entries...))
		if n == 0 {
			for i := range 20 {
				if _, known := b.factsOf(i); !known {
					t.Fatalf("Expected resolver %d, which asked just now, to keep its slot", i)
				}
			}
		}
		b.now += 100
		for i := 10; i < 20; i++ {
			b.ask(b.query(i))
		}
	}
	for i := range 20 {
		if _, known := b.factsOf(i); !known {
			t.Errorf("Expected resolver %d, which is known or asks, to keep its slot", i)
		}
	}
	b.tick()
	if n, room := b.l.Tracked(); n != 64 || room != 64 {
		t.Errorf("Expected all of 64 slots to be taken, got %d of %d", n, room)
	}
}

// Queries go on while answers are told and taken over.
func TestAnswersWhileQueriesGoOn(t *testing.T) {
	b, o := twoReplicas(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 20_000 {
			q := Query{Client: client(i % 50), Family: V4, Chance: b.f.Turn(), Now: b.now}
			p := DecideWith(b.f, b.l, &q)
			b.l.Note(b.f, &q, &p)
		}
	}()
	for i := range 50 {
		o.ask(o.query(i))
	}
	told := o.exportAnswers(0)
	for {
		select {
		case <-done:
			return
		default:
			b.mergeAnswers(told)
			if answers := b.exportAnswers(0); answers != nil && !areAnswers(answers) {
				t.Fatalf("Expected whole answers, got %x", answers)
			}
		}
	}
}

func FuzzMergeAnswers(f *testing.F) {
	b, _ := twoReplicas(f)
	for i := range 5 {
		b.ask(b.query(i))
	}
	f.Add(b.exportAnswers(0), int64(0))
	f.Add(answersOf(answerOf(1, 0, 30, "s0000", "s0001"), answerOf(1, 0, 0, "nosuch")), int64(-5000))
	f.Add(answersOf(answerOf(2, math.MaxUint16, math.MaxUint16, make([]string, MaxAnswers)...)), int64(1<<40))
	f.Add(answersOf(answerOf(1, 0, 30)), int64(0))
	f.Add([]byte{}, int64(0))
	f.Add([]byte{answersVersion}, int64(0))
	f.Fuzz(func(t *testing.T, data []byte, ahead int64) {
		ahead = min(max(ahead, -maxMillis), maxMillis)
		before := b.l.slots[0].key.Load()
		err := b.l.MergeAnswers(b.f, data, b.now+ahead, b.now)
		if (err == nil) != areAnswers(data) || err != nil && b.l.slots[0].key.Load() != before {
			t.Fatalf("Expected damaged octets to be refused, got %v", err)
		}
		for i := range b.l.slots {
			var x facts
			s := &b.l.slots[i]
			if s.key.Load() == 0 {
				continue
			}
			if s.load(&x); x.asked > b.now || x.n > MaxAnswers || x.ttl > 1000*math.MaxUint16 || s.seq.Load()&1 != 0 {
				t.Fatalf("Expected facts in bounds, got %+v", x)
			}
			for _, place := range x.places[:x.n] {
				if b.f.forecast.server(place) < 0 {
					t.Fatalf("Expected servers of the farm, got %+v", x)
				}
			}
		}
		for c, load := range b.pending() {
			if math.IsNaN(load) || math.Abs(load) > 1e9 {
				t.Fatalf("Expected pending loads in bounds, got %v of server %d", load, c)
			}
		}
	})
}

// maxMillis is a time of Redis at its largest.
const maxMillis = 1 << 45

func TestExportAnswersAllocatesLittle(t *testing.T) {
	b, _ := twoReplicas(t)
	for i := range 200 {
		b.ask(b.query(i))
	}
	farms, tell := []*Farm{b.f}, func(*Farm, []byte) {}
	b.l.ExportAnswers(farms, 0, b.now, tell)
	if n := testing.AllocsPerRun(20, func() { b.l.ExportAnswers(farms, 0, b.now, tell) }); n > 1 {
		t.Errorf("Expected one allocation a farm, got %v", n)
	}
	told := b.exportAnswers(0)
	if n := testing.AllocsPerRun(20, func() { b.mergeAnswers(told) }); n != 0 {
		t.Errorf("Expected merging to allocate nothing, got %v", n)
	}
}

// BenchmarkAnswers is what a replica of 16,384 resolvers, each of which it answered within the last second, spends on
// telling of those that fit, and on taking over as many.
func BenchmarkAnswers(b *testing.B) {
	lab, other := twoReplicas(b)
	lab.l.Resize(14, DefaultFirst)
	lab.tick()
	for i := range 1 << 14 {
		lab.ask(lab.query(i))
	}
	told := lab.exportAnswers(0)
	b.Run("export", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			lab.exportAnswers(0)
		}
	})
	b.Run("merge", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			other.now++
			other.mergeAnswers(told)
		}
	})
}
