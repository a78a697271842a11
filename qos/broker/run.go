package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
	"github.com/coredns-farm/farm/qos/element/camara"
	"github.com/coredns-farm/farm/qos/element/linux"
	"github.com/coredns-farm/farm/store"
)

// Run runs a broker until ctx ends, then lets what is under way end, has its elements take away what would not go by
// itself, and returns. It returns early with an error if the configuration is not valid, or an element cannot be made. A
// database or an element that is out of reach is no error: Run goes on trying. What elements that only say what they
// would do have to say, they write to out.
func Run(ctx context.Context, cfg Config, log *slog.Logger, out io.Writer) error {
	cfg, db, err := dial(cfg)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer db.Close()
	m := newMetrics()
	serving, err := m.serve(cfg.Metrics, log)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	defer serving.Close()
	all, err := open(&cfg, log, out, m)
	if err != nil {
		return err
	}
	queue, err := db.Requests(cfg.Name)
	if err != nil {
		return errors.Join(err, all.close())
	}
	log.Info("broker starts", "name", cfg.Name, "database", db.String(), "elements", len(all))
	newBroker(queued{db, queue}, all, log, m).run(ctx)
	log.Info("broker ends")
	return errors.Join(queue.Close(), all.close())
}

// open makes the elements.
func open(cfg *Config, log *slog.Logger, out io.Writer, m *metrics) (all sites, err error) {
	for i := range cfg.Elements {
		c := &cfg.Elements[i]
		e, err := c.open(log.With("element", c.Name), out)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("element %s: %w", c.Name, err), all.close())
		}
		all = append(all, newSite(c.Name, e, log, m))
	}
	return all, nil
}

// open is where a kind of element is made.
func (e *Element) open(log *slog.Logger, out io.Writer) (element.Element, error) {
	if e.CAMARA != nil {
		return camara.New(*e.CAMARA, log)
	}
	return linux.New(*e.Linux, log, out)
}

// close ends the elements.
func (all sites) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	var errs []error
	for _, s := range all {
		if err := s.element.Close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("element %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// serve answers Prometheus, if there is an address to listen on.
func (m *metrics) serve(addr string, log *slog.Logger) (io.Closer, error) {
	if addr == "" {
		return io.NopCloser(nil), nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("metrics are served no longer", "error", err)
		}
	}()
	return server, nil
}

// dial checks a configuration, fills it in, and makes a client of its database.
func dial(cfg Config) (Config, *store.Client, error) {
	if err := cfg.Validate(); err != nil {
		return cfg, nil, err
	}
	cfg = cfg.withDefaults()
	db, err := store.Dial(cfg.Redis, cfg.Prefix)
	return cfg, db, err
}

// DryRun writes to out what the Linux elements would do for the grants and requests that stand in the database, and does
// none of it. It takes no work and asks no operator.
func DryRun(ctx context.Context, cfg Config, out io.Writer) error {
	cfg, db, err := dial(cfg)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer db.Close()
	all, err := db.Grants(ctx)
	if err != nil {
		return err
	}
	b := new(broker) // knows which grant is whose, and does nothing
	for _, e := range cfg.Elements {
		b.sites = append(b.sites, &site{name: e.Name})
	}
	for i, e := range cfg.Elements {
		if e.Linux == nil {
			fmt.Fprintf(out, "# element %s: an operator is not asked in a dry run\n", e.Name)
			continue
		}
		fmt.Fprintf(out, "# element %s\n", e.Name)
		if err := onPaper(ctx, *e.Linux, b.liveAt(b.sites[i], all, nowMillis()), out); err != nil {
			return fmt.Errorf("element %s: %w", e.Name, err)
		}
	}
	return nil
}

func onPaper(ctx context.Context, cfg linux.Config, live []*qos.Grant, out io.Writer) error {
	cfg.DryRun = true
	paper, err := linux.New(cfg, slog.New(slog.DiscardHandler), out)
	if err != nil {
		return err
	}
	if err := paper.Reconcile(ctx, live); err != nil {
		return err
	}
	for _, g := range live {
		if g.State != qos.Requested {
			continue
		}
		answer, err := paper.Grant(ctx, g)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "# request %s of %s: %s %s\n", g.ID, g.Service, answer.State, answer.Detail)
	}
	return nil
}
