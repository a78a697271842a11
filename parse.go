package farm

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
	"github.com/coredns-farm/farm/suggest"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/fall"
)

// config is what one farm block of the Corefile says.
type config struct {
	zones    []string
	fall     fall.F
	store    store.Config
	maxStale time.Duration // 0 is never

	services []steer.Service
	servers  map[string][]steer.Server // by service
	defaults steer.Service             // for the services of the block that do not say
	regions  []steer.Region
	labels   []labelRule

	believed prefixes // resolvers whose client subnet is believed
	explain  prefixes // clients that are told why
	ns       []steer.NameServer
	mailbox  string
	soa      soaTimes
	rewrite  bool
	upstream []string   // HOST:PORT of the resolvers that flattened names are looked up with
	table    table      // of resolvers
	qos      *qosConfig // nil is off
}

// parser reads one block. Each property is read by its own entry of properties.
type parser struct {
	*caddy.Controller
	conf  *config
	zones zones          // of conf, once they are read
	later []func() error // checks that wait for the rest of the block
	hosts []host         // the servers of the block
}

// property is how a line of a block is read; into is what it is read into.
type property[T any] struct {
	read func(p *parser, args []string, into T) error
	many bool // whether it may be given more than once
}

var properties = map[string]property[*config]{
	"redis":       {read: readRedis},
	"embedded":    {read: readEmbedded},
	"prefix":      {read: readPrefix},
	"state":       {read: readState},
	"max_stale":   {read: readMaxStale},
	"service":     {read: readService, many: true},
	"policy":      ofDefaults("policy"),
	"answers":     ofDefaults("answers"),
	"ttl":         ofDefaults("ttl"),
	"soft":        ofDefaults("soft"),
	"hard":        ofDefaults("hard"),
	"slow_start":  ofDefaults("slow_start"),
	"drain":       ofDefaults("drain"),
	"failback":    ofDefaults("failback"),
	"level":       ofDefaults("level"),
	"qos":         {read: readQoS},
	"resolvers":   {read: readResolvers},
	"region":      {read: readRegion, many: true},
	"ecs":         {read: readECS},
	"explain":     {read: readExplain},
	"ns":          {read: readNS, many: true},
	"mailbox":     {read: readMailbox},
	"soa":         {read: readSOA},
	"rewrite":     {read: readRewrite},
	"flatten":     ofDefaults("flatten"),
	"upstream":    {read: readUpstream},
	"fallthrough": {read: readFallthrough},
}

// ofDefaults is a property of a service, said of all the services of the block.
func ofDefaults(name string) property[*config] {
	of := serviceProperties[name]
	return property[*config]{many: of.many, read: func(p *parser, args []string, conf *config) error {
		return of.read(p, args, &serviceBlock{service: &conf.defaults, first: &conf.table.first})
	}}
}

// parse reads the farm block of a server block. Errors carry file and line.
func parse(c *caddy.Controller) (*config, error) {
	p := &parser{Controller: c, conf: &config{
		servers: make(map[string][]steer.Server),
		table:   table{bits: steer.DefaultResolvers, first: steer.DefaultFirst},
		soa:     defaultSOA,
	}}
	for i := 0; c.Next(); i++ {
		if i > 0 {
			return nil, plugin.ErrOnce
		}
		if err := p.readZones(c.RemainingArgs()); err != nil {
			return nil, err
		}
		if err := readBlock(p, properties, p.conf); err != nil {
			return nil, err
		}
	}
	return p.conf, p.check()
}

// readBlock reads the block that opens on the line at hand, if one does: one property a line.
func readBlock[T any](p *parser, table map[string]property[T], into T) error {
	if !p.NextArg() {
		return nil
	}
	seen := make(map[string]bool)
	for p.Next() {
		name := p.Val()
		if name == "}" {
			return nil
		}
		prop, ok := table[name]
		switch {
		case !ok:
			return p.unknown("property", name, slices.Collect(maps.Keys(table)))
		case seen[name] && !prop.many:
			return p.Errf("%s is given more than once", name)
		}
		seen[name] = true
		if err := prop.read(p, p.RemainingArgs(), into); err != nil {
			return err
		}
	}
	return p.Err("block: expected } at its end")
}

