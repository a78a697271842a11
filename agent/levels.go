package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/suggest"
)

// Levels is where the agent tells what each level of service uses and may use at its server, for the server to keep to.
type Levels struct {
	Listen string `yaml:"listen"` // host:port; without a host, the loopback address
}

func (l *Levels) validate() error {
	_, port, err := net.SplitHostPort(l.Listen)
	if _, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil {
		return fmt.Errorf("listen: %.100q, expected host:port, or :port for the loopback address", suggest.Shown(l.Listen))
	}
	return nil
}

// address is where to listen. What is told names clients, so that nobody else hears it who was not meant to.
func (l *Levels) address() string {
	if strings.HasPrefix(l.Listen, ":") {
		return "127.0.0.1" + l.Listen
	}
	return l.Listen
}

// levels keeps what the database says of the levels at one server. Only its own goroutine reads the database.
type levels struct {
	db       *store.Client
	log      *slog.Logger
	server   string
	services []string
	interval time.Duration

	described   map[string][]steer.Level // by service
	undescribed error                    // why they could not be read the last time
	skew        time.Duration            // of Redis's clock to ours
	next        time.Time                // when levels are to be read anew
	failing     bool

	last atomic.Pointer[picture]
}

// picture is what the database said at one time. It is never changed.
type picture struct {
	at     time.Time
	now    int64                    // ms on Redis's clock, then
	levels map[string][]steer.Level // by service
	grants []qos.Grant              // live ones of the server; times on Redis's clock
}

// startLevels starts telling, if that is wanted, and returns what ends it once life is over.
func startLevels(life context.Context, cfg *Config, db *store.Client, log *slog.Logger) (end func(), err error) {
	if cfg.Levels == nil {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", cfg.Levels.address())
	if err != nil {
		return nil, err
	}
	l := &levels{db: db, log: log, server: cfg.Server, interval: cfg.Interval}
	for _, s := range cfg.Services {
		if name := fqdn(s.Name); !slices.Contains(l.services, name) {
			l.services = append(l.services, name)
		}
	}
	life, stop := context.WithCancel(life)
	var wg sync.WaitGroup
	wg.Go(func() { l.follow(life) })
	server := &http.Server{
		Handler: l.handler(), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: askTime, ReadTimeout: askTime, WriteTimeout: tellTime, IdleTimeout: tellTime, MaxHeaderBytes: maxAsk,
	}
	wg.Go(func() {
		if err := server.Serve(netutil.LimitListener(listener, maxAskers)); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("levels are told no longer", "error", err)
		}
	})
	log.Info("levels are told", "address", listener.Addr().String())
	return func() {
		stop()
		server.Close()
		wg.Wait()
	}, nil
}

// Bounds of who asks. They are on the same machine, and few.
const (
	maxAskers = 16
	maxAsk    = 8 << 10 // octets of a request's header
	askTime   = 5 * time.Second
	tellTime  = 30 * time.Second
)

// Levels are edited by people, and the whole database is read for them.
const (
	describeEvery = 5 * time.Minute
	describeAgain = 30 * time.Second // after a failure
)

// follow reads the database every interval, until ctx ends. While it is away, what was read last is told on.
func (l *levels) follow(ctx context.Context) {
	for failures := 0; ; {
		failures++
		if l.look(ctx) {
			failures = 0
		}
		if !sleep(ctx, pause(l.interval, failures, rand.Float64())) {
			return
		}
	}
}

// look reads once, and says whether there is anything new. Without levels there are still grants, which say much of theirs.
func (l *levels) look(ctx context.Context) bool {
	if !time.Now().Before(l.next) {
		l.undescribed = l.describe(ctx)
		every := describeEvery
		if l.undescribed != nil {
			every = describeAgain
		}
		l.next = time.Now().Add(jitter(every, rand.Float64()))
	}
	grants, err := l.held(ctx)
	if ctx.Err() != nil {
		return false
	}
	l.note(errors.Join(l.undescribed, err))
	if err == nil {
		now := time.Now()
		l.last.Store(&picture{at: now, now: now.Add(l.skew).UnixMilli(), levels: l.described, grants: grants})
	}
	return err == nil
}

// note logs when levels or grants cannot be read, and when they can again.
func (l *levels) note(err error) {
	switch {
	case err != nil && !l.failing:
		l.log.Warn("cannot read levels and grants; what was read last is told on", "error", err)
	case err == nil && l.failing:
		l.log.Info("levels and grants are read again")
	}
	l.failing = err != nil
}

// describe reads the levels, and what time Redis has.
func (l *levels) describe(ctx context.Context) error {
	d, err := l.db.Read(ctx)
	if err != nil {
		return err
	}
	l.skew = time.Until(time.UnixMilli(d.Now))
	base := d.Base()
	for _, service := range l.services {
		base.Zones = append(base.Zones, strings.TrimPrefix(service, "*.")) // nothing but these is to be built
	}
	snap := d.Snapshot(base)
	described := make(map[string][]steer.Level)
	for _, service := range l.services {
		if f := snap.Farm(service); f != nil {
			described[service] = f.Service.Levels
		}
	}
	l.described = described
	return nil
}

// held reads the live grants of the server.
func (l *levels) held(ctx context.Context) ([]qos.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout(l.interval))
	defer cancel()
	all, err := l.db.Grants(ctx, l.services...)
	var own []qos.Grant
	for i := range all {
		if all[i].Server == l.server && all[i].State.Live() {
			own = append(own, all[i])
		}
	}
	return own, err
}
