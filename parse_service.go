package farm

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	"github.com/coredns/coredns/plugin"
)

// serviceBlock is a service as its block is read: for the defaults of the farm block, one without servers.
type serviceBlock struct {
	service *steer.Service
	servers []steer.Server
	first   *float64 // where a policy's option goes; nil in the block of one service
}

var serviceProperties = map[string]property[*serviceBlock]{
	"policy":     {read: readPolicy},
	"answers":    {read: readAnswers},
	"ttl":        {read: readTTL},
	"soft":       {read: readSoft},
	"hard":       {read: readHard},
	"slow_start": {read: readSlowStart},
	"drain":      {read: readDrain},
	"failback":   {read: readFailback},
	"fallback":   {read: readFallback},
	"alpn":       {read: readALPN},
	"flatten":    {read: readFlatten},
	"level":      {read: readLevel, many: true},
	"server":     {read: readServer, many: true},
}

func readService(p *parser, args []string, conf *config) error {
	if len(args) != 1 {
		return p.Err("service: expected one name")
	}
	name := plugin.Name(args[0]).Normalize()
	if err := store.CheckServiceName(name); err != nil {
		return p.Errf("service: %v", err)
	}
	if p.zones.of(strings.TrimPrefix(name, "*.")) == nil {
		return p.Errf("service %s is in none of the zones of the block", name)
	}
	if _, ok := conf.servers[name]; ok {
		return p.Errf("service %s is given more than once", name)
	}
	p.checkNotExplained(name)
	b := &serviceBlock{service: &steer.Service{Name: name}}
	if err := readBlock(p, serviceProperties, b); err != nil {
		return err
	}
	if err := store.CheckService(b.service); err != nil {
		return p.Errf("service %s: %v", name, err)
	}
	conf.services = append(conf.services, *b.service)
	conf.servers[name] = b.servers
	return nil
}

// checkNotExplained refuses a service, once the block is read, whose name asks why the answers of another are what they are.
func (p *parser) checkNotExplained(name string) {
	hidden := p.Errf("service %s: with explain, names with %s in front are explanations: expected another name", name, explainLabel)
	p.later = append(p.later, func() error {
		if strings.HasPrefix(name, explainLabel) && p.conf.explain.trie != nil {
			return hidden
		}
		return nil
	})
}

// readPolicy reads: policy NAME, or: policy predict [first F], where F is the part of the clients that take the first address of
// an answer. That is said of all services, because so it is of resolvers: one asks for many services.
func readPolicy(p *parser, args []string, b *serviceBlock) error {
	args = lowerAll(args)
	if len(args) == 0 || !slices.Contains(steer.Policies, steer.Policy(args[0])) {
		return p.Errf("policy: expected one of %v, not %q", steer.Policies, strings.Join(args, " "))
	}
	b.service.Policy = steer.Policy(args[0])
	switch options := args[1:]; {
	case len(options) == 0:
		return nil
	case b.service.Policy != steer.Predict || options[0] != "first":
		return p.Errf("policy %s has no option %q", args[0], options[0])
	case b.first == nil:
		return p.Err("policy predict first is said once for the whole block, not in a service")
	default:
		var err error
		*b.first, err = p.part("policy predict first", options[1:])
		return err
	}
}

func readAnswers(p *parser, args []string, b *serviceBlock) error {
	n, err := p.integer("answers", args, 1, steer.MaxAnswers)
	b.service.Answers = n
	return err
}

func readTTL(p *parser, args []string, b *serviceBlock) error {
	if len(args) != 1 && len(args) != 2 {
		return p.Err("ttl: expected MIN [MAX], in seconds")
	}
	ttl, err := p.integer("ttl", args[:1], 0, steer.MaxTTL)
	if err != nil {
		return err
	}
	b.service.TTL = new(uint32(ttl))
	if len(args) == 2 {
		upTo, err := p.integer("ttl", args[1:], ttl, steer.MaxTTL)
		b.service.MaxTTL = new(uint32(upTo))
		return err
	}
	return nil
}

