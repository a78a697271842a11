package store

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

// What is 0 stays 0, what is absent stays absent, and what cannot be 0 is refused.
func TestServerRecordZeros(t *testing.T) {
	for _, tc := range []struct{ data, again, want string }{
		{`{"addresses":["192.0.2.1"]}`, `{"addresses":["192.0.2.1"]}`, ""},
		{`{"addresses":["192.0.2.1"],"weight":0,"soft":0}`, `{"addresses":["192.0.2.1"],"weight":0,"soft":0}`, ""},
		{`{"addresses":["192.0.2.1"],"weight":null,"soft":null,"port":null}`, `{"addresses":["192.0.2.1"]}`, ""},
		{`{"addresses":["192.0.2.1"],"weight":0.5,"priority":0}`, `{"addresses":["192.0.2.1"],"weight":0.5}`, ""},
		{`{"addresses":["192.0.2.1"],"port":0}`, "", "port 0: expected a number above 0, or no port"},
		{`{"addresses":["192.0.2.1"],"Port": 0}`, "", "port 0: expected"},
		{`{"addresses":["192.0.2.1"],"capacity":0.0}`, "", "capacity 0: expected"},
		{`{"addresses":["192.0.2.1"],"hard":-0}`, "", "hard 0: expected"},
		{`{"addresses":["192.0.2.1"],"weight":-1}`, "", "weight -1: expected 0 to 65535"},
		{`{"target":"WWW.Example.NET.","classes":["Fast"]}`, `{"target":"www.example.net.","classes":["fast"]}`, ""},
	} {
		rec, err := decodeServer("a", tc.data)
		checkAgain(t, tc.data, rec, err, tc.again, tc.want)
	}
}

func TestServiceRecordZeros(t *testing.T) {
	for _, tc := range []struct{ data, again, want string }{
		{`{}`, `{}`, ""},
		{`{"ttl":0,"soft":0,"slow_start":0,"drain":0}`, `{"ttl":0,"soft":0,"slow_start":0,"drain":0}`, ""},
		{`{"ttl":0,"max_ttl":0}`, `{"ttl":0,"max_ttl":0}`, ""},
		{`{"ttl":0,"max_ttl":60}`, `{"ttl":0,"max_ttl":60}`, ""},
		{`{"max_ttl":0}`, "", "max_ttl 0: expected ttl 0 as well"},
		{`{"answers":0}`, "", "answers 0: expected a number above 0, or no answers"},
		{`{"hard":0}`, "", "hard 0: expected"},
		{`{"levels":[{"name":"gold","rank":1,"share":0}]}`, "", "share 0: expected"},
		{`{"levels":[{"name":"gold","rank":1,"unit":0.1},{"name":"x","rank":2,"duration":0}]}`, "", "duration 0: expected"},
		{`{"levels":[{"name":"Gold","rank":1,"classes":["A"]}],"fallback":["Sorry.Example.NET."]}`,
			`{"fallback":["sorry.example.net."],"levels":[{"name":"gold","rank":1,"classes":["a"]}]}`, ""},
	} {
		rec, err := decodeService("www.example.org.", tc.data)
		checkAgain(t, tc.data, rec, err, tc.again, tc.want)
	}
}

// checkAgain compares a record that was read with what is written of it.
func checkAgain(t *testing.T, data string, rec any, err error, again, want string) {
	t.Helper()
	if want != "" {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", data, err, want)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", data, err)
		return
	}
	if got, err := json.Marshal(rec); err != nil || string(got) != again {
		t.Errorf("%s: is written as %s, %v; want %s", data, got, err, again)
	}
}

// A state file keeps what is 0 apart from what is absent.
func TestStateKeepsZeros(t *testing.T) {
	w := newWorld(t)
	w.load(record{kindService, svc, "", `{"ttl":0,"drain":0}`},
		record{kindServer, svc, "a", `{"addresses":["192.0.2.1"],"weight":0}`}, record{kindServer, svc, "b", `{"addresses":["192.0.2.2"]}`})
	data, err := encodeState(w.r.lines(w.now))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := decodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica()
	r.restore(lines, w.now)
	s := r.shards[Shard(svc)].services[svc]
	if s.spec.TTL == nil || *s.spec.TTL != 0 || s.spec.Drain == nil || *s.spec.Drain != 0 || s.spec.SlowStart != nil {
		t.Errorf("service: got %+v", s.spec)
	}
	a, b := s.servers["a"].rec, s.servers["b"].rec
	if a.Weight == nil || *a.Weight != 0 || b.Weight != nil {
		t.Errorf("servers: got weights %v and %v", a.Weight, b.Weight)
	}
}

func TestMayHaveZero(t *testing.T) {
	for data, want := range map[string]bool{
		``: false, `{}`: false, `{"a":1}`: false, `{"a":0}`: true, `{"a": 0}`: true, `{"a":-0}`: true, `{"a":1,"b":"x:0"}`: true, `{"a":"10:1"}`: false,
	} {
		if got := mayHaveZero(data); got != want {
			t.Errorf("%s: got %t", data, got)
		}
	}
}

// Where a layer has 0, the one below does not stand in for it.
func TestFillZeros(t *testing.T) {
	s := steer.Service{SlowStart: new(0.0), Soft: new(0.0)}
	fill(&s, &steer.Service{SlowStart: new(60.0), Drain: new(30.0), Soft: new(0.9), Hard: 1})
	if *s.SlowStart != 0 || *s.Drain != 30 || *s.Soft != 0 || s.Hard != 1 {
		t.Errorf("got %v %v %v %v", *s.SlowStart, *s.Drain, *s.Soft, s.Hard)
	}
}
