package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/steer"
)

// saying is what stands in a hash of one field a replica.
type saying struct {
	values map[string]string // by replica
	err    error             // if it is no such hash
	lost   error             // if it could not be read
}

// fetchLearned reads what the replicas said of some services of one shard.
func fetchLearned(ctx context.Context, db redis.UniversalClient, prefix string, services []string) ([]saying, error) {
	keys := make([]string, len(services))
	for i, name := range services {
		keys[i] = learnedKey(prefix, name)
	}
	said := fetchSayings(ctx, db, keys)
	for i := range said {
		if said[i].lost != nil {
			return nil, fmt.Errorf("%s: %w", clip(keys[i]), said[i].lost)
		}
	}
	return said, nil
}

// fetchSayings reads hashes in one pipeline, except for the rest of the large ones.
func fetchSayings(ctx context.Context, db redis.UniversalClient, keys []string) []saying {
	cmds := make([]*redis.ScanCmd, len(keys))
	_, _ = db.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its error
		for i, key := range keys {
			cmds[i] = p.HScan(ctx, key, 0, "", maxReplicas)
		}
		return nil
	})
	said := make([]saying, len(keys))
	for i, key := range keys {
		h := &hashScan{key: key, most: maxReplicas}
		values, err := h.values(ctx, db, cmds[i])
		switch {
		case err == nil:
			said[i].values = values
		case isWrongType(err):
			said[i].err = bad("type", "%s", clip(err.Error()))
		case reasonOf(err) == "count":
			said[i].err = err
		default:
			said[i].lost = err
		}
	}
	return said
}

// values takes the first page and reads the others.
func (h *hashScan) values(ctx context.Context, db redis.UniversalClient, first *redis.ScanCmd) (map[string]string, error) {
	page, cursor, err := first.Result()
	if err == nil {
		err = h.take(page, cursor)
	}
	if err == nil {
		err = h.rest(ctx, db, false)
	}
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(h.pairs)/2)
	for i := 0; i+1 < len(h.pairs); i += 2 {
		values[h.pairs[i]] = h.pairs[i+1]
	}
	return values, nil
}

// read returns what is young enough to be believed, the youngest first. bad is called for each value that is not what it
// should be.
func (s saying) read(now int64, bad func(replica, value string, why error)) (all []*learned) {
	if s.err != nil {
		bad("", s.err.Error(), s.err)
	}
	for name, value := range s.values {
		l, err := decodeLearned(value)
		if err != nil {
			bad(name, value, err)
			continue
		}
		if l.by = name; l.stands(now) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, younger)
	return all
}

// hear takes what the replicas said of a service: capacities into this one, loads into the views. What it said itself is
// news only if it has just been started. offset is Redis's clock less the store's.
func (x *sharing) hear(service string, said saying, offset int64, views []*View) {
	s := x.store
	all := said.read(s.now()+offset, func(replica, value string, why error) { x.reject(learnedRecord(service, replica), value, why) })
	if x.heard[service] {
		all = slices.DeleteFunc(all, func(l *learned) bool { return l.by == x.name })
	}
	x.heard[service] = true
	s.adopt(service, all)
	for _, v := range views {
		if f := v.Load().Farm(service); f == nil || f.Service.Policy != steer.Predict {
			continue
		}
		for _, l := range all {
			if len(l.Loads) > 0 {
				v.mail.put(Shared{Service: service, Loads: l.Loads, At: l.At - offset})
			}
		}
	}
}

// adopt has the replica take capacities over.
func (s *Store) adopt(service string, all []*learned) {
	s.mu.Lock()
	adopted := false
	for _, l := range all {
		adopted = s.replica.adopt(service, l.Capacity) || adopted
	}
	s.mu.Unlock()
	if adopted {
		s.wakeUp()
	}
}

// learnedRecord names what a replica said, for those who look at what was rejected.
func learnedRecord(service, replica string) record {
	return record{kind: "learned", svc: service, id: replica}
}