// unknown is the error of a word that is none of some, with those that are near. A URL is not repeated: it may hold a password.
func (p *parser) unknown(what, word string, known []string) error {
	if guesses := suggest.Words(word, known); len(guesses) > 0 {
		return p.Errf("unknown %s: %q%s", what, word, suggest.DidYouMean(guesses))
	}
	return p.Errf("unknown %s: %q", what, word)
}

// Errf is an error at the place of the line that is read. It repeats no word that may hold a password.
func (p *parser) Errf(format string, args ...any) error {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = suggest.Shown(arg)
		case error:
			args[i] = suggest.ShownQuotes(arg.Error())
		}
	}
	return p.Controller.Errf(format, args...)
}

func (p *parser) readZones(args []string) error {
	for _, arg := range args {
		if len(plugin.Host(arg).NormalizeExact()) == 0 {
			return p.Errf("zone: expected a name, not %q", arg)
		}
	}
	p.conf.zones = plugin.OriginsFromArgsOrServerBlock(args, p.ServerBlockKeys)
	slices.Sort(p.conf.zones)
	p.conf.zones = slices.Compact(p.conf.zones)
	if len(p.conf.zones) == 0 {
		return p.Err("farm: expected a zone, of its own or of its server block")
	}
	p.zones = newZones(p.conf.zones)
	return nil
}

// check tests what no line can know by itself.
func (p *parser) check() error {
	conf := p.conf
	if len(conf.store.URLs) == 0 && conf.store.Embedded == "" {
		conf.store.Embedded = defaultEmbedded
	}
	if err := conf.store.Check(); err != nil {
		return p.Errf("store: %v", err)
	}
	for _, check := range p.later {
		if err := check(); err != nil {
			return err
		}
	}
	if err := store.CheckService(&conf.defaults); err != nil {
		return p.Errf("%v", err)
	}
	if err := p.checkLoops(); err != nil {
		return err
	}
	return p.checkHosts()
}

// checkLoops refuses aliases that lead back to where they began.
func (p *parser) checkLoops() error {
	var farms []*steer.Farm
	for _, service := range p.conf.services {
		in := steer.Input{Service: service}
		for i := range p.conf.servers[service.Name] {
			in.Members = append(in.Members, steer.Member{Server: &p.conf.servers[service.Name][i], Report: steer.NoReport})
		}
		farms = append(farms, steer.Build(in))
	}
	snap := steer.NewSnapshot(farms, nil)
	for _, service := range p.conf.services {
		if loop := snap.AliasLoop(service.Name); loop != nil {
			return p.Errf("service %s: its aliases go round: %s", service.Name, strings.Join(loop, " -> "))
		}
	}
	return nil
}

// host is a server as it stands in the Corefile, under the name that it has in DNS.
type host struct {
	service string
	server  steer.Server
	file    string
	line    int
}

// checkHosts tests that no server's name is another server's, a service's or a name server's with other addresses. With rewrite no such
// name is answered.
func (p *parser) checkHosts() error {
	if p.conf.rewrite {
		return nil
	}
	first := make(map[string]*host)
	for i := range p.hosts {
		h := &p.hosts[i]
		name := steer.HostName(h.service, h.server.ID)
		if servers, ok := p.conf.servers[name]; ok && !(len(servers) == 1 && steer.SameHost(&servers[0], &h.server)) {
			return h.conflict(name, "service "+name)
		}
		if h.isBeside(p.conf.ns, name) {
			return h.conflict(name, "name server "+name)
		}
		if other := first[name]; other != nil && !steer.SameHost(&other.server, &h.server) {
			return h.conflict(name, "server "+h.server.ID+" of "+other.service)
		}
		first[name] = h
	}
	return nil
}

// isBeside reports whether a name is that of a name server at other addresses than the server's. One without addresses is where the
// queries come in.
func (h *host) isBeside(ns []steer.NameServer, name string) bool {
	return slices.ContainsFunc(ns, func(ns steer.NameServer) bool {
		return ns.Name == name && !steer.SameHost(&steer.Server{Addresses: ns.Addresses}, &h.server)
	})
}

