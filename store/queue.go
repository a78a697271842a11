package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
)

// Queue hands a broker what elements have to hear of: requests, grants that go on, grants that are over. Every piece of work
// is handed to one broker, and to another one if that one dies before it has acknowledged it. Queues that are lost with the
// database are made up for by reconciling: Client.Grants lists what is there.
type Queue struct {
	client   *Client
	db       redis.UniversalClient // blocking reads hold a connection, so it is the queue's own
	consumer string
	work     chan taken
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu   sync.Mutex
	open [Shards]map[string]struct{} // entries that were handed out and not acknowledged
}

// Work is one grant that an element has to hear of. What there is to do, its State tells: ask for a request, let one that
// stands go on until its End, release one that is final or has no network part (any more).
type Work struct {
	Grant qos.Grant // as it stands now; times are Redis's
	Known bool      // whether the database has it; else only Service and ID are set
	entry string
}

// taken is what a read gave.
type taken struct {
	work []Work
	err  error
}

// Times and names of queues.
const (
	group      = "broker"
	aliveEvery = 3 * time.Second  // between signs of life of what is being worked on
	deadAfter  = 10 * time.Second // without one, work is handed to another broker
	takeCount  = 64               // pieces of work of a shard in one read
	oldBroker  = time.Hour        // after which a broker that has nothing to do is forgotten
)

// Requests opens the queue for a broker. Its name is that of this broker: what a broker of the same name left undone, it is
// handed first. It does not wait for Redis. Close it before the Client.
func (c *Client) Requests(consumer string) (*Queue, error) {
	if consumer == "" || len(consumer) > maxText || !printable(consumer) {
		return nil, fmt.Errorf("queue: broker %q: expected a printable name", clip(consumer))
	}
	db, err := c.target.open(func(o *redis.UniversalOptions) {
		o.PoolSize = 2 * Shards
		o.MaxRetries = -1
	})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	q := &Queue{client: c, db: db, consumer: consumer, work: make(chan taken), stop: stop}
	for i := range q.open {
		q.open[i] = make(map[string]struct{})
	}
	for _, shards := range q.reads() {
		q.running.Go(func() { q.read(ctx, shards) })
	}
	q.running.Go(func() { q.tend(ctx) })
	return q, nil
}

// reads says which shards one blocking read follows: all, or one on Cluster.
func (q *Queue) reads() [][]int {
	all := make([]int, Shards)
	for i := range all {
		all[i] = i
	}
	if _, cluster := q.db.(*redis.ClusterClient); cluster {
		return slices.Collect(slices.Chunk(all, 1))
	}
	return [][]int{all}
}

// Close stops taking work. What was not acknowledged is handed to another broker, or to the next of this name.
func (q *Queue) Close() error {
	q.stop()
	err := q.db.Close() // wakes blocked reads
	q.running.Wait()
	return err
}

