package test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// TestAgentFaults does to agents what machines do to processes, while lookups are made and followed by requests. The
// servers go on serving all the time, so nobody fails: answers leave out whom nobody speaks of, for as long.
func TestAgentFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, storetest.Start(t).URL)
	fast, middle, slow := s.servers["fast"], s.servers["middle"], s.servers["slow"]
	all := []string{fast.addr, middle.addr, slow.addr}
	awaitGiven(t, s.dns.addr, siteName, all...)
	asked := startProber(t, s.dns.addr, siteName)
	crowd := startLoad(t, s.dns.addr, siteName, strconv.Itoa(s.port), 20, 40)

	t.Log("stopped, and going on")
	middle.agent.signal(syscall.SIGSTOP)
	awaitGiven(t, s.dns.addr, siteName, fast.addr, slow.addr)
	middle.agent.signal(syscall.SIGCONT)
	awaitGiven(t, s.dns.addr, siteName, all...)

	t.Log("killed, and started again")
	middle.agent.kill()
	awaitGiven(t, s.dns.addr, siteName, fast.addr, slow.addr)
	s.startAgent(middle)
	awaitGiven(t, s.dns.addr, siteName, all...)

	t.Log("all of them stopped: nobody is left out for it, for nobody would be left")
	for _, server := range s.servers {
		server.agent.signal(syscall.SIGSTOP)
	}
	struck := time.Now()
	await(t, "three leases to pass", func() bool { return time.Since(struck) > 3*time.Second })
	awaitGiven(t, s.dns.addr, siteName, all...)
	for _, server := range s.servers {
		server.agent.signal(syscall.SIGCONT)
	}

	t.Log("two for one server: the newer one is meant")
	older := slow.agent
	s.startAgent(slow)
	await(t, "the older agent to give up", older.ended)
	if !strings.Contains(older.log.String(), "another agent") {
		t.Errorf("Expected the older agent to say that there is another one, got\n%s", older.log.String())
	}
	awaitGiven(t, s.dns.addr, siteName, all...)
	crowd.allServed()
	asked.noneFailed()
}
