package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/steer"
)

func TestWhy(t *testing.T) {
	server := func(id string, m steer.Member) steer.Member {
		m.Server = &steer.Server{ID: id, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
		return m
	}
	full := steer.Member{Reported: true, LeaseEnd: 1e9, Report: steer.Report{Utilization: 2}}
	down := steer.Member{Reported: true, LeaseEnd: 1e9, Report: steer.Report{Utilization: -1, Health: steer.Down}}
	silent := steer.Member{Reported: true, LeaseEnd: 1, Report: steer.NoReport}
	maint := steer.Member{Report: steer.NoReport, Admin: steer.Admin{State: steer.Maint}}
	open := steer.Member{Report: steer.NoReport}
	for _, tc := range []struct {
		name    string
		service steer.Service
		members []steer.Member
		family  steer.Family
		want    string
	}{
		{"open", steer.Service{Policy: steer.First}, []steer.Member{server("a", open), server("b", open)}, steer.V4,
			"first gives everybody the first server, and the next one as it fills or fails; the answer fell to tier 1 of 2, which holds 1 server; chance 0 drew a"},
		{"sticky", steer.Service{Policy: steer.Sticky}, []steer.Member{server("a", open)}, steer.V4,
			"sticky keeps a client with the servers nearest to it by hash that have room; 1 server takes part; the client's hash drew a"},
		{"family", steer.Service{Policy: steer.RoundRobin}, []steer.Member{server("a", open), server("b", open)}, steer.V6,
			"2 servers take part; chance 0 drew nobody, for none of them has an address of the type asked for"},
		{"last resort", steer.Service{Policy: steer.Weighted}, []steer.Member{server("a", full), server("b", maint)}, steer.V4,
			"no server is open, so those that are full or drained, yet live, share the answers (1 maint, 1 full); weighted shares"},
		{"old reports", steer.Service{}, []steer.Member{server("a", silent), server("b", down)}, steer.V4,
			"whose reports have outlived their leases share the answers (1 down, 1 silent); "},
		{"all", steer.Service{}, []steer.Member{server("a", down), server("b", maint)}, steer.V4,
			"no server is known to live, so all but those in maint share the answers (1 maint, 1 down); "},
		{"fallback", steer.Service{Fallback: []string{"sorry.test."}}, []steer.Member{server("a", maint)}, steer.V4,
			"no server is left, so the name to fall back to is answered (1 maint)"},
		{"nothing", steer.Service{}, nil, steer.V4,
			"no server is left and the service names no fallback, so no address is answered"},
	} {
		tc.service.Name = "www.example.org."
		e := steer.Explain(steer.Build(steer.Input{Service: tc.service, Members: tc.members, Now: 1000}), nil, &steer.Query{Family: tc.family})
		if got := why(&e); !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q in it", tc.name, got, tc.want)
		}
	}
}

// Every policy and every rung but the first has words of its own.
func TestWords(t *testing.T) {
	for _, p := range steer.Policies {
		if policyWords[p] == "" {
			t.Errorf("policy %s has no words", p)
		}
	}
	for r := steer.Normal + 1; int(r) < steer.Rungs; r++ {
		if rungWords[r] == "" {
			t.Errorf("rung %s has no words", r)
		}
	}
}

// The same chance gives the same answer, another chance may give another.
func TestReplay(t *testing.T) {
	f, _ := onRedis(t)
	f.ok("service", "set", "www.example.org", "--policy", "roundrobin", "--answers", "1")
	for _, id := range []string{"a", "b", "c"} {
		f.ok("server", "set", "www.example.org", id, "--address", "192.0.2.1")
	}
	explain := func(chance string) string {
		return f.ok("explain", "www.example.org", "--chance", chance, "-o", "json")
	}
	if first, second := explain("1"), explain("1"); first != second {
		t.Errorf("the same chance gave\n%s\nand\n%s", first, second)
	}
	if first, other := explain("1"), explain("2"); first == other {
		t.Errorf("chances 1 and 2 gave the same:\n%s", first)
	}
}
