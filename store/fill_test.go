package store

import (
	"testing"

	"github.com/coredns-farm/farm/steer"
)

func TestFillTTL(t *testing.T) {
	for _, tc := range []struct {
		name         string
		said, stands [2]uint32 // TTL, MaxTTL
		ttl, upTo    uint32
	}{
		{"nothing is said", [2]uint32{}, [2]uint32{20, 60}, 20, 60},
		{"both are said", [2]uint32{5, 10}, [2]uint32{20, 60}, 5, 10},
		{"one alone is both", [2]uint32{5, 0}, [2]uint32{20, 60}, 5, 0},
		{"the longest alone", [2]uint32{0, 90}, [2]uint32{20, 60}, 20, 90},
		{"nothing is said, and one stands", [2]uint32{}, [2]uint32{20, 0}, 20, 20},
	} {
		s := steer.Service{TTL: tc.said[0], MaxTTL: tc.said[1]}
		fill(&s, &steer.Service{TTL: tc.stands[0], MaxTTL: tc.stands[1]})
		if s.TTL != tc.ttl || s.MaxTTL != tc.upTo {
			t.Errorf("%s: expected %d to %d, got %d to %d", tc.name, tc.ttl, tc.upTo, s.TTL, s.MaxTTL)
		}
	}
}
