package store

import (
	"hash/maphash"

	"github.com/redis/go-redis/v9"
)

// peers is what exchanges with other replicas have in common, whatever is exchanged. It belongs to one goroutine.
type peers struct {
	store *Store
	name  string // of this replica

	seed    maphash.Seed
	garbage map[string]uint64 // hashes of bad values, by record: each value is counted once
}

func newPeers(s *Store) peers {
	return peers{store: s, name: nodeName(), seed: maphash.MakeSeed(), garbage: make(map[string]uint64)}
}

// reject counts a bad value, once.
func (p *peers) reject(rec record, value string, why error) {
	key, sum := rec.svc+" "+rec.id, maphash.String(p.seed, value)
	if p.garbage[key] == sum {
		return
	}
	if len(p.garbage) >= maxRound {
		clear(p.garbage)
	}
	p.garbage[key] = sum
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.replica.reject(rec, p.store.now(), why)
}

// isRefused reports whether a write was refused, to this user or by a replica of Redis. That may end.
func isRefused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "READONLY")
}