// conflict is the error, at the server's line, of a name that stands for two things.
func (h *host) conflict(name, other string) error {
	return fmt.Errorf("%s:%d - Error during parsing: server %s: its name %s is that of %s, with other addresses: expected another id",
		h.file, h.line, h.server.ID, name, other)
}

func (p *parser) hasRegion(name string) bool {
	return slices.ContainsFunc(p.conf.regions, func(r steer.Region) bool { return r.Name == name })
}

// defaultEmbedded is where the embedded store listens: on loopback, beside the port of a real Redis.
const defaultEmbedded = "127.0.0.1:6399"

func readRedis(p *parser, args []string, conf *config) error {
	if len(args) == 0 {
		return p.Err("redis: expected a URL: redis://HOST:PORT, rediss://, unix:// or redis+sentinel://")
	}
	if conf.store.Embedded != "" {
		return p.Err("redis and embedded: expected one of them")
	}
	if _, err := store.ParseURLs(args); err != nil {
		return p.Errf("redis: %v", err)
	}
	conf.store.URLs = args
	return nil
}

func readEmbedded(p *parser, args []string, conf *config) error {
	if len(conf.store.URLs) > 0 {
		return p.Err("redis and embedded: expected one of them")
	}
	if len(args) == 0 {
		args = []string{defaultEmbedded}
	}
	if _, err := netip.ParseAddrPort(args[0]); len(args) > 1 || err != nil {
		return p.Errf("embedded: expected one IP:PORT, not %q", strings.Join(args, " "))
	}
	conf.store.Embedded = args[0]
	return nil
}

func readPrefix(p *parser, args []string, conf *config) error {
	if len(args) != 1 {
		return p.Err("prefix: expected one name")
	}
	conf.store.Prefix = args[0]
	if err := store.CheckPrefix(args[0]); err != nil {
		return p.Errf("%v", err)
	}
	return nil
}

func readState(p *parser, args []string, conf *config) (err error) {
	conf.store.StateFile, err = p.file("state", args)
	return err
}

// file reads the name of a file. A relative one is under the server block's root.
func (p *parser) file(name string, args []string) (string, error) {
	if len(args) != 1 {
		return "", p.Errf("%s: expected one file name", name)
	}
	if strings.Contains(args[0], "://") {
		return "", p.Errf("%s: expected a file name, not %q", name, args[0])
	}
	if root := dnsserver.GetConfig(p.Controller).Root; root != "" && !filepath.IsAbs(args[0]) {
		return filepath.Join(root, args[0]), nil
	}
	return args[0], nil
}

func readMaxStale(p *parser, args []string, conf *config) (err error) {
	conf.maxStale, err = p.duration("max_stale", args)
	return err
}

// Least and most resolvers of which anything is remembered. Each takes some 500 octets.
const (
	minResolvers = 64
	maxResolvers = 1 << 20
)

// readResolvers reads how many there is to be room for. The table's size is the next power of two.
func readResolvers(p *parser, args []string, conf *config) error {
	n, err := p.integer("resolvers", args, minResolvers, maxResolvers)
	if err == nil {
		conf.table.bits = bits.Len(uint(n - 1))
	}
	return err
}

func readMailbox(p *parser, args []string, conf *config) error {
	if len(args) != 1 {
		return p.Err("mailbox: expected one name: hostmaster.example.org")
	}
	name, ok := hostName(args[0])
	if !ok {
		return p.Errf("mailbox: expected a name such as hostmaster.example.org, not %q", args[0])
	}
	conf.mailbox = name
	return nil
}

// readSOA reads: soa [refresh D] [retry D] [expire D] [minimum D]
func readSOA(p *parser, args []string, conf *config) error {
	t := &conf.soa
	times := map[string]*uint32{"refresh": &t.refresh, "retry": &t.retry, "expire": &t.expire, "minimum": &t.minimum}
	if len(args) == 0 {
		return p.Err("soa: expected times: refresh, retry, expire or minimum, and a duration")
	}
	for ; len(args) > 0; args = args[min(2, len(args)):] {
		into := times[args[0]]
		if into == nil {
			return p.Errf("soa: expected refresh, retry, expire and minimum, each once, not %q", args[0])
		}
		delete(times, args[0])
		least, most := time.Second, maxStaleMost
		if into == &t.minimum {
			least, most = 0, maxNegative*time.Second
		}
		seconds, err := p.wholeSeconds("soa "+args[0], args[1:min(2, len(args))], least, most)
		if err != nil {
			return err
		}
		*into = seconds
	}
	return p.checkSOA(t)
}

