package farm

import (
	"math/rand/v2"
	"net/netip"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/steer"

	"github.com/coredns/coredns/plugin"
)

// Farm answers for the services of its zones. What the Corefile says of it is settled by setup, what runs is started
// and stopped by caddy, and neither changes while queries are served.
type Farm struct {
	Next plugin.Handler

	conf    *config
	zones   zones
	regions *steer.Regions
	memory  *memory
	targets *targets     // what names are resolved to that are answered as addresses
	limiter *qos.Limiter // of requests for grants, by client; nil without quality of service

	// Set by start.
	source source
	books  books
	db     *database
	signs  bool         // whether the server block's dnssec signs what is answered
	local  []netip.Addr // of this host: where name servers are, when the query does not tell
}

// source is where generations of the services come from: the store, or a test.
type source interface {
	Load() *steer.Snapshot // the current one; never nil
	Now() int64            // ms, on the clock of the snapshots' times
}

// limited is how many clients' requests are told apart well: half a MiB.
const limited = 1 << 14

func newFarm(conf *config) *Farm {
	f := &Farm{conf: conf, zones: newZones(conf.zones), memory: memoryOf(conf.zones, conf.table), targets: new(targets)}
	for _, z := range f.zones {
		z.finish(conf.ns, conf.mailbox, conf.soa)
	}
	if c := conf.qos; c != nil {
		f.limiter = qos.NewLimiter(limited, c.rate, c.burst, rand.Uint64())
	}
	// parse has tried this.
	f.regions, _ = steer.NewRegions(conf.regions)
	for i := range conf.labels {
		conf.labels[i].region = f.regions.Number(conf.labels[i].name)
	}
	return f
}

// Name implements plugin.Handler.
func (f *Farm) Name() string { return pluginName }

// CacheBypassZones keeps the cache plugin from freezing an answer that was made for one client at one moment. In
// rewrite mode, too: the plugin that is asked may have a cache of its own.
func (f *Farm) CacheBypassZones() []string { return f.conf.zones }
