// Command coredns is CoreDNS with the farm plugin compiled in.
package main

import (
	"log"

	_ "github.com/coredns-farm/farm"
	"github.com/coredns-farm/farm/plugin"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	if err := dnsserver.SetDirectives(plugin.Directives); err != nil {
		log.Fatal(err)
	}
	coremain.Run()
}
