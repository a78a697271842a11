package steer

import (
	"math"
	"net/netip"
	"testing"
)

func TestAmong(t *testing.T) {
	addr := func(i int) netip.Addr { return server(i).Addresses[0] }
	f := Build(Input{Service: Service{Name: "a.", Policy: Weighted}, Indexed: true, Now: 1_000_000, Members: []Member{
		quiet(server(1)), quiet(server(2)), down(quiet(server(3))), left(quiet(server(4)))}})
	for _, tc := range []struct {
		name  string
		addrs []netip.Addr
		n     int
		want  map[int]float64
	}{
		{"no addresses", nil, 0, nil},
		{"strangers alone stay as they are", []netip.Addr{addr(8), addr(9)}, 0, nil},
		{"nothing but a dead one stays as it is", []netip.Addr{addr(3)}, 0, nil},
		{"one that has left goes", []netip.Addr{addr(1), addr(2), addr(4)}, 2, map[int]float64{0: .5, 1: .5}},
		{"one that has left goes, and a stranger stays", []netip.Addr{addr(4), addr(9), addr(1)}, 2, map[int]float64{1: .5, 2: .5}},
		{"the dead one goes", []netip.Addr{addr(1), addr(2), addr(3)}, 2, map[int]float64{0: .5, 1: .5}},
		{"a stranger counts as a mean one", []netip.Addr{addr(9), addr(1), addr(3)}, 2, map[int]float64{0: .5, 1: .5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			order := make([]int, len(tc.addrs))
			first := make(map[int]float64)
			for i := range 1000 {
				n := Among(f, &Query{Chance: uint64(i)}, tc.addrs, order)
				if n != tc.n {
					t.Fatalf("Expected %d addresses, got %d", tc.n, n)
				}
				if n > 0 {
					first[order[0]] += 0.001
				}
			}
			for at, want := range tc.want {
				if math.Abs(first[at]-want) > 0.01 {
					t.Errorf("Expected address %d first in %.2f, got %.2f", at, want, first[at])
				}
			}
		})
	}
}

// TestAmongKeepsTiers: what holds for a pick of our own holds for an answer of another's.
func TestAmongKeepsTiers(t *testing.T) {
	r, _ := NewRegions([]Region{{Name: "eu"}, {Name: "us"}})
	in := func(name string) func(*Server) { return func(s *Server) { s.Region = name } }
	backup := func(s *Server) { s.Priority = 1 }
	f := Build(Input{Service: Service{Name: "a."}, Regions: r, Indexed: true, Members: []Member{
		reporting(server(1, in("eu")), .92), reporting(server(2, in("us")), .5), quiet(server(3, backup))}})
	addrs := []netip.Addr{server(1).Addresses[0], server(2).Addresses[0], server(3).Addresses[0]}
	order := make([]int, 3)
	for region, want := range map[int][3]float64{1: {.8, .2, 0}, 2: {0, 1, 0}} {
		var first [3]float64
		for i := range 10_000 {
			if n := Among(f, &Query{Region: region, Chance: uint64(i)}, addrs, order); n != 1 {
				t.Fatalf("Expected the one server of the tier, got %d", n)
			}
			first[order[0]] += 1e-4
		}
		for i := range want {
			if math.Abs(first[i]-want[i]) > 0.005 {
				t.Errorf("Region %d: expected %v, got %v", region, want, first)
			}
		}
	}
	if n := Among(f, &Query{Region: 2}, addrs[2:], order); n != 1 || order[0] != 0 {
		t.Errorf("Expected the backup to be given where nobody else stands in the answer, got %d", n)
	}
}

func TestAmongSticks(t *testing.T) {
	f := Build(Input{Service: Service{Name: "a.", Policy: Sticky}, Indexed: true, Members: []Member{
		quiet(server(1)), quiet(server(2)), quiet(server(3))}})
	addrs := []netip.Addr{server(1).Addresses[0], server(2).Addresses[0], server(3).Addresses[0]}
	turned := []netip.Addr{addrs[2], addrs[0], addrs[1]}
	order := make([]int, 3)
	seen := make(map[netip.Addr]int)
	for i := range 300 {
		q := Query{Client: client(i), Chance: uint64(i)}
		Among(f, &q, addrs, order)
		a := addrs[order[0]]
		seen[a]++
		q.Chance += 17
		if n := Among(f, &q, turned, order); n != 1 || turned[order[0]] != a {
			t.Fatalf("Expected a client to stay with %v, got %v", a, turned[order[0]])
		}
	}
	if len(seen) != 3 {
		t.Errorf("Expected clients on all servers, got %v", seen)
	}
}
