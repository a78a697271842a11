package farm_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/coredns-farm/farm"
	farmplugin "github.com/coredns-farm/farm/plugin"
	"github.com/coredns-farm/farm/store/storetest"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/dnssec"
	"github.com/coredns/coredns/plugin/pkg/cache"
	clog "github.com/coredns/coredns/plugin/pkg/log"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) {
	plugin.Register(signsLate, addSignsLate)
	if err := dnsserver.SetDirectives(append(slices.Clone(farmplugin.Directives), signsLate)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	caddy.Quiet, dnsserver.Quiet = true, true
	os.Exit(m.Run())
}

// signsLate is dnssec at a place behind farm, as a plugin.cfg may have it.
const signsLate = "signslate"

func addSignsLate(c *caddy.Controller) error {
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		return dnssec.New(nil, nil, false, next, cache.New[[]dns.RR](1))
	})
	return nil
}

func corefile(text string) caddy.CaddyfileInput {
	return caddy.CaddyfileInput{Filepath: "Corefile", Contents: []byte(text), ServerTypeName: "dns"}
}

// serve starts a whole server. It is stopped with the test, its hooks called as caddy does on exit.
func serve(t *testing.T, text string) *caddy.Instance {
	t.Helper()
	inst, err := caddy.Start(corefile(text))
	if err != nil {
		t.Fatal(err)
	}
	awaitServing(t, inst)
	return inst
}

// awaitServing waits until the servers serve. A server that is told to stop before it serves does not stop.
func awaitServing(t *testing.T, inst *caddy.Instance) {
	t.Helper()
	for _, s := range inst.Servers() {
		exchangeOver(t, "udp", s.LocalAddr().String(), "awake.test.", dns.TypeA)
		exchangeOver(t, "tcp", s.Addr().String(), "awake.test.", dns.TypeA)
	}
}

func stop(t *testing.T, inst *caddy.Instance) {
	t.Helper()
	err := errors.Join(errors.Join(inst.ShutdownCallbacks()...), inst.Stop())
	inst.Wait()
	if err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func exchange(t testing.TB, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	return exchangeOver(t, "udp", addr, name, qtype)
}

func exchangeOver(t testing.TB, network, addr, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	r, _, err := (&dns.Client{Net: network, Timeout: 5 * time.Second}).Exchange(m, addr)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCorefileExample(t *testing.T) {
	text, err := os.ReadFile("Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	example := strings.NewReplacer(
		":1053", ":0",
		"127.0.0.1:6399", "127.0.0.1:"+storetest.FreePort(t),
		"state example.state", "state "+filepath.Join(t.TempDir(), "state"),
	).Replace(string(text))
	inst := serve(t, example)
	defer stop(t, inst)
	addr := inst.Servers()[0].LocalAddr().String()
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"www.example.org.", dns.TypeA}, {"www.example.org.", dns.TypeAAAA}, {"www.example.org.", dns.TypeHTTPS},
		{"_http._tcp.api.example.org.", dns.TypeSRV}, {"x.apps.example.org.", dns.TypeA},
		{"_farm.www.example.org.", dns.TypeTXT}, {"example.org.", dns.TypeSOA}, {"ns1.example.org.", dns.TypeA},
	} {
		if m := exchange(t, addr, q.name, q.qtype); m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
			t.Errorf("%s %s: got %v", q.name, dns.TypeToString[q.qtype], m)
		}
	}
}

const reloaded = `example.org:%s {
	bind 127.0.0.1
	farm {
		embedded 127.0.0.1:%s
		service www.example.org {
			server a %s
		}
	}
}
`

// A reload under queries loses none, keeps the store, and leaves nothing behind; nor does one that fails.
func TestReload(t *testing.T) {
	before := runtime.NumGoroutine()
	port, store := storetest.FreePort(t), storetest.FreePort(t)
	inst := serve(t, fmt.Sprintf(reloaded, port, store, "192.0.2.1"))
	addr := "127.0.0.1:" + port

	var asked, failed atomic.Int64
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				m := new(dns.Msg)
				m.SetQuestion("www.example.org.", dns.TypeA)
				r, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(m, addr)
				asked.Add(1)
				if err != nil || r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
					failed.Add(1)
					t.Logf("Lookup failed: %v %v", err, r)
				}
			}
		})
	}
	for i := range 4 {
		address := fmt.Sprintf("192.0.2.%d", i+2)
		next, err := inst.Restart(corefile(fmt.Sprintf(reloaded, port, store, address)))
		if err != nil {
			t.Fatal(err)
		}
		inst = next
		awaitServing(t, inst)
		storetest.Eventually(t, "answers of the new Corefile", func() bool {
			m := exchange(t, addr, "www.example.org.", dns.TypeA)
			return m.Answer[0].(*dns.A).A.String() == address
		})
	}
	// One that starts farm and then fails: the old one serves on.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := fmt.Sprintf(reloaded, port, store, "192.0.2.9") + fmt.Sprintf("example.net:%s {\nbind 127.0.0.1\nhealth %s\nwhoami\n}\n", port, taken.Addr())
	if _, err := inst.Restart(corefile(bad)); err == nil {
		t.Error("A Corefile with a taken address was loaded")
	}
	close(done)
	clients.Wait()
	if failed.Load() > 0 || asked.Load() == 0 {
		t.Errorf("%d of %d lookups failed", failed.Load(), asked.Load())
	}
	stop(t, inst)
	// What the failed instance held goes when it is collected.
	storetest.Eventually(t, "no goroutine left", func() bool {
		runtime.GC()
		return runtime.NumGoroutine() <= before
	})
	l, err := net.Listen("tcp", "127.0.0.1:"+store)
	if err != nil {
		t.Fatalf("The embedded store still listens: %v", err)
	}
	l.Close()
}

// heard keeps the warnings that plugins log.
type heard struct {
	clog.Listener
	mu       sync.Mutex
	warnings []string
}

func (*heard) Name() string                  { return "heard" }
func (*heard) Debug(string, ...any)          {}
func (*heard) Debugf(string, string, ...any) {}
func (*heard) Info(string, ...any)           {}
func (*heard) Infof(string, string, ...any)  {}
func (*heard) Error(string, ...any)          {}
func (*heard) Errorf(string, string, ...any) {}
func (h *heard) Warning(plugin string, v ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings = append(h.warnings, plugin+fmt.Sprint(v...))
}
func (h *heard) Warningf(plugin, format string, v ...any) {
	h.Warning(plugin, fmt.Sprintf(format, v...))
}

func TestWarnings(t *testing.T) {
	h := new(heard)
	if err := clog.RegisterListener(h); err != nil {
		t.Fatal(err)
	}
	defer clog.DeregisterListener(h)
	inst := serve(t, "example.org:0 {\nbind 127.0.0.1\nloadbalance\nsignslate\nfarm {\nembedded 127.0.0.1:"+storetest.FreePort(t)+"\n}\n}\n")
	defer stop(t, inst)
	h.mu.Lock()
	defer h.mu.Unlock()
	all := strings.Join(h.warnings, "\n")
	for _, want := range []string{"plugin/farm: loadbalance", "plugin/farm: dnssec in the same server block", "embedded store"} {
		if !strings.Contains(all, want) {
			t.Errorf("Got the warnings\n%s\nwant one of %q", all, want)
		}
	}
}
