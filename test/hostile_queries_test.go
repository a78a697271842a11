package test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

const hostileCorefile = `
example.org:PORT {
    bind 127.0.0.1
    pprof 127.0.0.1:PPROF
    prometheus 127.0.0.1:METRICS
    farm {
        redis REDIS
        policy predict
        ecs 127.0.0.0/8
    }
}
`

// An attack is made by so many attackers at once, for so long, each as fast as it gets answers in between.
const (
	attackers   = 2
	attackFor   = 3 * time.Second
	attackHeap  = 32 << 20 // octets of heap that it may leave behind
	attackPeak  = 1 << 30  // octets of memory that the server may take meanwhile; most is the race detector's
	attackLines = 200      // lines by which the metrics may grow
)

// attack is a way to do harm by asking. It goes on until it is told to stop, and returns how much it sent.
type attack struct {
	name string
	run  func(a *attacker) (sent int)
}

var attacks = []attack{
	{"malformed packets", func(a *attacker) int { return a.flood(a.malformed) }},
	{"random names from random addresses", func(a *attacker) int { return a.flood(a.randomName) }},
	{"as many labels as a name can hold", func(a *attacker) int { return a.flood(a.manyLabels) }},
	{"as many options as a packet can hold", func(a *attacker) int { return a.flood(a.manyOptions) }},
	{"random subnets and cookies", func(a *attacker) int { return a.flood(a.subnets) }},
	{"messages of 64 KiB over TCP", (*attacker).hugeMessages},
	{"connections that send an octet a second", (*attacker).loris},
	{"connections that ask and never read", (*attacker).deaf},
}

// TestHostileQueries asks all that one should not. The server goes on answering those who ask what they should, also
// over TCP; and it keeps nothing of the attack.
func TestHostileQueries(t *testing.T) {
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
		db.busy(service, id, 30, 0.3)
	}
	pprof, metrics := strconv.Itoa(freePort(t)), strconv.Itoa(freePort(t))
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "PPROF", pprof, "METRICS", metrics).Replace(hostileCorefile))
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2", "192.0.2.3")
	// A packet may be lost where there is no room for it; clients ask again.
	asked := startSteady(t, of(c.addr).orElse(of(c.addr)).orElse(of(c.addr)), service)
	asked.more(sample)
	before := look(t, c, pprof)
	lines := func() int { return bytes.Count(fetch(t, "http://127.0.0.1:"+metrics+"/metrics"), []byte("\n")) }
	for _, at := range attacks {
		t.Run(at.name, func(t *testing.T) {
			had := lines()
			sent := at.strike(c.addr)
			asked.more(sample)
			now := look(t, c, pprof)
			t.Logf("sent %d, now %v", sent, now)
			if sent == 0 {
				t.Error("Expected an attack")
			}
			if peak := peak(t, c.process); now.heap > before.heap+attackHeap || peak > attackPeak {
				t.Errorf("Expected little more memory than %v, got %v and at most %d MiB meanwhile", before, now, peak>>20)
			}
			if got := lines(); got > had+attackLines {
				t.Errorf("Expected the metrics not to grow with what is asked, got %d more lines", got-had)
			}
		})
	}
	asked.noneFailed()
	await(t, fmt.Sprintf("no more goroutines and files than before: %v", before.resources), func() bool {
		now := usage(t, c, pprof)
		return now.goroutines <= before.goroutines+5 && now.files <= before.files+5
	})
}

// strike lets the attackers loose, and returns how much they sent.
func (at attack) strike(addr string) int {
	var sent atomic.Int64
	var running sync.WaitGroup
	end := time.Now().Add(attackFor)
	for i := range attackers {
		running.Go(func() {
			a := &attacker{addr: addr, end: end, chance: rand.New(rand.NewPCG(9, uint64(i)))}
			sent.Add(int64(at.run(a)))
		})
	}
	running.Wait()
	return int(sent.Load())
}
