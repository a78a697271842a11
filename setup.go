// Package farm is a CoreDNS plugin that answers a lookup of a service with the servers that should take the client now:
// it consults a services database, which the servers keep current with their own load, and steers by it.
package farm

import (
	"github.com/coredns-farm/farm/denial"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	clog "github.com/coredns/coredns/plugin/pkg/log"
)

const pluginName = "farm"

var log = clog.NewWithPlugin(pluginName)

func init() { plugin.Register(pluginName, setup) }

// setup opens nothing: what runs is started by OnStartup, when every block of the Corefile is known to be good.
func setup(c *caddy.Controller) error {
	conf, err := parse(c)
	if err != nil {
		return plugin.Error(pluginName, err)
	}
	f := newFarm(conf)
	proofs := denial.Protect(dnsserver.GetConfig(c))
	c.OnStartup(func() error { warnOfProofs(proofs, conf.zones); return nil })
	c.OnStartup(func() error { return f.start(dnsserver.GetConfig(c)) })
	c.OnShutdown(f.stop)
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		f.Next = next
		return f
	})
	return nil
}

// warnOfProofs says so when dnssec signs the zones with proofs of its own.
func warnOfProofs(proofs *denial.Block, zones []string) {
	if err := proofs.Check(zones); err != nil {
		log.Warningf("dnssec in the same server block makes proofs that are not safe to rely on: %v. Take it out, or see docs/dnssec.md", err)
	}
}