// Take waits for work. An error means that the database cannot be read; Take again, it tries on by itself.
func (q *Queue) Take(ctx context.Context) ([]Work, error) {
	select {
	case t := <-q.work:
		return t.work, q.client.wrap("queue", t.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Ack acknowledges work that is done, or that is not to be done again.
func (q *Queue) Ack(ctx context.Context, w Work) error {
	ctx, cancel := deadline(ctx, ioTimeout)
	defer cancel()
	n := Shard(w.Grant.Service)
	err := q.client.db.XAck(ctx, requestsKey(q.client.prefix, n), group, w.entry).Err()
	if err == nil {
		q.mu.Lock()
		delete(q.open[n], w.entry)
		q.mu.Unlock()
	}
	return q.client.wrap("queue", err)
}

// Answer writes what an element has answered: g is the grant as it was read, with its new State and, where there are any,
// Reason, Detail, Session and End (on Redis's clock; 0, or as it was: as asked); Offer, if a lower one was granted; no
// Network, if the element has refused that and the level can do without. It returns false if the grant has changed since it
// was read, or is over: read it anew, and have the element release what is not wanted any more.
func (q *Queue) Answer(ctx context.Context, service string, g qos.Grant) (bool, error) {
	c := q.client
	if err := checkNames(service); err != nil {
		return false, err
	}
	data, err := json.Marshal(&g)
	if err != nil {
		return false, fmt.Errorf("grant %s of %s: %w", g.ID, service, err)
	}
	got, err := c.runOn(ctx, scriptGrant, GrantKeys(c.prefix, service), service, "answer", string(data))
	return got.status == "OK", err
}

// Sweep has grants end whose time is over. Call it every second or so; it does no harm that several brokers do.
func (q *Queue) Sweep(ctx context.Context) (int, error) { return q.client.SweepGrants(ctx) }

// read hands out work until ctx ends: first what this broker was handed before.
func (q *Queue) read(ctx context.Context, shards []int) {
	from := make(map[int]string, len(shards)) // "" is that the group may have to be made; ">" is what is new
	for retries := 0; ctx.Err() == nil; {
		err := q.readOnce(ctx, shards, from)
		if err == nil || ctx.Err() != nil {
			retries = 0
			continue
		}
		clear(from)
		if !redis.HasErrorPrefix(err, "NOGROUP") { // the database was flushed: the group is made again
			q.hand(ctx, taken{err: err})
		}
		pause(ctx, backoff(retries))
		retries++
	}
}

func (q *Queue) hand(ctx context.Context, t taken) {
	select {
	case q.work <- t:
	case <-ctx.Done():
	}
}

func (q *Queue) readOnce(ctx context.Context, shards []int, from map[int]string) error {
	if err := q.join(ctx, shards, from); err != nil {
		return err
	}
	streams, ids := make([]string, 0, 2*len(shards)), make([]string, 0, len(shards))
	byKey := make(map[string]int, len(shards))
	for _, n := range shards {
		key := requestsKey(q.client.prefix, n)
		byKey[key] = n
		streams, ids = append(streams, key), append(ids, from[n])
	}
	timed, cancel := context.WithTimeout(ctx, blockTime+ioTimeout)
	defer cancel()
	got, err := q.db.XReadGroup(timed, &redis.XReadGroupArgs{
		Group: group, Consumer: q.consumer, Streams: append(streams, ids...), Count: takeCount, Block: blockTime,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	own := maps.Clone(from)
	for n := range from {
		from[n] = ">"
	}
	for _, stream := range got {
		n := byKey[stream.Stream]
		if own[n] != ">" {
			from[n] = nextOwn(stream.Messages)
		}
		if err := q.take(ctx, n, stream.Messages); err != nil {
			return err
		}
	}
	return nil
}

// nextOwn returns from where what this broker was handed before goes on.
func nextOwn(page []redis.XMessage) string {
	if len(page) < takeCount {
		return ">"
	}
	return page[len(page)-1].ID
}

// join makes the group where there is none, and starts with what this broker was handed before.
func (q *Queue) join(ctx context.Context, shards []int, from map[int]string) error {
	for _, n := range shards {
		if from[n] != "" {
			continue
		}
		timed, cancel := context.WithTimeout(ctx, ioTimeout)
		err := q.db.XGroupCreateMkStream(timed, requestsKey(q.client.prefix, n), group, "0").Err()
		cancel()
		if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
			return err
		}
		from[n] = "0"
	}
	return nil
}

// take reads the grants of entries and hands them out, but for those that are being worked on here.
func (q *Queue) take(ctx context.Context, shard int, entries []redis.XMessage) error {
	entries = slices.DeleteFunc(entries, func(e redis.XMessage) bool { return q.holds(shard, e.ID) })
	work, err := q.lookUp(ctx, shard, entries)
	if err != nil || len(work) == 0 {
		return err
	}
	q.mu.Lock()
	for _, w := range work {
		q.open[shard][w.entry] = struct{}{}
	}
	q.mu.Unlock()
	q.hand(ctx, taken{work: work})
	return nil
}

// lookUp reads the grants. Entries that say nothing of use are acknowledged here.
func (q *Queue) lookUp(ctx context.Context, shard int, entries []redis.XMessage) (work []Work, err error) {
	timed, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	var useless []string
	cmds := make([]*redis.StringCmd, 0, len(entries))
	_, err = q.client.db.Pipelined(timed, func(p redis.Pipeliner) error {
		for _, e := range entries {
			service, id, ok := entryOf(e, shard)
			if !ok {
				useless = append(useless, e.ID)
				continue
			}
			work = append(work, Work{Grant: qos.Grant{Service: service, ID: id}, entry: e.ID})
			cmds = append(cmds, p.HGet(timed, GrantKeys(q.client.prefix, service)[6], id.String()))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	for i := range work {
		w := &work[i]
		if rec, err := decodeGrant(w.Grant.Service, w.Grant.ID.String(), cmds[i].Val()); err == nil {
			w.Grant, w.Known = rec.Grant, true
		}
	}
	if len(useless) > 0 {
		err = q.client.db.XAck(timed, requestsKey(q.client.prefix, shard), group, useless...).Err()
		return work, err
	}
	return work, nil
}

// entryOf reads an entry of the queue. One that is acknowledged or trimmed has no fields.
func entryOf(e redis.XMessage, shard int) (service string, id qos.GrantID, ok bool) {
	service, _ = e.Values["svc"].(string)
	text, _ := e.Values["id"].(string)
	ok = CheckServiceName(service) == nil && Shard(service) == shard && id.UnmarshalText([]byte(text)) == nil
	return service, id, ok
}
