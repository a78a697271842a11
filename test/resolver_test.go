package test

import (
	"fmt"
	"testing"
)

// resolver is a caching resolver with the clients that ask it. The name server sees it under an address of its own.
type resolver struct {
	*coredns
	clients int
}

// startResolvers starts a resolver for each number of clients.
func startResolvers(t testing.TB, farm string, clients []int) []*resolver {
	t.Helper()
	var all []*resolver
	for i, n := range clients {
		c := startCoreDNS(t, fmt.Sprintf(`example.org:PORT {
    bind 127.0.0.1
    errors
    cache
    forward . %s {
        source_address 127.0.1.%d
    }
}
`, farm, i+1))
		all = append(all, &resolver{c, n})
	}
	return all
}
