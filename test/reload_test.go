package test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"

	"github.com/miekg/dns"
)

const reloadCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    pprof 127.0.0.1:PPROF
    RELOAD
    farm {
        redis REDIS
        ttl TTL
        service www.example.org {
            server web1 192.0.2.1
        }
    }
}
`

// reloads is how often the server is reloaded before it is looked at, and after.
const reloads = 10

// TestReload reloads a server by signal under lookups that never pause: none is lost, nothing leaks, and the copy of
// the services database is neither dropped nor read anew.
func TestReload(t *testing.T) {
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.server("www.example.org.", "web2", "192.0.2.2")
	c, pprof := startReloading(t, redis.URL, "")
	awaitGiven(t, c.addr, "www.example.org", "192.0.2.1", "192.0.2.2")

	// Until the copy is whole, answers are stale.
	c.says(": connected")
	await(t, "the first answer that is not stale", func() bool {
		return len(extendedErrors(ask(t, c.addr, "www.example.org", dns.TypeA))) == 0
	})
	asked := startProberBy(t, of(c.addr).again(), "www.example.org")
	asked.fresh(sample)
	// The first reload is not like the others: two generations stand beside each other from then on, for a while.
	c.reload(t)
	connections := connectionsTo(redis)
	before := usage(t, c, pprof)
	for range reloads {
		c.reload(t)
		asked.fresh(probeRate / 10)
	}
	await(t, fmt.Sprintf("no more goroutines and files than before %d reloads: %v", reloads, before), func() bool {
		now := usage(t, c, pprof)
		return now.goroutines <= before.goroutines+5 && now.files <= before.files+5
	})
	t.Logf("before %d reloads: %v, after: %v", reloads, before, usage(t, c, pprof))
	// Each look at Redis is a connection of its own; a pool may have opened another in its own time.
	if opened := connectionsTo(redis) - connections - 1; opened >= reloads {
		t.Errorf("Expected the store to keep its connections, got %d new ones", opened)
	}
	c.connectedOnce()
	for _, s := range asked.since(asked.began) {
		if s.stale {
			t.Fatal("Expected no stale answer")
		}
	}
	db.down("www.example.org.", "web2")
	awaitGiven(t, c.addr, "www.example.org", "192.0.2.1")
	asked.noneFailed()
}

// TestReloadOfAnEditedCorefile has the reload plugin find out that the file was edited.
func TestReloadOfAnEditedCorefile(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.server("www.example.org.", "web2", "192.0.2.2")
	c, pprof := startReloading(t, redis.URL, "reload 2s 1s")
	awaitGiven(t, c.addr, "www.example.org", "192.0.2.1", "192.0.2.2")
	asked := startProberBy(t, of(c.addr).again(), "www.example.org")

	edited := reloadText(redis.URL, pprof, "reload 2s 1s", "17")
	c.write(t, strings.Replace(edited, "server web1 192.0.2.1", "server web1 192.0.2.1\n            server web3 192.0.2.3", 1))
	awaitGiven(t, c.addr, "www.example.org", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	if ttl := ask(t, c.addr, "www.example.org", dns.TypeA).Answer[0].Header().Ttl; ttl != 17 {
		t.Errorf("Expected the edited TTL 17, got %d", ttl)
	}
	// A file that is wrong leaves what runs running.
	c.write(t, strings.Replace(edited, "server web1", "sever web1", 1))
	c.says("sever")
	asked.fresh(sample)
	awaitGiven(t, c.addr, "www.example.org", "192.0.2.1", "192.0.2.2", "192.0.2.3")
	c.connectedOnce()
	asked.noneFailed()
}

func reloadText(redis, pprof, reload, ttl string) string {
	return strings.NewReplacer("PPROF", pprof, "RELOAD", reload, "REDIS", redis, "TTL", ttl).Replace(reloadCorefile)
}

func startReloading(t *testing.T, redis, reload string) (c *coredns, pprof string) {
	pprof = strconv.Itoa(freePort(t))
	return startCoreDNS(t, reloadText(redis, pprof, reload, "20")), pprof
}

// reload tells the server to read its Corefile, and waits until it has.
func (c *coredns) reload(t *testing.T) {
	t.Helper()
	const done = "Reloading complete"
	before := strings.Count(c.log.String(), done)
	c.signal(syscall.SIGUSR1)
	await(t, "the server to reload", func() bool { return strings.Count(c.log.String(), done) > before })
}

// connectedOnce asserts that the running store was never dropped.
func (c *coredns) connectedOnce() {
	c.t.Helper()
	if n := strings.Count(c.log.String(), ": connected"); n != 1 {
		c.t.Errorf("Expected the store to connect once, got %d times", n)
	}
}

// resources is what a leak would be seen in.
type resources struct{ goroutines, files int }

func usage(t *testing.T, c *coredns, pprof string) resources {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://127.0.0.1:" + pprof + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	profile, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	total := regexp.MustCompile(`^goroutine profile: total (\d+)`).FindSubmatch(profile)
	if total == nil {
		t.Fatalf("Expected a goroutine profile, got %.100s", profile)
	}
	n, _ := strconv.Atoi(string(total[1]))
	return resources{n, len(files)}
}

// connectionsTo returns how many connections Redis has ever been opened, that of the question included.
func connectionsTo(r *storetest.Redis) int {
	m := regexp.MustCompile(`total_connections_received:(\d+)`).FindStringSubmatch(r.Do("INFO", "stats"))
	n, _ := strconv.Atoi(m[1])
	return n
}
