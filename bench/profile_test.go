package main

import (
	"bytes"
	"testing"
)

func TestKindOf(t *testing.T) {
	const (
		serve = "github.com/miekg/dns.(*Server).serveUDPPacket"
		farm  = "github.com/coredns-farm/farm.(*Farm).ServeDNS"
	)
	for _, tc := range []struct {
		stack []string // what was running first
		want  kind
	}{
		{[]string{"runtime.memmove", "github.com/coredns-farm/farm/steer.DecideInto", farm, serve}, plugins},
		{[]string{"strings.ToLower", "github.com/coredns/coredns/core/dnsserver.(*Server).ServeDNS", serve}, server},
		{[]string{"github.com/miekg/dns.(*Msg).Pack", farm, serve}, messages},
		{[]string{"runtime.nextFreeFast", "runtime.mallocgc", "github.com/miekg/dns.(*Msg).Pack", farm, serve}, allocating},
		{[]string{"runtime.gcDrain", "runtime.gcAssistAlloc", "runtime.mallocgc", farm, serve}, collecting},
		{[]string{"runtime.adjustframe", "runtime.copystack", "runtime.newstack", farm, serve}, growing},
		{[]string{"syscall.Syscall6", "internal/poll.(*FD).WriteMsg", farm, serve}, sending},
		{[]string{"github.com/coredns-farm/farm/steer.Build", "github.com/coredns-farm/farm/store.(*View).build"}, following},
		{[]string{"internal/poll.(*FD).Read", "github.com/redis/go-redis/v9.(*Client).Process"}, following},
		{[]string{"runtime.futex", "runtime.findRunnable", "runtime.schedule"}, scheduling},
		{nil, scheduling},
	} {
		if got := kindOf(tc.stack); got != tc.want {
			t.Errorf("%v: expected %q, got %q", tc.stack, kindNames[tc.want], kindNames[got])
		}
	}
}

func TestNotAProfile(t *testing.T) {
	if _, err := sharesOf(bytes.NewReader([]byte("profile"))); err == nil {
		t.Error("Expected an error")
	}
}
