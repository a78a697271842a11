package store

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func someAnswers(at int64, services ...string) (all []exportedAnswers) {
	for _, name := range services {
		all = append(all, exportedAnswers{name, at, "answers of " + name})
	}
	return all
}

// answersServices are services of one shard.
func answersServices(shard, n int) (names []string) {
	for i := 0; len(names) < n; i++ {
		if name := fmt.Sprintf("s%d.example.org.", i); Shard(name) == shard {
			names = append(names, name)
		}
	}
	return names
}

// What is written can be read, is within bounds, and the first has precedence.
func TestAnswersBounds(t *testing.T) {
	const at = 1_795_363_200_000
	names := answersServices(3, 3)
	few := append(someAnswers(at-answersTold, names[0]), someAnswers(at, names...)...)
	large := exportedAnswers{names[1], at - 1, strings.Repeat("x", 60<<10)}
	for _, tt := range []struct {
		what      string
		all, want []exportedAnswers
	}{
		{"nothing", nil, nil},
		{"a few", few, few},
		{"from long ago", someAnswers(at-100_000, names...), someAnswers(at-65_535, names...)},
		{"of the future", someAnswers(at+1, names...), someAnswers(at, names...)},
		{"what fits", append([]exportedAnswers{large, large}, few...), append([]exportedAnswers{large}, few...)},
	} {
		value := encodeAnswers(at, tt.all)
		gotAt, got, err := decodeAnswers(value, 3)
		if err != nil || gotAt != at || len(value) > maxAnswers || fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %d answers of %d, at %d, %v", tt.what, len(got), len(tt.want), gotAt, err)
		}
	}
}

func TestAnswersThatAreDamaged(t *testing.T) {
	const at = 1_795_363_200_000
	names := answersServices(3, 2)
	good := encodeAnswers(at, someAnswers(at, names...))
	for what, value := range map[string]string{
		"empty":             "",
		"a part of a head":  good[:answersHead-1],
		"version 2":         "\x02" + good[1:],
		"no time":           encodeAnswers(0, nil),
		"a time past all":   encodeAnswers(maxTime+1, nil),
		"too large":         good + strings.Repeat("x", maxAnswers),
		"cut short":         good[:len(good)-1],
		"more than whole":   good + "x",
		"no answers":        encodeAnswers(at, []exportedAnswers{{names[0], at, ""}}),
		"no name":           encodeAnswers(at, someAnswers(at, "")),
		"a bad name":        encodeAnswers(at, someAnswers(at, "S1.example.org.")),
		"another shard":     encodeAnswers(at, someAnswers(at, answersServices(4, 1)...)),
		"good, then a part": good + "\x01\x00\x05ab",
	} {
		if _, all, err := decodeAnswers(value, 3); err == nil || reasonOf(err) == "other" || len(all) > 0 {
			t.Errorf("%s: %d answers, %v", what, len(all), err)
		}
	}
}

// The key is of the form that users may write, and no service's.
func TestAnswersKey(t *testing.T) {
	if got := answersKey("farm", 3); got != "farm:{03}:lrn:answers" || CheckServiceName("answers") == nil {
		t.Errorf("key %s", got)
	}
}

// What a replica exports is told for three seconds, under one time.
func TestAnswersAreToldForSeconds(t *testing.T) {
	const start, offset = 1_000_000, 5000
	sh := &answersShard{number: Shard(svc), offset: offset}
	sh.add(Shared{Service: svc, Answers: []byte("one"), At: start})
	for _, tt := range []struct {
		after int64
		want  string
	}{{100, "[{www.example.org. 1005000 one}]"}, {1100, "[{www.example.org. 1006000 two} {www.example.org. 1005000 one}]"},
		{3000, "[{www.example.org. 1006000 two} {www.example.org. 1005000 one}]"}, {3001, "[{www.example.org. 1006000 two}]"}, {4001, "[]"}} {
		if tt.after == 1100 {
			sh.add(Shared{Service: svc, Answers: []byte("two"), At: start + 1000})
		}
		now := int64(start + tt.after)
		sh.expire(now)
		at, all, err := decodeAnswers(sh.value(now), sh.number)
		if err != nil || at != now+sh.offset || fmt.Sprint(all) != tt.want {
			t.Errorf("after %d ms: %v at %d, %v", tt.after, all, at, err)
		}
		sh.offset++ // as is measured next
		if tt.after == 100 {
			sh.offset--
		}
	}
}

