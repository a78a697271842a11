package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// tend gives signs of life of the work that was handed out here, and takes over that of brokers that gave none.
func (q *Queue) tend(ctx context.Context) {
	for pause(ctx, aliveEvery) {
		timed, cancel := context.WithTimeout(ctx, ioTimeout)
		for n := range Shards {
			q.live(timed, n)
		}
		cancel()
		for n := range Shards {
			if q.inherit(ctx, n) != nil {
				break // reading says that the database is lost
			}
		}
	}
}

// live keeps what is being worked on from being handed to another broker.
func (q *Queue) live(ctx context.Context, shard int) {
	q.mu.Lock()
	open := slices.Collect(maps.Keys(q.open[shard]))
	q.mu.Unlock()
	for ids := range slices.Chunk(open, 1000) {
		_ = q.client.db.XClaimJustID(ctx, &redis.XClaimArgs{
			Stream: requestsKey(q.client.prefix, shard), Group: group, Consumer: q.consumer, Messages: ids,
		}).Err()
	}
}

// inherit takes over the work of the dead, and forgets brokers that are long gone.
func (q *Queue) inherit(ctx context.Context, shard int) error {
	timed, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	key := requestsKey(q.client.prefix, shard)
	idle, err := q.client.db.XPendingExt(timed, &redis.XPendingExtArgs{
		Stream: key, Group: group, Idle: deadAfter, Start: "-", End: "+", Count: takeCount,
	}).Result()
	if err != nil && !redis.HasErrorPrefix(err, "NOGROUP") {
		return err
	}
	var dead []string
	for _, p := range idle {
		if !q.holds(shard, p.ID) {
			dead = append(dead, p.ID)
		}
	}
	if len(dead) == 0 {
		return q.bury(timed, key)
	}
	entries, err := q.client.db.XClaim(timed, &redis.XClaimArgs{
		Stream: key, Group: group, Consumer: q.consumer, MinIdle: deadAfter, Messages: dead,
	}).Result()
	if err != nil {
		return err
	}
	return q.take(ctx, shard, entries)
}

// holds says whether an entry is being worked on here.
func (q *Queue) holds(shard int, entry string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, ok := q.open[shard][entry]
	return ok
}

// bury forgets brokers that have nothing to do, and were not heard of for long.
func (q *Queue) bury(ctx context.Context, key string) error {
	all, err := q.client.db.XInfoConsumers(ctx, key, group).Result()
	if err != nil {
		return nil // there is no group yet
	}
	for _, c := range all {
		if c.Name != q.consumer && c.Pending == 0 && time.Duration(c.Idle) > oldBroker {
			if err := q.client.db.XGroupDelConsumer(ctx, key, group, c.Name).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}
