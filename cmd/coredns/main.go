// Command coredns is CoreDNS with the farm plugin compiled in.
package main

import (
	"log"

	"github.com/coredns-farm/farm"
	"github.com/coredns-farm/farm/plugin"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	if err := dnsserver.SetDirectives(plugin.Directives); err != nil {
		log.Fatal(err)
	}
	caddy.AppVersion += ", " + farm.Version() // -version and the line at the start say both
	coremain.Run()
}