// maxNegative bounds, in seconds, for how long resolvers may remember that there is nothing: a day (RFC 2308 section 5).
const maxNegative = 86400

// checkSOA tests what RFC 1035 section 3.3.13 makes of the times: between refreshes a secondary retries, and it gives up last.
func (p *parser) checkSOA(t *soaTimes) error {
	switch {
	case t.retry > t.refresh:
		return p.Errf("soa retry: expected 1 second to refresh (%d), not %d", t.refresh, t.retry)
	case t.expire <= t.refresh+t.retry:
		return p.Errf("soa expire: expected more than refresh and retry together (%d), not %d", t.refresh+t.retry, t.expire)
	}
	return nil
}

func readRewrite(p *parser, args []string, conf *config) error {
	if len(args) > 0 {
		return p.Errf("rewrite: expected no argument, not %q", args[0])
	}
	conf.rewrite = true
	return nil
}

func readFallthrough(p *parser, args []string, conf *config) error {
	for _, arg := range args {
		if len(plugin.Host(arg).NormalizeExact()) == 0 {
			return p.Errf("fallthrough: expected zones, not %q", arg)
		}
	}
	conf.fall.SetZonesFromArgs(args)
	return nil
}

func readNS(p *parser, args []string, conf *config) error {
	if len(args) == 0 {
		return p.Err("ns: expected a name")
	}
	name, ok := hostName(args[0])
	if !ok {
		return p.Errf("ns: expected the name of a host, not %q", args[0])
	}
	if len(conf.ns) == maxNS {
		return p.Errf("ns: expected at most %d name servers", maxNS)
	}
	if slices.ContainsFunc(conf.ns, func(ns steer.NameServer) bool { return ns.Name == name }) {
		return p.Errf("ns %s is given more than once", name)
	}
	addrs, err := p.addresses("ns "+name, nil, args[1:])
	ns := steer.NameServer{Name: name, Addresses: addrs}
	conf.ns = append(conf.ns, ns)
	p.checkNameServer(&ns)
	return err
}

// checkNameServer tests, once the block is read, that a service with the name of a name server agrees with it: its name is no alias
// (RFC 2181 section 10.3), and it is at the same addresses. With rewrite no such name is answered.
func (p *parser) checkNameServer(ns *steer.NameServer) {
	name := ns.Name
	alias := p.Errf("ns %s: service %s is answered with a CNAME, or may be: expected servers with addresses, and no fallback", name, name)
	elsewhere := p.Errf("ns %s: service %s is at other addresses: expected the addresses of its servers after ns %s", name, name, name)
	p.later = append(p.later, func() error {
		i := slices.IndexFunc(p.conf.services, func(s steer.Service) bool { return s.Name == name })
		if i < 0 || p.conf.rewrite {
			return nil
		}
		servers, isName := p.conf.servers[name], func(s steer.Server) bool { return s.Target != "" }
		named := len(p.conf.services[i].Fallback) > 0 || slices.ContainsFunc(servers, isName)
		switch {
		case named && !p.isFlat(&p.conf.services[i]):
			return alias
		case !named && len(servers) > 0 && !haveAll(servers, ns.Addresses):
			return elsewhere
		}
		return nil
	})
}

// isFlat reports whether names are answered as the addresses that they have: where a zone begins, always.
func (p *parser) isFlat(s *steer.Service) bool {
	flatten := cmp.Or(s.Flatten, p.conf.defaults.Flatten)
	return slices.Contains(p.conf.zones, s.Name) || flatten != nil && *flatten
}

// haveAll reports whether there are addresses, and each is a server's.
func haveAll(servers []steer.Server, addrs []netip.Addr) bool {
	stray := func(a netip.Addr) bool {
		return !slices.ContainsFunc(servers, func(s steer.Server) bool { return slices.Contains(s.Addresses, a) })
	}
	return len(addrs) > 0 && !slices.ContainsFunc(addrs, stray)
}