func readSoft(p *parser, args []string, b *serviceBlock) (err error) {
	b.service.Soft, err = p.numberOrZero("soft", args, maxUtilization)
	return err
}

func readHard(p *parser, args []string, b *serviceBlock) (err error) {
	b.service.Hard, err = p.number("hard", args, maxUtilization)
	return err
}

func readSlowStart(p *parser, args []string, b *serviceBlock) (err error) {
	b.service.SlowStart, err = p.ramp("slow_start", args)
	return err
}

func readDrain(p *parser, args []string, b *serviceBlock) (err error) {
	b.service.Drain, err = p.ramp("drain", args)
	return err
}

// readFailback reads: failback DURATION, or: failback manual.
func readFailback(p *parser, args []string, b *serviceBlock) (err error) {
	if len(args) == 1 && strings.EqualFold(args[0], "manual") {
		b.service.Failback = new(float64(steer.ByHand))
		return nil
	}
	if b.service.Failback, err = p.ramp("failback", args); err != nil {
		return p.Errf("failback: expected manual, or a duration from 0 to %ds, such as 90s or 5m, not %q", steer.MaxRamp, strings.Join(args, " "))
	}
	return nil
}

// maxFallbacks and maxALPN bound what an operator can mean, and what one answer holds.
const (
	maxFallbacks = 8
	maxALPN      = 8
)

func readFallback(p *parser, args []string, b *serviceBlock) error {
	if len(args) == 0 || len(args) > maxFallbacks {
		return p.Errf("fallback: expected 1 to %d names", maxFallbacks)
	}
	for _, arg := range args {
		name, ok := hostName(arg)
		if !ok {
			return p.Errf("fallback: expected names, not %q", arg)
		}
		b.service.Fallback = append(b.service.Fallback, name)
	}
	if err := store.CheckAlias(b.service.Name, b.service.Fallback...); err != nil {
		return p.Errf("fallback: %v", err)
	}
	return nil
}

func readALPN(p *parser, args []string, b *serviceBlock) error {
	if len(args) == 0 || len(args) > maxALPN {
		return p.Errf("alpn: expected 1 to %d protocols: h2 http/1.1", maxALPN)
	}
	for _, arg := range args {
		if slices.Contains(b.service.ALPN, arg) {
			return p.Errf("alpn: %s is given more than once", arg)
		}
		b.service.ALPN = append(b.service.ALPN, arg)
	}
	return nil
}

// readFlatten reads: flatten [off]
func readFlatten(p *parser, args []string, b *serviceBlock) error {
	if len(args) > 1 || len(args) == 1 && !strings.EqualFold(args[0], "off") {
		return p.Errf("flatten: expected no argument, or off, not %q", strings.Join(args, " "))
	}
	b.service.Flatten = new(len(args) == 0)
	if *b.service.Flatten {
		rewrites := p.Err("flatten and rewrite: expected one of them")
		p.later = append(p.later, func() error {
			if p.conf.rewrite {
				return rewrites
			}
			return nil
		})
	}
	return nil
}

// readServer reads: server ID ADDRESS... [OPTION VALUE]...
func readServer(p *parser, args []string, b *serviceBlock) error {
	if len(args) < 2 {
		return p.Err("server: expected an id and its addresses")
	}
	s := steer.Server{ID: strings.ToLower(args[0])}
	if err := store.CheckID(s.ID); err != nil {
		return p.Errf("server: %v", err)
	}
	if slices.ContainsFunc(b.servers, func(o steer.Server) bool { return o.ID == s.ID }) {
		return p.Errf("server %s is given more than once", s.ID)
	}
	options := slices.IndexFunc(args[1:], isServerOption) + 1
	if options == 0 {
		options = len(args)
	}
	if err := p.place(&s, args[1:options]); err != nil {
		return err
	}
	if err := p.serverOptions(&s, args[options:]); err != nil {
		return err
	}
	b.servers = append(b.servers, s)
	if s.Target == "" { // nothing points to the name of one that is a name itself
		p.hosts = append(p.hosts, host{b.service.Name, s, p.File(), p.Line()})
	}
	if err := store.CheckAlias(b.service.Name, s.Target); err != nil {
		return p.Errf("server %s: %v", s.ID, err)
	}
	p.checkLater(&s)
	return nil
}

