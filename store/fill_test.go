package store

import (
	"strconv"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

func TestFillTTL(t *testing.T) {
	at := func(n uint32) *uint32 { return &n }
	for _, tc := range []struct {
		name         string
		said, stands [2]*uint32 // TTL, MaxTTL
		ttl, upTo    *uint32
	}{
		{"nothing is said", [2]*uint32{}, [2]*uint32{at(20), at(60)}, at(20), at(60)},
		{"both are said", [2]*uint32{at(5), at(10)}, [2]*uint32{at(20), at(60)}, at(5), at(10)},
		{"one alone is both", [2]*uint32{at(5), nil}, [2]*uint32{at(20), at(60)}, at(5), nil},
		{"the longest alone", [2]*uint32{nil, at(90)}, [2]*uint32{at(20), at(60)}, at(20), at(90)},
		{"nothing is said, and one stands", [2]*uint32{}, [2]*uint32{at(20), nil}, at(20), at(20)},
		{"0 is said", [2]*uint32{at(0), nil}, [2]*uint32{at(20), at(60)}, at(0), nil},
		{"0 stands", [2]*uint32{}, [2]*uint32{at(0), nil}, at(0), at(0)},
		{"nothing at all", [2]*uint32{}, [2]*uint32{}, nil, nil},
	} {
		s := steer.Service{TTL: tc.said[0], MaxTTL: tc.said[1]}
		fill(&s, &steer.Service{TTL: tc.stands[0], MaxTTL: tc.stands[1]})
		if !same(s.TTL, tc.ttl) || !same(s.MaxTTL, tc.upTo) {
			t.Errorf("%s: got %v and %v", tc.name, s.TTL, s.MaxTTL)
		}
	}
}

func same(a, b *uint32) bool { return a == b || a != nil && b != nil && *a == *b }

// A service that says so is not flattened where the block is.
func TestFillFlatten(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct{ own, def, want *bool }{
		{nil, nil, nil}, {nil, &yes, &yes}, {nil, &no, &no}, {&no, &yes, &no}, {&yes, &no, &yes}, {&no, nil, &no},
	} {
		s := steer.Service{Flatten: tc.own}
		if fill(&s, &steer.Service{Flatten: tc.def}); s.Flatten != tc.want {
			t.Errorf("Filled %v from %v: got %v, want %v", tc.own, tc.def, s.Flatten, tc.want)
		}
	}
}

// The record of a service says yes, no or nothing.
func TestDecodeFlatten(t *testing.T) {
	for data, want := range map[string]string{`{}`: "absent", `{"flatten":true}`: "true", `{"flatten":false}`: "false"} {
		rec, err := decodeService("www.example.org.", data)
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		got := "absent"
		if rec.Flatten != nil {
			got = strconv.FormatBool(*rec.Flatten)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", data, got, want)
		}
	}
	if _, err := decodeService("www.example.org.", `{"flatten":1}`); err == nil {
		t.Error("A number is taken for yes or no")
	}
}
