package linux

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/qos/element"
)

// pair is one direction of a grant: the packets from one address to the other.
type pair struct{ from, to netip.Addr }

// flow is what a pair is given.
type flow struct {
	link  int    // index of Config.Links
	rate  uint32 // kbit/s that are guaranteed; 0: its packets are marked, no more
	delay uint16 // ms that its packets may wait here; 0 is not said
	dscp  uint8  // 0 leaves it as it is
	until int64  // ms since 1970
}

// holding is what one grant holds: at most one flow in each direction.
type holding map[pair]flow

// book holds what is granted. It is the intent; state is what the kernel has of it.
type book map[element.GrantOf]holding

// refusal is why a grant cannot be held; its text is for people.
type refusal string

func (r refusal) Error() string { return string(r) }

// flows makes a grant's holding; route picks the link that leads to an address, among those toward clients or servers.
func flows(g *qos.Grant, until int64, route func(toward string, to netip.Addr) (int, error)) (holding, error) {
	client, server := g.ClientAddr.Unmap(), g.ServerAddr.Unmap()
	switch {
	case !client.IsValid() || !server.IsValid():
		return nil, refusal("the addresses of client and server are not known")
	case client.Is4() != server.Is4() || client.Zone() != "" || server.Zone() != "":
		return nil, refusal("client and server have no addresses of one family")
	case g.Up == 0 && g.Down == 0 && g.DSCP == 0:
		return nil, refusal("the level asks for no rate and no DSCP: there is nothing to grant here")
	case g.Up == 0 && g.Down == 0 && g.Delay > 0:
		return nil, refusal("the level asks for a delay without a rate")
	case g.DSCP > 63:
		return nil, refusal("the level's DSCP is above 63")
	}
	h := make(holding, 2)
	for _, way := range []struct {
		pair
		toward string
		rate   uint32
	}{{pair{client, server}, TowardServers, g.Up}, {pair{server, client}, TowardClients, g.Down}} {
		f := flow{link: -1, rate: way.rate, delay: g.Delay, dscp: g.DSCP, until: until}
		if f.rate > 0 {
			var err error
			if f.link, err = route(way.toward, way.to); err != nil {
				return nil, err
			}
		}
		if f.rate > 0 || f.dscp > 0 {
			h[way.pair] = f
		}
	}
	return h, nil
}

// wants folds the book into what the kernel must have. Clients behind one address share what they are granted to one
// server: the sum of the rates, the shortest delay, the highest DSCP, until the last of them ends.
func (b book) wants() map[pair]flow {
	want := make(map[pair]flow, 2*len(b))
	for _, h := range b {
		for p, f := range h {
			w, shared := want[p]
			if !shared {
				want[p] = f
				continue
			}
			w.link = max(w.link, f.link)
			w.rate += f.rate
			w.delay = min(cmp.Or(w.delay, f.delay), cmp.Or(f.delay, w.delay))
			w.dscp = max(w.dscp, f.dscp)
			w.until = max(w.until, f.until)
			want[p] = w
		}
	}
	return want
}

// prune forgets the grants that have ended.
func (b book) prune(now int64) {
	for id, h := range b {
		for _, f := range h {
			if f.until <= now {
				delete(b, id)
			}
		}
	}
}

// admit says whether a grant's holding fits beside what others hold, and why not.
func (b book) admit(cfg *Config, id element.GrantOf, h holding) error {
	asked := make(map[int]uint64)
	for _, f := range h {
		if f.rate > 0 {
			asked[f.link] += uint64(f.rate)
		}
	}
	for link, rate := range asked {
		left := cfg.grantable(link)
		for other, held := range b {
			for _, f := range held {
				if other != id && f.rate > 0 && f.link == link {
					left -= min(left, uint64(f.rate))
				}
			}
		}
		if rate > left {
			return refusal(fmt.Sprintf("%d kbit/s are left on %s, %d are asked for", left, cfg.Links[link].Interface, rate))
		}
	}
	if _, known := b[id]; !known && len(b) >= maxHeld {
		return refusal(fmt.Sprintf("%d grants are held already", maxHeld))
	}
	return nil
}

// maxHeld bounds the grants: each has at most two of the 65,535 classes that a qdisc can have, and some may be on their
// way out.
const maxHeld = 10_000