// checkLater tests a server against the rest of the block, once that is read. The error is of this line.
func (p *parser) checkLater(s *steer.Server) {
	region, stray := s.Region, p.Errf("server %s: no region property names %q", s.ID, s.Region)
	p.later = append(p.later, func() error {
		if region == "" || len(p.conf.regions) == 0 || p.hasRegion(region) {
			return nil
		}
		return stray
	})
}

// place reads where a server is: its addresses, or a name.
func (p *parser) place(s *steer.Server, args []string) error {
	what := "server " + s.ID
	if len(args) == 0 || len(args) > steer.MaxAddresses {
		return p.Errf("%s: expected 1 to %d addresses, or a name", what, steer.MaxAddresses)
	}
	if _, err := netip.ParseAddr(args[0]); err != nil && len(args) == 1 {
		name, ok := hostName(args[0])
		if !ok || !strings.Contains(args[0], ".") {
			return p.Errf("%s: expected addresses, or one name with a dot, not %q", what, args[0])
		}
		s.Target = name
		return nil
	}
	var err error
	s.Addresses, err = p.addresses(what, serverOptionNames, args)
	return err
}

var serverOptions = map[string]func(p *parser, name, value string, s *steer.Server) error{
	"port": func(p *parser, name, value string, s *steer.Server) error {
		n, err := p.integer(name, []string{value}, 1, 65535)
		s.Port = uint16(n)
		return err
	},
	"priority": func(p *parser, name, value string, s *steer.Server) error {
		n, err := p.integer(name, []string{value}, 0, 65535)
		s.Priority = uint16(n)
		return err
	},
	"weight": func(p *parser, name, value string, s *steer.Server) (err error) {
		s.Weight, err = p.numberOrZero(name, []string{value}, steer.MaxWeight)
		return err
	},
	"capacity": func(p *parser, name, value string, s *steer.Server) (err error) {
		s.Capacity, err = p.number(name, []string{value}, steer.MaxRate)
		return err
	},
	"soft": func(p *parser, name, value string, s *steer.Server) (err error) {
		s.Soft, err = p.numberOrZero(name, []string{value}, maxUtilization)
		return err
	},
	"hard": func(p *parser, name, value string, s *steer.Server) (err error) {
		s.Hard, err = p.number(name, []string{value}, maxUtilization)
		return err
	},
	"region": func(p *parser, name, value string, s *steer.Server) error {
		s.Region = value
		return nil
	},
	"classes": func(p *parser, name, value string, s *steer.Server) error {
		s.Classes = lowerAll(strings.Split(value, ","))
		return nil
	},
}

var serverOptionNames = slices.Sorted(maps.Keys(serverOptions))

func isServerOption(arg string) bool {
	_, ok := serverOptions[arg]
	return ok
}

func (p *parser) serverOptions(s *steer.Server, args []string) error {
	seen := make(map[string]bool)
	for ; len(args) > 0; args = args[2:] {
		name := args[0]
		read, ok := serverOptions[name]
		what := "server " + s.ID + ", " + name
		switch {
		case !ok:
			return p.unknown("option of server "+s.ID, name, slices.Collect(maps.Keys(serverOptions)))
		case seen[name]:
			return p.Errf("%s is given more than once", what)
		case len(args) < 2:
			return p.Errf("%s: expected a value", what)
		}
		seen[name] = true
		if err := read(p, what, args[1], s); err != nil {
			return err
		}
	}
	if err := store.CheckServer(s); err != nil {
		return p.Errf("server %s: %v", s.ID, err)
	}
	return nil
}
