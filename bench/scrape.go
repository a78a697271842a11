package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// watched is a CoreDNS with farm whose metrics and heap can be looked at.
type watched struct {
	*process
	addr                  string // DNS
	metrics, pprof, ready string // HOST:PORT
}

// startWatched starts CoreDNS on a database and waits until it has read every server.
func (l *lab) startWatched(ctx context.Context, db *database, f farm) (*watched, error) {
	var ports [3]int
	for i := range ports {
		port, err := l.freePort()
		if err != nil {
			return nil, err
		}
		ports[i] = port
	}
	w := &watched{metrics: local(ports[0]), pprof: local(ports[1]), ready: local(ports[2])}
	config := fmt.Sprintf("prometheus %s\npprof %s\nready %s\nfarm {\nredis %s\n}", w.metrics, w.pprof, w.ready, db.url)
	var err error
	if w.process, w.addr, err = l.launchCoreDNS(config); err != nil {
		return nil, err
	}
	return w, await(ctx, w.process, "to be ready", func() bool {
		body, err := fetch(ctx, "http://"+w.ready+"/ready")
		if err != nil {
			return false
		}
		body.Close()
		return f.servers == 0 || answers(w.addr, f.service(0))
	})
}

// holds makes sure that the replica has read every server.
func (w *watched) holds(ctx context.Context, f farm) error {
	s, err := w.scrape(ctx)
	if n := int(s["coredns_farm_servers"]); err == nil && n != f.servers {
		err = fmt.Errorf("expected the replica to have %d servers, got %d", f.servers, n)
	}
	return err
}

// sums are metrics by name, those of all labels added up.
type sums map[string]float64

// scrape reads the metrics.
func (w *watched) scrape(ctx context.Context) (sums, error) {
	body, err := fetch(ctx, "http://"+w.metrics+"/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", w.name, err)
	}
	all := make(sums)
	for name, f := range families {
		for _, m := range f.Metric {
			all[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all, nil
}

// heap returns the octets of heap that are in use after a collection.
func (w *watched) heap(ctx context.Context) (float64, error) {
	body, err := fetch(ctx, "http://"+w.pprof+"/debug/pprof/heap?gc=1")
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, body)
	body.Close()
	if err != nil {
		return 0, err
	}
	s, err := w.scrape(ctx)
	return s["go_memstats_heap_alloc_bytes"], err
}

func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s: expected 200, got %s", url, resp.Status)
	}
	return resp.Body, nil
}
