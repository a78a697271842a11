package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
)

// entitleLoop follows the keys and handles of the database. It says nothing of a database that is away: the readers do.
func (s *Store) entitleLoop(ctx context.Context) {
	db := s.readers[0].db
	told := false
	for retries := 0; ctx.Err() == nil; retries++ {
		began := time.Now()
		err := s.followEntitled(ctx, db)
		if redis.HasErrorPrefix(err, "NOPERM") && !told {
			told = true
			s.cfg.Logger.info("store %s: cannot read keys and handles: %s", s.client, clip(err.Error()))
		}
		if time.Since(began) > calmAfter {
			retries = 0
		}
		pause(ctx, backoff(retries))
	}
}

// followEntitled reads everything, and follows the stream until it does not go on, or until it is time to read anew.
func (s *Store) followEntitled(ctx context.Context, db redis.UniversalClient) error {
	timed, cancel := context.WithTimeout(ctx, readTime)
	d, err := s.fetchEntitled(timed, db)
	cancel()
	if err != nil {
		return err
	}
	s.entitled.load(d, s.now())
	last, checked := d.last, time.Now()
	for end := checked.Add(readEvery + rand.N(readEvery/5)); ctx.Err() == nil && time.Now().Before(end); {
		if last, err = s.readEntitled(ctx, db, last); err != nil {
			return err
		}
		if time.Since(checked) < checkEvery {
			continue
		}
		checked = time.Now()
		if err := s.checkEntitled(ctx, db); err != nil {
			return err
		}
	}
	return nil
}

// fetchEntitled reads all keys and handles.
func (s *Store) fetchEntitled(ctx context.Context, db redis.UniversalClient) (*entitled, error) {
	at := EntitleKeys(s.cfg.Prefix)
	place, err := fetchPlace(ctx, db, at[0], at[1])
	if err != nil {
		return nil, err
	}
	d := &entitled{epoch: place.epoch, rev: place.rev, last: place.last, handles: make(map[qos.HandleID]*qos.HandleRecord)}
	if d.keys, d.bad, err = s.fetchKeys(ctx, db); err != nil {
		return nil, err
	}
	pairs, err := scanHash(ctx, db, at[3], maxHandles)
	if err != nil {
		return nil, fmt.Errorf("handles: %w", err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		id, rec, err := decodeHandle(pairs[i], pairs[i+1])
		if err != nil {
			d.bad = append(d.bad, s.rejectEntitled(kindHandle, pairs[i], err))
			continue
		}
		d.handles[id] = &rec
	}
	return d, nil
}

func (s *Store) fetchKeys(ctx context.Context, db redis.UniversalClient) (keys map[uint8]qos.Key, bad []record, err error) {
	pairs, err := scanHash(ctx, db, EntitleKeys(s.cfg.Prefix)[2], qos.MaxKeys)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	keys = make(map[uint8]qos.Key)
	for i := 0; i+1 < len(pairs); i += 2 {
		k, err := decodeKey(pairs[i], pairs[i+1])
		if err != nil {
			bad = append(bad, s.rejectEntitled(kindKey, pairs[i], err))
			continue
		}
		keys[k.ID] = k
	}
	return keys, bad, nil
}

// rejectEntitled counts a bad record.
func (s *Store) rejectEntitled(kind, id string, why error) record {
	rec := record{kind: kind, id: id}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica.reject(rec, s.now(), why)
	return rec
}

// readEntitled waits for changes and applies them. It returns from where to go on.
func (s *Store) readEntitled(ctx context.Context, db redis.UniversalClient, last string) (string, error) {
	timed, cancel := context.WithTimeout(ctx, blockTime+ioTimeout)
	defer cancel()
	got, err := db.XRead(timed, &redis.XReadArgs{
		Streams: []string{EntitleKeys(s.cfg.Prefix)[1], last}, Count: readCount, Block: blockTime,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return last, fmt.Errorf("follow: %w", err)
	}
	anew := false
	for i := range got {
		for _, m := range got[i].Messages {
			e, err := parseEntry(m.Values)
			if err != nil {
				return last, err
			}
			next, err := s.entitled.step(&e)
			if err != nil {
				return last, err
			}
			last = m.ID
			if next && e.kind == kindKey {
				anew = true
			} else if next {
				s.applyHandle(&e)
			}
		}
	}
	if anew {
		err = s.applyKeys(timed, db)
		return last, err
	}
	return last, nil
}

// applyKeys reads the keys anew: the stream does not carry them.
func (s *Store) applyKeys(ctx context.Context, db redis.UniversalClient) error {
	keys, bad, err := s.fetchKeys(ctx, db)
	if err == nil {
		s.entitled.setKeys(keys, bad)
	}
	return err
}

func (s *Store) applyHandle(e *entry) {
	if e.kind != kindHandle {
		s.rejectEntitled(e.kind, e.id, bad("entry", "kind %q: expected key or handle", clip(e.kind)))
		return
	}
	if e.del {
		if id, err := qos.ParseHandleID(e.id); err == nil {
			s.entitled.setHandle(id, nil)
		}
		return
	}
	id, rec, err := decodeHandle(e.id, e.data)
	if err != nil {
		s.rejectEntitled(kindHandle, e.id, err)
		return
	}
	s.entitled.setHandle(id, &rec)
}

// checkEntitled compares the revision with the database's: a flush is not seen in a stream that stays silent. A revision
// that is ahead is on its way.
func (s *Store) checkEntitled(ctx context.Context, db redis.UniversalClient) error {
	timed, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	vals, err := db.HMGet(timed, EntitleKeys(s.cfg.Prefix)[0], "epoch", "rev").Result()
	if err != nil {
		return fmt.Errorf("revision: %w", err)
	}
	epoch, rev, err := placeOf(vals)
	if err != nil {
		return err
	}
	if at, mine := s.entitled.place(); epoch != at && at != 0 || rev < mine {
		return errGap
	}
	return nil
}
