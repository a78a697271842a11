package steer

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestMachines finds who is the same machine, and looks anew only when servers have come or gone.
func TestMachines(t *testing.T) {
	server := func(id string, addrs ...string) *Server {
		s := &Server{ID: id}
		for _, a := range addrs {
			s.Addresses = append(s.Addresses, netip.MustParseAddr(a))
		}
		return s
	}
	service := func(servers ...*Server) *work { return &work{farm: &Farm{Servers: servers}} }
	a := service(server("a", "192.0.2.1", "2001:db8::1"), server("b", "192.0.2.2"))
	for _, tc := range []struct {
		what  string
		other *work
		want  string
	}{
		{"nobody", service(server("c", "192.0.2.3")), "[]"},
		{"id and address", service(server("c", "192.0.2.3"), server("b", "192.0.2.2")), "[[b b]]"},
		{"one address of several", service(server("a", "192.0.2.9", "2001:db8::1")), "[[a a]]"},
		{"another address", service(server("a", "192.0.2.9")), "[]"},
		{"another id", service(server("x", "192.0.2.1")), "[]"},
		{"no address", service(server("a")), "[]"},
		{"all", service(server("b", "192.0.2.2"), server("a", "192.0.2.1")), "[[a a] [b b]]"},
	} {
		var m machines
		for range 2 {
			m.find([]*work{a, tc.other})
		}
		got := make([][]string, len(m.shared))
		for i, parts := range m.shared {
			for _, p := range parts {
				got[i] = append(got[i], p.work.farm.Servers[p.server].ID)
			}
		}
		if fmt.Sprint(got) != tc.want {
			t.Errorf("%s: expected %s, got %v", tc.what, tc.want, got)
		}
	}

	var m machines
	b := service(server("a", "192.0.2.1"))
	m.find([]*work{a, b})
	if n := testing.AllocsPerRun(10, func() { m.find([]*work{a, b}) }); n > 1 {
		t.Errorf("Expected that nobody looks again, got %v allocations", n)
	}
	b.farm = &Farm{Servers: []*Server{server("z", "192.0.2.1")}}
	if m.find([]*work{a, b}); len(m.shared) != 0 {
		t.Error("Expected that a server that is gone is nobody's machine")
	}
	if m.find([]*work{a}); len(m.in) != 1 {
		t.Errorf("Expected that a service that is gone is let go, got %d", len(m.in))
	}
}
