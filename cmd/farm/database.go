package main

import (
	"context"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// defaultRedis is the embedded store of Corefile.example.
const defaultRedis = "redis://127.0.0.1:6399"

// dial makes a client of the database that flags and environment name. It does not connect yet.
func (a *app) dial() (*store.Client, error) {
	db, err := store.Dial(a.urls(), a.keyPrefix())
	if err != nil {
		return nil, usagef("%w", err)
	}
	return db, nil
}

// world is the database as it was read, and the snapshot that a replica with the same Corefile has of it.
type world struct {
	*store.Database
	base store.Base
	snap *steer.Snapshot
}

// read reads the whole database.
func (a *app) read(ctx context.Context, db *store.Client) (*world, error) {
	d, err := db.Read(ctx)
	if err != nil {
		return nil, err
	}
	w := &world{Database: d, base: d.Base()}
	w.snap = d.Snapshot(w.base)
	return w, nil
}

// visit dials, reads, and hands both over, within the time for the database.
func (a *app) visit(use func(context.Context, *store.Client, *world) error) error {
	db, err := a.dial()
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := a.within()
	defer cancel()
	w, err := a.read(ctx, db)
	if err == nil {
		err = use(ctx, db, w)
	}
	return fromDatabase(err)
}

// farm returns the farm of a service, or an error that suggests others.
func (w *world) farm(service string) (*steer.Farm, error) {
	if f := w.snap.Farm(service); f != nil {
		return f, nil
	}
	return nil, notFoundf("no service %s%s", service, orList(didYouMean(service, w.snap.Services()), "farm service list"))
}

// farms returns the farms of the services named; all if none is.
func (w *world) farms(names []string) ([]*steer.Farm, error) {
	if len(names) == 0 {
		return w.snap.Farms(), nil
	}
	var farms []*steer.Farm
	for _, name := range names {
		f, err := w.farm(fqdn(name))
		if err != nil {
			return nil, err
		}
		farms = append(farms, f)
	}
	return farms, nil
}

// server returns the index of a server in a farm, or an error that suggests others.
func (w *world) server(f *steer.Farm, id string) (int, error) {
	if i := f.ByID(id); i >= 0 {
		return i, nil
	}
	ids := make([]string, len(f.Servers))
	for i, s := range f.Servers {
		ids[i] = s.ID
	}
	return -1, notFoundf("no server %s in %s%s", id, f.Service.Name,
		orList(didYouMean(id, ids), "farm server list "+f.Service.Name))
}

// orList says which command lists what there is, if there is nothing near to suggest.
func orList(suggestion, command string) string {
	if suggestion != "" {
		return suggestion
	}
	return "; " + command + " shows what there is"
}

// service returns what Redis says of a service, or nil.
func (w *world) service(name string) *store.ServiceRecord {
	i, ok := slices.BinarySearchFunc(w.Services, name, func(s store.ServiceRecord, name string) int {
		return strings.Compare(s.Name, name)
	})
	if !ok {
		return nil
	}
	return &w.Services[i]
}

// record returns what Redis says of a server. Where it says nothing, the record is empty.
func (w *world) record(service, id string) *store.ServerRecord {
	if s := w.service(service); s != nil {
		i, ok := slices.BinarySearchFunc(s.Servers, id, func(s store.ServerRecord, id string) int {
			return strings.Compare(s.ID, id)
		})
		if ok {
			return &s.Servers[i]
		}
	}
	return &store.ServerRecord{ID: id, Admin: steer.Ready}
}

// Where records stand. What Redis does not hold stands in a Corefile.
const (
	byCorefile = "corefile"
	byDatabase = "database"
)

func registeredBy(r *store.ServerRecord) string {
	if r.Server == nil {
		return byCorefile
	}
	return r.By
}

// reach settles which database a configuration file means: flags go over it, and it goes over the environment.
func (a *app) reach(urls *[]string, prefix *string) {
	if len(a.redis) > 0 || len(*urls) == 0 {
		*urls = a.urls()
	}
	if a.prefix != "" || *prefix == "" {
		*prefix = a.keyPrefix()
	}
}

// checked says what is wrong with a configuration, on one line.
func checked(validate func() error, urls []string) error {
	if err := validate(); err != nil {
		return refusedf("configuration: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if _, err := store.ParseURLs(urls); err != nil {
		return refusedf("configuration: %w", err)
	}
	return nil
}
