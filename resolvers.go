package farm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"

	cparse "github.com/coredns/coredns/plugin/pkg/parse"
	"github.com/miekg/dns"
)

// resolvConf is where the host's resolvers stand, which flattened targets are looked up with by default.
const resolvConf = "/etc/resolv.conf"

// maxUpstreams bounds the resolvers, and resolverTimeout how long each may take.
const (
	maxUpstreams    = 8
	resolverTimeout = 2 * time.Second
)

// resolvers look names up.
type resolvers struct {
	addrs []string // HOST:PORT
	first atomic.Uint32
}

// readUpstream reads: upstream ADDRESS|FILE...
func readUpstream(p *parser, args []string, conf *config) error {
	if len(args) == 0 {
		return p.Err("upstream: expected the addresses of resolvers, or a file such as /etc/resolv.conf")
	}
	for _, a := range args {
		if strings.Contains(a, "://") || strings.Contains(a, "@") {
			return p.Errf("upstream: expected resolvers over plain DNS, not %q", a)
		}
	}
	addrs, err := cparse.HostPortOrFile(args...)
	if err != nil {
		return p.Errf("upstream: %v", err)
	}
	for _, a := range addrs {
		if strings.Contains(a, "://") {
			return p.Errf("upstream: expected resolvers over plain DNS, not %q", a)
		}
		if !hasPort(a) {
			return p.Errf("upstream: expected a port from 1 to 65535, not %q", a)
		}
	}
	if len(addrs) > maxUpstreams {
		return p.Errf("upstream: expected at most %d resolvers", maxUpstreams)
	}
	conf.upstream = addrs
	return nil
}

// hasPort reports whether HOST:PORT has a port that there can be.
func hasPort(hostPort string) bool {
	_, port, err := net.SplitHostPort(hostPort)
	n, notNumber := strconv.ParseUint(port, 10, 16)
	return err == nil && notNumber == nil && n > 0
}

// newResolvers returns the resolvers at the addresses; without any, those of the host.
func newResolvers(addrs []string) *resolvers {
	if len(addrs) == 0 {
		addrs, _ = cparse.HostPortOrFile(resolvConf)
	}
	return &resolvers{addrs: addrs[:min(len(addrs), maxUpstreams)]}
}

var errNoResolver = errors.New("no resolver is known: neither upstream nor " + resolvConf + " names one")

// lookup returns the addresses of one family of a name, and their TTL. A name that does not exist has none.
func (r *resolvers) lookup(ctx context.Context, key targetKey) ([]netip.Addr, uint32, error) {
	err := errNoResolver
	first := int(r.first.Add(1))
	for i := range r.addrs {
		var m *dns.Msg
		if m, err = exchangeOnce(ctx, r.addrs[(first+i)%len(r.addrs)], key); err == nil {
			addrs, ttl := addressesIn(m, key.family)
			return addrs, ttl, nil
		}
	}
	return nil, 0, err
}

// exchangeOnce asks one resolver, over TCP if the answer is too large for UDP.
func exchangeOnce(ctx context.Context, addr string, key targetKey) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, resolverTimeout)
	defer cancel()
	m := new(dns.Msg).SetQuestion(key.name, typeOf(key.family)).SetEdns0(dns.DefaultMsgSize, false)
	c := dns.Client{UDPSize: dns.DefaultMsgSize}
	r, _, err := c.ExchangeContext(ctx, m, addr)
	if err == nil && r.Truncated {
		c.Net = "tcp"
		r, _, err = c.ExchangeContext(ctx, m, addr)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("resolver %s: %w", addr, shortened(err))
	case !answers(r, m):
		return nil, fmt.Errorf("resolver %s: answered another question", addr)
	case r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("resolver %s: %s", addr, dns.RcodeToString[r.Rcode])
	}
	return r, nil
}

// shortened leaves the addresses of sockets out of an error, which differ from time to time.
func shortened(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func answers(r, m *dns.Msg) bool {
	return r.Response && len(r.Question) == 1 && strings.EqualFold(r.Question[0].Name, m.Question[0].Name) &&
		r.Question[0].Qtype == m.Question[0].Qtype
}

// addressesIn returns the addresses of an answer, and the least TTL of its records; of one that has none, how long that
// holds (RFC 2308 section 5).
func addressesIn(m *dns.Msg, family steer.Family) (addrs []netip.Addr, ttl uint32) {
	ttl = maxTargetTTL
	for _, rr := range m.Answer {
		ttl = min(ttl, rr.Header().Ttl)
		a, ok := addressOf(rr)
		if ok && rr.Header().Rrtype == typeOf(family) && store.CheckAddress(a) == nil && len(addrs) < steer.MaxAddresses {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) > 0 {
		return addrs, ttl
	}
	ttl = min(ttl, 60)
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			ttl = min(ttl, soa.Hdr.Ttl, soa.Minttl)
		}
	}
	return nil, ttl
}
