package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/store/storetest"
)

// rareFaults are those of the services database that take longer, or parts of their own.
var rareFaults = []fault{
	{
		name:   "hangs for half a minute",
		strike: func(_ *testing.T, v *victim) { v.Stop(); time.Sleep(30 * time.Second) }, // nothing to await: it is the point
		mend:   func(_ *testing.T, v *victim) { v.Cont() },
		cuts:   true,
	},
	{
		name:  "connections cut in the middle of a reply",
		start: behindCutter,
		strike: func(_ *testing.T, v *victim) {
			v.cut(10_000)
			v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		},
		mend:  func(_ *testing.T, v *victim) { v.cut(0) },
		heard: true,
	},
	{
		name:   "connections cut before a reply is whole",
		start:  behindCutter,
		strike: func(_ *testing.T, v *victim) { v.cut(100); v.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		mend:   func(_ *testing.T, v *victim) { v.cut(0) },
		cuts:   true,
	},
	{
		name:   "certificate of the server expired",
		start:  overTLS,
		strike: func(t *testing.T, v *victim) { v.present(t, "expired") },
		mend:   func(t *testing.T, v *victim) { v.present(t, "valid") },
		cuts:   true,
	},
	{
		name:   "scripts flushed",
		strike: func(_ *testing.T, v *victim) { v.Do("SCRIPT", "FLUSH", "SYNC") },
		heard:  true,
	},
	{
		name:   "written by a later version",
		strike: func(_ *testing.T, v *victim) { v.later() },
		heard:  true,
	},
	{
		name: "clock of the database set five hours ahead, then back",
		start: func(t *testing.T) *victim {
			r, shift := storetest.StartWithClock(t)
			return &victim{Redis: r, url: r.URL, agent: r.URL, shift: shift}
		},
		strike: func(_ *testing.T, v *victim) { v.shift(5 * time.Hour) },
		mend:   func(_ *testing.T, v *victim) { v.shift(-5 * time.Hour) },
		heard:  true,
	},
	{
		name:   "clocks of agents hours off",
		strike: func(t *testing.T, v *victim) { v.reportAt(t, 5*time.Hour); v.reportAt(t, -5*time.Hour) },
		heard:  true,
	},
}

// TestRareFaults is TestFailStatic for those faults.
func TestRareFaults(t *testing.T) {
	t.Parallel()
	for _, f := range rareFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.run(t)
		})
	}
}

// later writes what a later version might: kinds of records, keys, fields and operations that nobody here knows, among
// what they do know.
func (v *victim) later() {
	for _, kind := range []string{"grant", "quota", "service/2"} {
		rev := v.Do("HINCRBY", v.keys[0], "rev", "1")
		v.Do("XADD", v.keys[1], "*", "e", v.Do("HGET", v.keys[0], "epoch"), "r", rev, "op", "set", "kind", kind,
			"svc", service, "id", "web1", "data", `{"v":2}`, "signed", "yes")
	}
	v.append("web1", `{"addresses":["192.0.2.1"],"rack":{"row":7},"weight":1}`)
	v.Do("HSET", v.keys[0], "schema", "2", "writer", "99.0")
	v.Do("HSET", strings.Replace(v.keys[3], ":srvs:", ":racks:", 1), "web1", "7")
	// A revision that is missing: everything is read anew.
	v.Do("HINCRBY", v.keys[0], "rev", "1")
}

// reportAt reports on a server as an agent whose clock is off, and says so.
func (v *victim) reportAt(t *testing.T, off time.Duration) {
	t.Helper()
	report := fmt.Sprintf(`{"utilization":0.3,"lease":1,"at":%d}`, time.Now().Add(off).UnixMilli())
	args := append([]string{"--eval", "../store/scripts/report.lua"}, store.Keys(store.DefaultPrefix, service)...)
	if out := v.Do(append(args, ",", service, "web1", report)...); !strings.Contains(out, "OK") {
		t.Fatalf("Expected the report to be taken, got %s", out)
	}
}
