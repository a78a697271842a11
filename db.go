package farm

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/coredns-farm/farm/store"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
)

// database is a block's hold on the store and on its view of it. It does not point back to its Farm.
type database struct {
	store  *store.Store
	view   *store.View
	prefix string
	memory *memory
	close  func()             // once, whoever calls
	cancel context.CancelFunc // of what runs in the background
}

// live are the databases that the metrics tell of.
var live struct {
	sync.Mutex
	all map[*database]struct{}
}

// open opens the store, or takes hold of the one that runs with the same configuration.
func (f *Farm) open() (*database, error) {
	conf := f.conf.store
	conf.Version = caddy.AppVersion
	conf.Logger = store.Logger{Infof: log.Infof, Warnf: log.Warningf}
	s, err := store.Open(conf)
	if err != nil {
		return nil, err
	}
	db := &database{store: s, prefix: cmp.Or(conf.Prefix, store.DefaultPrefix), memory: f.memory}
	db.view = s.View(store.Base{
		Zones:    f.conf.zones,
		Services: f.conf.services,
		Servers:  f.conf.servers,
		Regions:  f.regions,
		Indexed:  f.conf.rewrite,
		Default:  f.conf.defaults,
		Block:    f.block(),
	})
	db.close = sync.OnceFunc(db.release)
	live.Lock()
	defer live.Unlock()
	if live.all == nil {
		live.all = make(map[*database]struct{})
	}
	live.all[db] = struct{}{}
	db.memory.join(db)
	return db, nil
}

// block describes the block to those who read the node record.
func (f *Farm) block() store.Block {
	b := store.Block{NS: f.conf.ns, Rewrite: f.conf.rewrite}
	if f.Next != nil {
		b.Next = f.conf.fall.Zones
	}
	return b
}

// startTargets begins to resolve what flattened services lead to. Like everything that runs, it does not point to the Farm.
func (f *Farm) startTargets(db *database) {
	var ctx context.Context
	ctx, db.cancel = context.WithCancel(context.Background())
	zones, view, published, kept := f.zones, db.view, f.targets, &f.memory.targets
	published.current.Store(kept.current.Load())
	r := newTargetResolver(published.load())
	r.now, r.lookup = view.Now, newResolvers(f.conf.upstream).lookup
	r.publish = func(set targetSet) {
		published.current.Store(&set)
		kept.current.Store(&set)
	}
	r.wanted = wantedTargets(view.Load, zones)
	go r.run(ctx)
}

func (db *database) release() {
	db.cancel()
	live.Lock()
	delete(live.all, db)
	live.Unlock()
	db.memory.leave(db)
	db.view.Close()
	db.store.Close()
}

// start is called before the servers listen. On a reload the old Farm still serves meanwhile, and shares the store.
func (f *Farm) start(cfg *dnsserver.Config) error {
	db, err := f.open()
	if err != nil {
		return plugin.Error(pluginName, fmt.Errorf("start the store: %w", err))
	}
	f.db, f.source, f.local = db, db.view, localAddresses()
	f.signs = cfg.Handler("dnssec") != nil
	f.books = ledger{db.view, db.store.Entitlements(), db.store}
	// If what is started after this fails, caddy drops the whole instance without a word. Then nobody can reach the
	// Farm any more, and that lets go of the store.
	f.startTargets(db)
	runtime.AddCleanup(f, func(db *database) { go db.close() }, db)
	if cfg.Handler("loadbalance") != nil {
		log.Warning("loadbalance in the same server block shuffles the answers of farm: take it out")
	}
	return nil
}

// stop is called on shutdown and after a reload, when the servers do not listen any more.
func (f *Farm) stop() error {
	if f.db != nil {
		f.db.close()
	}
	return nil
}
