package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// hostileSources is what an agent is told to collect from, and what it gets there.
var hostileSources = map[string]http.HandlerFunc{
	"/endless": func(w http.ResponseWriter, r *http.Request) {
		for line := strings.Repeat("# nothing\n", 1000); r.Context().Err() == nil; {
			io.WriteString(w, line)
		}
	},
	"/bomb": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		var member bytes.Buffer
		z := gzip.NewWriter(&member)
		z.Write(bytes.Repeat([]byte("#\n"), 1<<20))
		z.Close()
		for r.Context().Err() == nil {
			w.Write(member.Bytes())
		}
	},
	"/drip": func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			io.WriteString(w, "#")
			w.(http.Flusher).Flush()
			<-tick.C
		}
	},
	"/circle": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) },
}

// TestHostileMetrics has an agent collect from sources that do it harm as fast as it comes for more. It stays small,
// asks nobody whom it was not told to, and reports on its server all the time.
func TestHostileMetrics(t *testing.T) {
	t.Parallel()
	redis := storetest.Start(t)
	db := dial(t, redis.URL)
	db.service(service)
	db.server(service, "web2", "192.0.2.2")
	var strayed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	mux := http.NewServeMux()
	for path, f := range hostileSources {
		mux.HandleFunc(path, f)
	}
	mux.Handle("/elsewhere", http.RedirectHandler(elsewhere.URL+"/metrics", http.StatusFound))
	sources := httptest.NewServer(mux)
	t.Cleanup(sources.Close)

	agent := startAgentOn(t, redis.URL, sources.URL, "/endless", "/bomb", "/drip", "/circle", "/elsewhere")
	c := startOn(t, redis.URL)
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	asked := startProber(t, c.addr, service)
	first := reports(t, db)
	await(t, "ten more reports", func() bool { return reports(t, db) >= first+10 })
	awaitGiven(t, c.addr, service, "192.0.2.1", "192.0.2.2")
	const most = 256 << 20 // octets; most is the race detector's
	if got := peak(t, agent); got > most {
		t.Errorf("Expected the agent to take at most %d MiB, got %d", most>>20, got>>20)
	}
	if strayed.Load() > 0 {
		t.Error("Expected the agent to ask nobody whom it was not told to ask")
	}
	asked.noneFailed()
}

// startAgentOn starts an agent of web1 that collects from paths of a source.
func startAgentOn(t *testing.T, redis, source string, paths ...string) *process {
	conf := fmt.Sprintf("redis: [%s]\nserver: web1\nservices: [%s]\naddresses: [192.0.2.1]\ninterval: 500ms\nlease: 10s\ndrain: 1s\ncollect:\n", redis, service)
	for _, path := range paths {
		conf += fmt.Sprintf("  - prometheus: {url: %q, rps: requests_total}\n", source+path)
	}
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, "agent", command(t, "farm"), "agent", "-c", file)
}

// reports returns the number of the last report of an agent.
func reports(t *testing.T, db *database) (seq uint64) {
	t.Helper()
	db.do("read", func(ctx context.Context) error {
		all, err := db.Read(ctx)
		if err != nil {
			return err
		}
		for _, s := range all.Services {
			for _, server := range s.Servers {
				if server.Report != nil {
					seq = max(seq, server.Report.Seq)
				}
			}
		}
		return nil
	})
	return seq
}
