package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// farm is the servers of some services, spread evenly: server i serves service i modulo services.
type farm struct {
	services, servers int
}

const zone = "example.org."

func (f farm) service(i int) string { return fmt.Sprintf("service%d.%s", i%f.services, zone) }

func (f farm) id(i int) string { return fmt.Sprintf("server%d", i/f.services) }

func (f farm) addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// weight is what a server can bear, in a range that every server under measurement takes.
func (f farm) weight(i int) int { return 10 + i%7*15 }

func (f farm) record(i int) steer.Server {
	w := float64(f.weight(i))
	return steer.Server{ID: f.id(i), Addresses: []netip.Addr{f.addr(i)}, Port: 443, Weight: &w, Capacity: 10 * w}
}

// writers is how many calls to the database are under way at once when it is to be kept busy.
const writers = 16

// each calls do for every server, several at a time, and returns the first error.
func (f farm) each(ctx context.Context, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := w; i < f.servers && ctx.Err() == nil; i += writers {
				if err := do(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// register writes every server's record.
func (f farm) register(ctx context.Context, db *database) error {
	return f.each(ctx, func(ctx context.Context, i int) error {
		_, err := db.PutServer(ctx, f.service(i), f.record(i), store.ByAgent)
		return err
	})
}

// questions writes a file of a question for each service, for dnsperf. What stands before a name is the same in each.
func (f farm) questions(l *lab, file, before string) (string, error) {
	var b strings.Builder
	for i := range min(f.services, f.servers) {
		fmt.Fprintf(&b, "%s%s A\n", before, f.service(i))
	}
	return l.write(file, b.String())
}

// zoneFile writes the services as a zone; record says what stands there of each.
func (f farm) zoneFile(l *lab, file string, record func(service int) string) (string, error) {
	var b strings.Builder
	b.WriteString("$ORIGIN " + zone + "\n$TTL 20\n")
	b.WriteString("@ IN SOA ns1 hostmaster 1 7200 1800 259200 20\n@ IN NS ns1\nns1 IN A 127.0.0.1\n")
	for i := range f.services {
		b.WriteString(record(i))
	}
	return l.write(file, b.String())
}

// of calls do for every server of a service.
func (f farm) of(service int, do func(i int)) {
	for i := service; i < f.servers; i += f.services {
		do(i)
	}
}

// shards returns the numbers of the shards that its services are in.
func (f farm) shards() map[int]bool {
	all := make(map[int]bool)
	for i := range min(f.services, f.servers) {
		all[store.Shard(f.service(i))] = true
	}
	return all
}
