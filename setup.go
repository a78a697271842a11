// Package farm is a CoreDNS plugin that answers a lookup of a service with the servers that should take the client now:
// it consults a services database, which the servers keep current with their own load, and steers by it.
package farm

import (
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
	c.OnStartup(func() error { return f.start(dnsserver.GetConfig(c)) })
	c.OnShutdown(f.stop)
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		f.Next = next
		return f
	})
	return nil
}
