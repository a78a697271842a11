package store_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

const www = "www.example.org."

func server(id, addr string) steer.Server {
	return steer.Server{ID: id, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}
}

func ptr(x float64) *float64 { return &x }

func open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	cfg.Logger = store.Logger{Infof: t.Logf, Warnf: t.Logf}
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t testing.TB, url ...string) *store.Client {
	t.Helper()
	c, err := store.Dial(url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, c *store.Client, service string, s steer.Server) {
	t.Helper()
	_, err := c.PutServer(context.Background(), service, s, store.ByAgent)
	must(t, err)
}

func TestFollow(t *testing.T) {
	r := storetest.Start(t)
	s := open(t, store.Config{URLs: []string{r.URL}})
	v := s.View(store.Base{})
	c := dial(t, r.URL)
	put(t, c, www, server("a", "192.0.2.1"))
	reply, err := c.Report(context.Background(), store.Report{Service: www, ID: "a", Utilization: ptr(0.5), Lease: 10, Agent: "x", Seq: 1})
	must(t, err)
	if reply.Outcome != store.Accepted {
		t.Fatal(reply)
	}
	storetest.Eventually(t, "the report is published", func() bool {
		f := v.Load().Farm(www)
		return f != nil && len(f.Servers) == 1 && f.State[0].Known && f.State[0].Util == 0.5
	})
	// The first read may have seen the report before the stream brought it.
	if st := s.Status(); st.Servers != 1 || st.Applied["report"] < 1 || len(st.Rejects) != 0 {
		t.Errorf("status %+v", st)
	}
}

// awaitNextSecond waits until Redis's clock shows another second.
func awaitNextSecond(t *testing.T, r *storetest.Redis) {
	t.Helper()
	second := func() string { return strings.Fields(r.Do("TIME"))[0] }
	now := second()
	storetest.Eventually(t, "the next second", func() bool { return second() != now })
}

// serialFrom returns the serial that a store shows that begins with a state file, has read the database, and is closed.
func serialFrom(t *testing.T, r *storetest.Redis, state string) uint32 {
	t.Helper()
	s, err := store.Open(store.Config{URLs: []string{r.URL}, StateFile: state})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v := s.View(store.Base{})
	defer v.Close()
	storetest.Eventually(t, "the database is read", func() bool { return !v.Load().Stale })
	return v.Load().Serial
}

// The serial of the zone grows when servers come and go, and not with reports. It is the same for a replica that reads the
// database later, and does not go back when the database is lost.
func TestSerial(t *testing.T) {
	r := storetest.Start(t)
	state, nothing := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "nothing")
	if got := serialFrom(t, r, nothing); got != 1 {
		t.Errorf("serial %d of an empty database, want 1", got)
	}
	s := open(t, store.Config{URLs: []string{r.URL}})
	v := s.View(store.Base{})
	c := dial(t, r.URL)
	put(t, c, www, server("a", "192.0.2.1"))
	servers := func(n int) func() bool {
		return func() bool { f := v.Load().Farm(www); return f != nil && len(f.Servers) == n }
	}
	storetest.Eventually(t, "a is there", servers(1))
	before := v.Load().Serial
	awaitNextSecond(t, r)
	_, err := c.Report(context.Background(), store.Report{Service: www, ID: "a", Utilization: ptr(0.5), Lease: 10})
	must(t, err)
	storetest.Eventually(t, "the report is there", func() bool { return v.Load().Farm(www).State[0].Known })
	if now := v.Load().Serial; now != before {
		t.Errorf("serial %d, was %d: a report has changed it", now, before)
	}
	put(t, c, www, server("b", "192.0.2.2"))
	storetest.Eventually(t, "b is there", servers(2))
	added := v.Load().Serial
	awaitNextSecond(t, r)
	_, err = c.DeleteServer(context.Background(), www, "a")
	must(t, err)
	storetest.Eventually(t, "a is gone", servers(1))
	gone := v.Load().Serial
	if added <= before || gone <= added {
		t.Errorf("serials %d, %d, %d: expected that they grow", before, added, gone)
	}
	if got := serialFrom(t, r, state); got != gone {
		t.Errorf("serial %d of a replica that came later, want %d", got, gone)
	}
	r.Do("FLUSHALL")
	storetest.Eventually(t, "the flush is seen", func() bool { return s.Status().Orphans == 1 })
	if got := v.Load().Serial; got != gone {
		t.Errorf("serial %d after the database was flushed, want %d", got, gone)
	}
	if got := serialFrom(t, r, state); got != gone {
		t.Errorf("serial %d of a replica that began with a state file, want %d", got, gone)
	}
}

// An embedded database forgets what was edited before: its serial is at least when it began.
func TestSerialOfAnEmbeddedDatabase(t *testing.T) {
	began := uint32(time.Now().Unix())
	s := open(t, store.Config{Embedded: "127.0.0.1:0"})
	if got := s.View(store.Base{}).Load().Serial; got < began {
		t.Errorf("serial %d, want at least %d", got, began)
	}
}
