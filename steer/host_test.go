package steer

import (
	"net/netip"
	"slices"
	"testing"
)

// hostFarm is a service of servers by id, each at one address or a name.
func hostFarm(service string, servers map[string]string) *Farm {
	in := Input{Service: Service{Name: service}}
	for id, at := range servers {
		s := &Server{ID: id}
		if a, err := netip.ParseAddr(at); err == nil {
			s.Addresses = []netip.Addr{a}
		} else {
			s.Target = at
		}
		in.Members = append(in.Members, Member{Server: s, Report: NoReport})
	}
	return Build(in)
}

// Which service has the name of a server does not hang on the order in which records come.
func TestHostConflicts(t *testing.T) {
	api := hostFarm("api.z.test.", map[string]string{"m": "192.0.2.6", "same": "192.0.2.9", "cdn": "192.0.2.11"})
	grpc := hostFarm("_grpc._tcp.api.z.test.", map[string]string{"m": "192.0.2.7", "same": "192.0.2.9", "own": "192.0.2.10", "cdn": "www.example.net."})
	wild := hostFarm("*.api.z.test.", map[string]string{"m": "192.0.2.8"})
	www := hostFarm("www.z.test.", map[string]string{"web1": "192.0.2.1", "web2": "192.0.2.2"})
	web1 := hostFarm("web1.www.z.test.", map[string]string{"x": "192.0.2.3"})
	web2 := hostFarm("web2.www.z.test.", map[string]string{"x": "192.0.2.2"})
	want := []HostConflict{
		{"*.api.z.test.", "m", "_grpc._tcp.api.z.test."},
		{"api.z.test.", "m", "_grpc._tcp.api.z.test."},
		{"www.z.test.", "web1", "web1.www.z.test."},
	}
	for _, farms := range [][]*Farm{{api, grpc, wild, www, web1, web2}, {web2, web1, www, wild, grpc, api}} {
		snap := NewSnapshot(farms, nil)
		got := snap.HostConflicts(10)
		slices.SortFunc(got, func(a, b HostConflict) int { return slices.Compare([]string{a.Service}, []string{b.Service}) })
		if !slices.Equal(got, want) {
			t.Errorf("Got %v, want %v", got, want)
		}
		if n := len(snap.HostConflicts(1)); n != 1 {
			t.Errorf("Got %d conflicts, want at most 1", n)
		}
		if match, f, i := snap.Find("m.api.z.test."); match != ServerMatch || f != grpc || f.Servers[i].Addresses[0].String() != "192.0.2.7" {
			t.Errorf("m.api.z.test.: got %v of %v", match, f.Service.Name)
		}
	}
	snap := NewSnapshot([]*Farm{api, grpc}, nil)
	if match, f, _ := snap.Find("cdn.api.z.test."); match != ServerMatch || f != api {
		t.Errorf("cdn.api.z.test.: got %v of %v, want the server that has addresses", match, f.Service.Name)
	}
	snap = NewSnapshot([]*Farm{grpc, web1}, nil)
	for _, tc := range []struct{ service, id, address, want string }{
		{"api.z.test.", "m", "192.0.2.6", "_grpc._tcp.api.z.test."},
		{"api.z.test.", "m", "192.0.2.7", ""},
		{"api.z.test.", "other", "192.0.2.6", ""},
		{"_grpc._tcp.api.z.test.", "m", "192.0.2.99", ""}, // its own server moves
		{"www.z.test.", "web1", "192.0.2.1", "web1.www.z.test."},
		{"www.z.test.", "web1", "192.0.2.3", ""},
	} {
		s := &Server{ID: tc.id, Addresses: []netip.Addr{netip.MustParseAddr(tc.address)}}
		if got := snap.HostRival(tc.service, s); got != tc.want {
			t.Errorf("%s of %s at %s: got %q, want %q", tc.id, tc.service, tc.address, got, tc.want)
		}
	}
}