func FuzzAnswers(f *testing.F) {
	names := answersServices(3, 2)
	f.Add(encodeAnswers(1_795_363_200_000, someAnswers(1_795_363_199_000, names...)))
	f.Add(encodeAnswers(1, nil))
	f.Add("")
	f.Add("\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff")
	f.Fuzz(func(t *testing.T, value string) {
		at, all, err := decodeAnswers(value, 3)
		if err != nil {
			if reasonOf(err) == "other" {
				t.Errorf("%q: %s", value, err)
			}
			return
		}
		if int64(binary.LittleEndian.Uint64([]byte(value[1:]))) != at || at < 1 || len(value) > maxAnswers {
			t.Errorf("%q is taken", value)
		}
		size := answersHead
		for i := range all {
			if e := &all[i]; Shard(e.service) != 3 || e.answers == "" || e.at > at || e.at < at-1<<16 {
				t.Errorf("%+v is taken", e)
			}
			size += all[i].size()
		}
		if size != len(value) {
			t.Errorf("%d octets of %d are read", size, len(value))
		}
	})
}

// Only shards with services under predict have their turn: each time while another replica is there, else every five seconds.
func TestAnswersTurns(t *testing.T) {
	w := newWorld(t)
	w.load(record{kindService, svc, "", `{"policy":"predict"}`}, serverRec("a"))
	s := &Store{start: time.Now(), replica: w.r, views: make(map[*View]struct{})}
	v := newView(s, Base{})
	v.addAll(w.r)
	v.publish(new(sync.Mutex), w.r, generation{now: s.now()}, always)
	x := newAnswerExchange(s)
	views := []*View{v}
	if due := x.collect(views); len(due) != 0 {
		t.Errorf("%d shards have their turn, and nobody collects", len(due))
	}
	v.mail.swap(nil)
	for range 3 {
		if due := x.collect(views); len(due) != 1 || due[0].number != Shard(svc) {
			t.Errorf("%d shards have their turn after the start", len(due))
		}
	}
	sh := &x.shards[Shard(svc)]
	sh.peerAt = s.now() - aloneAfter - 1
	if due := x.collect(views); len(due) != 1 || sh.nextAt < s.now()+aloneEvery*4/5-1 || sh.nextAt > s.now()+aloneEvery {
		t.Errorf("alone, %d shards have their turn, and the next is in %d ms", len(due), sh.nextAt-s.now())
	}
	if due := x.collect(views); len(due) != 0 {
		t.Error("a replica that is alone looks again at once")
	}
	sh.said.values = map[string]string{"other-1": encodeAnswers(s.now(), nil)}
	x.hear(sh, views)
	if due := x.collect(views); len(due) != 1 {
		t.Error("a replica that is no longer alone waits")
	}
}

// What is heard again is not delivered again, unless Redis's clock was set back.
func TestAnswersAreDeliveredOnce(t *testing.T) {
	const now = 1_000_000
	for _, tt := range []struct {
		after, want int64
		at          []int64
	}{
		{0, now, []int64{now - 4000, now}},
		{now - 1000, now - 500, []int64{now - 2000, now - 1000, now - 500}},
		{now, now, []int64{now, now - 1}},
		{0, 0, []int64{now - 5001, now + 1001}},
		{now + 1001, now - 1, []int64{now - 1}},
	} {
		var all []exportedAnswers
		for _, at := range tt.at {
			all = append(all, exportedAnswers{svc, at, "x"})
		}
		if got := deliver(all, tt.after, now, 0, nil); got != tt.want {
			t.Errorf("after %d, of %v: the latest is %d, want %d", tt.after, tt.at, got, tt.want)
		}
	}
}
