package test

import (
	"context"
	"net/netip"
	"testing"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// database writes to the services database as agents and operators do.
type database struct {
	t testing.TB
	*store.Client
}

func dial(t testing.TB, urls ...string) *database {
	t.Helper()
	c, err := store.Dial(urls, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &database{t, c}
}

// do runs a write, which must succeed.
func (d *database) do(what string, write func(ctx context.Context) error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := write(ctx); err != nil {
		d.t.Fatalf("%s: %v", what, err)
	}
}

// service puts a service whose answers stand for a second and whose ramps take hardly any longer than that.
func (d *database) service(name string) {
	d.t.Helper()
	d.do("service "+name, func(ctx context.Context) error {
		return d.PutService(ctx, steer.Service{Name: name, TTL: new(uint32(1)), SlowStart: new(1.0), Drain: new(1.0)})
	})
}

// server registers a server.
func (d *database) server(service, id, addr string) {
	d.t.Helper()
	d.do("server "+id, func(ctx context.Context) error {
		_, err := d.PutServer(ctx, service, steer.Server{ID: id, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}, store.ByOperator)
		return err
	})
}

// longLease outlives every test.
const longLease = 3600

// report says how busy a server is.
func (d *database) report(service, id string, utilization float64) {
	d.t.Helper()
	d.do("report on "+id, func(ctx context.Context) error {
		_, err := d.Report(ctx, store.Report{Service: service, ID: id, Utilization: &utilization, Lease: longLease})
		return err
	})
}

// down says that a server does not serve.
func (d *database) down(service, id string) {
	d.t.Helper()
	d.do("report on "+id, func(ctx context.Context) error {
		_, err := d.Report(ctx, store.Report{Service: service, ID: id, Health: steer.Down, Lease: longLease})
		return err
	})
}

// admin sets what an operator wants of a server.
func (d *database) admin(service, id string, state steer.AdminState) {
	d.t.Helper()
	d.do(string(state)+" of "+id, func(ctx context.Context) error {
		_, err := d.SetAdmin(ctx, service, id, state, store.ByOperator)
		return err
	})
}
