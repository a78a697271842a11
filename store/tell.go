package store

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// tell writes what was learned here, and clears away what nobody needs any more. offset is Redis's clock less the store's.
func (x *sharing) tell(ctx context.Context, names []string, said []saying, offset int64) error {
	s := x.store
	_, err := s.client.db.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			value := x.value(name, offset)
			if value == "" || said[i].err != nil {
				continue
			}
			key := learnedKey(s.cfg.Prefix, name)
			p.HSet(ctx, key, x.name, value)
			if old := outlived(said[i].values, x.name, s.now()+offset); len(old) > 0 {
				p.HDel(ctx, key, old...)
			}
			p.PExpire(ctx, key, learnedKept*time.Millisecond)
		}
		return nil
	})
	return x.wrote(err)
}

// value is what this replica says of a service; "" is nothing.
func (x *sharing) value(service string, offset int64) string {
	s := x.store
	l := learned{At: s.now() + offset}
	if mine, ok := x.out[service]; ok {
		l.Loads, l.At = mine.Loads, mine.At+offset
	}
	s.mu.Lock()
	l.Capacity = s.replica.capacities(service)
	s.mu.Unlock()
	return l.encode()
}

// outlived lists the fields of replicas that are gone, and those that nobody can read, but for the one that is written
// now.
func outlived(values map[string]string, own string, now int64) (fields []string) {
	for name, value := range values {
		if l, err := decodeLearned(value); name != own && (err != nil || isOutlived(l.At, now)) {
			fields = append(fields, name)
		}
	}
	return fields
}

// isOutlived says whether nobody needs any more what was written at a time. One far in the future is that of a clock that was
// set back.
func isOutlived(at, now int64) bool { return now-at > learnedKept || at-now > learnedKept }

// wrote notes, and logs, that writing is refused, and returns what else went wrong.
func (x *sharing) wrote(err error) error {
	s := x.store
	refused := isRefused(err)
	if refused && !x.refused {
		s.cfg.Logger.info("store %s: cannot write %s*: other replicas do not hear what this one learns and answers: %s",
			s.client, learnedKey(s.cfg.Prefix, ""), clip(err.Error()))
	}
	x.refused = refused || x.refused && err != nil
	if refused {
		return nil
	}
	return err
}
