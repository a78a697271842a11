package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

// stateCorefile has a service of its own beside those of the database.
const stateCorefile = `
example.org:PORT {
    bind 127.0.0.1
    errors
    farm {
        redis REDIS
        state STATE
        service static.example.org {
            server web9 192.0.2.9
        }
    }
}
`

// TestStateFile restarts CoreDNS while the database is gone.
func TestStateFile(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	for id, addr := range threeServers {
		db.server(service, id, addr)
		db.report(service, id, 0.3)
	}
	db.down(service, "web3")
	state := filepath.Join(t.TempDir(), "farm.state")
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis.URL, "STATE", state).Replace(stateCorefile))
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	// A copy that is not whole yet is not kept.
	c.says(": connected")
	c.stop()
	redis.Kill()

	c.again()
	// At once: with the first question after the start.
	if got := given(t, c.addr, service); !slices.Equal(got, []string{"192.0.2.1", "192.0.2.2"}) {
		t.Errorf("Expected the answers from before the restart, got %v", got)
	}
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	c.signal(syscall.SIGKILL)
	<-c.done

	t.Run("damaged", func(t *testing.T) {
		for _, damage := range []struct {
			name string
			do   func([]byte) []byte
		}{
			{"a bit", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
			{"cut short", func(b []byte) []byte { return b[:len(b)*2/3] }},
			{"empty", func([]byte) []byte { return nil }},
			{"something else", func([]byte) []byte { return []byte(strings.Repeat("no state at all\n", 1000)) }},
		} {
			t.Run(damage.name, func(t *testing.T) { refusesState(t, redis.URL, state, damage.do) })
		}
	})
	redis.Restart()
	db.service(service)
	db.server(service, "web1", "192.0.2.1")
	c.again()
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	db.server(service, "web5", "192.0.2.5")
	await(t, "what was written since", func() bool { return slices.Contains(given(t, c.addr, service), "192.0.2.5") })
}

// refusesState starts CoreDNS on a damaged copy of a state file.
func refusesState(t *testing.T, redis, state string, do func([]byte) []byte) {
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged.state")
	if err := os.WriteFile(damaged, do(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startCoreDNS(t, strings.NewReplacer("REDIS", redis, "STATE", damaged).Replace(stateCorefile))
	c.says(damaged)
	awaitGiven(t, c.addr, "static.example.org", "192.0.2.9")
	if got := given(t, c.addr, service); len(got) > 0 {
		t.Errorf("Expected nothing of a damaged file to be used, got %v", got)
	}
}
