package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// Times of a reader.
const (
	blockTime  = time.Second      // of one blocking read
	checkEvery = 5 * time.Second  // between looks at the revisions
	readEvery  = 5 * time.Minute  // between complete reads, plus up to a fifth
	readTime   = 60 * time.Second // for one complete read
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
	calmAfter  = 10 * time.Second // without a gap
	readCount  = 1000             // entries of one stream in one read
	readPause  = time.Millisecond // after a read, which costs both sides the same for one entry as for many
)

// reader follows the streams of some shards with one blocking read: all shards, or one on Cluster, where a read cannot
// span slots. It belongs to one goroutine.
type reader struct {
	store  *Store
	db     redis.UniversalClient // blocking reads hold a connection, so it is the readers' own
	shards []*tail
	check  time.Time // when the revisions were last looked at
}

// tail is a reader's place in one shard.
type tail struct {
	shard   int
	last    string    // stream id
	synced  bool      // else it is to be read anew at due
	due     time.Time // of the next complete read
	retries int
	gaps    int       // one soon after the other
	gapAt   time.Time // the last of them
	seen    uint64    // revision that the database had at the last look
}

func newReaders(s *Store, t *Target) ([]*reader, error) {
	db, err := t.open(func(o *redis.UniversalOptions) {
		o.PoolSize = 2 * Shards // one blocked read a shard on a single node of a Cluster, and room for complete reads
		o.MaxRetries = -1       // the reader's own back-off is the better one
	})
	if err != nil {
		return nil, err
	}
	if _, cluster := db.(*redis.ClusterClient); !cluster {
		r := &reader{store: s, db: db}
		for i := range Shards {
			r.shards = append(r.shards, &tail{shard: i})
		}
		return []*reader{r}, nil
	}
	readers := make([]*reader, Shards)
	for i := range readers {
		readers[i] = &reader{store: s, db: db, shards: []*tail{{shard: i}}}
	}
	return readers, nil
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := r.readDue(ctx)
		if !r.anySynced() {
			pause(ctx, wait)
			continue
		}
		if err := r.read(ctx, min(wait, blockTime)); err != nil && ctx.Err() == nil {
			r.lose(err)
			continue
		}
		r.checkRevisions(ctx)
		pause(ctx, readPause)
	}
}

func (r *reader) anySynced() bool {
	for _, t := range r.shards {
		if t.synced {
			return true
		}
	}
	return false
}

// readDue reads the shards that are due completely, and returns how long it is until the next is. When nobody answers,
// one shard is enough to find out: the others wait with it.
func (r *reader) readDue(ctx context.Context) time.Duration {
	now := time.Now()
	for _, t := range r.shards {
		if now.Before(t.due) {
			continue
		}
		if err := r.readAnew(ctx, t); IsUnreachable(err) {
			r.postpone(t.due)
			break
		}
	}
	wait := readEvery
	for _, t := range r.shards {
		wait = min(wait, time.Until(t.due))
	}
	return max(wait, time.Millisecond)
}

// postpone has no shard read before due.
func (r *reader) postpone(due time.Time) {
	for _, t := range r.shards {
		if t.due.Before(due) {
			t.due = due
		}
	}
}

// readAnew reads one shard completely.
func (r *reader) readAnew(ctx context.Context, t *tail) error {
	timed, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	began := time.Now()
	d, err := fetchShard(timed, r.db, r.store.cfg.Prefix, t.shard, r.store.known(t.shard))
	if ctx.Err() != nil {
		return nil // closed: whatever the error, it is no news
	}
	if err != nil {
		r.loseShard(t, err)
		return err
	}
	t.last, t.synced, t.retries, t.seen = d.last, true, 0, d.rev
	t.due = time.Now().Add(readEvery + rand.N(readEvery/5))
	d.now += time.Since(began).Milliseconds() // the time was read first
	r.store.loaded(t.shard, d)
	return nil
}

// lose takes an error that may concern every shard.
func (r *reader) lose(err error) {
	for _, t := range r.shards {
		if t.synced {
			r.loseShard(t, err)
		}
	}
}

// loseShard stops following a shard: what was read of it stands, and it is read anew soon.
func (r *reader) loseShard(t *tail, err error) {
	t.synced = false
	t.due = time.Now().Add(backoff(t.retries))
	t.retries++
	r.store.lost(t.shard, err)
}

// backoff grows up to lastRetry, and is spread so that not everybody comes back at once.
func backoff(retries int) time.Duration {
	d := min(firstRetry<<min(retries, 10), lastRetry)
	return d/2 + rand.N(d/2)
}

// read waits for changes and applies them.
func (r *reader) read(ctx context.Context, block time.Duration) error {
	var streams, ids []string
	byKey := make(map[string]*tail, len(r.shards))
	for _, t := range r.shards {
		if t.synced {
			key := streamKey(r.store.cfg.Prefix, t.shard)
			byKey[key] = t
			streams, ids = append(streams, key), append(ids, t.last)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, block+ioTimeout)
	defer cancel()
	got, err := r.db.XRead(ctx, &redis.XReadArgs{
		Streams: append(streams, ids...), Count: readCount, Block: max(block, time.Millisecond),
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("follow: %w", err)
	}
	heard := make([]int, 0, len(byKey))
	for _, t := range byKey {
		heard = append(heard, t.shard)
	}
	r.store.heard(heard)
	for i := range got {
		if t := byKey[got[i].Stream]; t != nil {
			r.follow(t, got[i].Messages)
		}
	}
	return nil
}

// follow applies the entries of one shard, or has it read anew.
func (r *reader) follow(t *tail, messages []redis.XMessage) {
	entries := make([]entry, 0, len(messages))
	for i := range messages {
		e, err := parseEntry(messages[i].Values)
		if err != nil {
			r.again(t, err)
			return
		}
		e.at = timeOfID(messages[i].ID)
		entries = append(entries, e)
		t.last = messages[i].ID
	}
	if err := r.store.follow(t.shard, entries); err != nil {
		r.again(t, err)
	}
}

// again has a shard read anew: at once, but not again and again for a stream that somebody fills with garbage.
func (r *reader) again(t *tail, why error) {
	now := time.Now()
	if now.Sub(t.gapAt) > calmAfter {
		t.gaps = 0
	}
	t.synced, t.due, t.gapAt = false, now, now
	if t.gaps > 0 {
		t.due = now.Add(backoff(t.gaps))
	}
	t.gaps++
	r.store.gap(t.shard, why)
}

// checkRevisions compares the revisions with the database's now and then: a flush, and entries that were removed, are
// not seen in a stream that stays silent.
func (r *reader) checkRevisions(ctx context.Context) {
	if time.Since(r.check) < checkEvery {
		return
	}
	r.check = time.Now()
	timed, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	for _, t := range r.shards {
		if !t.synced {
			continue
		}
		if err := r.checkRevision(timed, t); err != nil {
			if ctx.Err() == nil {
				r.loseShard(t, err)
			}
			return
		}
	}
}

// checkRevision returns an error if the revision cannot be read.
func (r *reader) checkRevision(ctx context.Context, t *tail) error {
	vals, err := r.db.HMGet(ctx, revKey(r.store.cfg.Prefix, t.shard), "epoch", "rev").Result()
	if err != nil {
		return fmt.Errorf("shard %02d: revision: %w", t.shard, err)
	}
	epoch, rev, err := placeOf(vals)
	if err != nil {
		return fmt.Errorf("shard %02d: %w", t.shard, err)
	}
	if err := r.store.compare(t, epoch, rev); err != nil {
		r.again(t, err)
	}
	return nil
}
