package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// record is one record as the database holds it.
type record struct {
	kind, svc, id, data string
}

// dump is all that a shard holds, and the place in its stream from which changes are to be followed. Records may be
// newer than rev; entries that come again carry whole records, so reading them twice does no harm.
type dump struct {
	epoch, rev uint64
	last       string // stream id
	now        int64  // ms, Redis's clock
	edited     int64  // ms, Redis's clock: when the zone was last edited here; 0 is not known
	records    []record
	broken     []record // kind and svc of hashes that are no hashes
}

// fetchShard reads a shard in bounded batches. It looks under the known services too, whether they are listed or not: the
// list may be damaged.
func fetchShard(ctx context.Context, db redis.UniversalClient, prefix string, shard int, known []string) (*dump, error) {
	d, err := fetchPlace(ctx, db, revKey(prefix, shard), streamKey(prefix, shard))
	if err != nil {
		return nil, fmt.Errorf("shard %02d: %w", shard, err)
	}
	services, err := scanHash(ctx, db, servicesKey(prefix, shard), maxServices)
	if err != nil {
		return nil, fmt.Errorf("shard %02d: services: %w", shard, err)
	}
	names := known
	for i := 0; i+1 < len(services); i += 2 {
		d.records = append(d.records, record{kind: kindService, svc: services[i], data: services[i+1]})
		if CheckServiceName(services[i]) == nil && Shard(services[i]) == shard {
			names = append(names, services[i])
		}
	}
	slices.Sort(names)
	names = slices.Compact(names) // HSCAN may name one twice
	// 128 services a batch, four hashes each: a pipeline of some hundred commands.
	for batch := range slices.Chunk(names, 128) {
		if err := fetchServices(ctx, db, prefix, batch, d); err != nil {
			return nil, fmt.Errorf("shard %02d: %w", shard, err)
		}
	}
	return d, nil
}

// fetchPlace reads where a stream stands, at one instant, and the time.
func fetchPlace(ctx context.Context, db redis.UniversalClient, revKey, streamKey string) (*dump, error) {
	var rev *redis.SliceCmd
	var last *redis.XMessageSliceCmd
	_, err := db.TxPipelined(ctx, func(p redis.Pipeliner) error {
		rev = p.HMGet(ctx, revKey, "epoch", "rev", "edited")
		last = p.XRevRangeN(ctx, streamKey, "+", "-", 1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("revision: %w", err)
	}
	now, err := timeOf(ctx, db, revKey)
	if err != nil {
		return nil, fmt.Errorf("time: %w", err)
	}
	d := &dump{last: "0-0", now: now}
	vals := append(rev.Val(), nil, nil, nil)
	d.epoch, d.rev, err = placeOf(vals[:2])
	if edited, ok := vals[2].(string); ok {
		d.edited = timeOfID(edited)
	}
	if m := last.Val(); len(m) > 0 {
		d.last = m[0].ID
	}
	return d, err
}

// placeOf reads epoch and rev; both are absent in an empty shard.
func placeOf(vals []any) (epoch, rev uint64, err error) {
	if len(vals) != 2 {
		return 0, 0, bad("entry", "revision: expected epoch and rev")
	}
	if vals[0] == nil && vals[1] == nil {
		return 0, 0, nil
	}
	e, _ := vals[0].(string)
	r, _ := vals[1].(string)
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	rev, err2 := strconv.ParseUint(r, 10, 64)
	if err1 != nil || err2 != nil || epoch == 0 {
		return 0, 0, bad("entry", "revision: expected numbers in epoch and rev, got %q and %q", clip(e), clip(r))
	}
	return epoch, rev, nil
}

// timeOf returns the time, in ms, of the server that holds the key.
func timeOf(ctx context.Context, db redis.UniversalClient, key string) (int64, error) {
	var node interface {
		Time(context.Context) *redis.TimeCmd
	} = db
	if c, ok := db.(*redis.ClusterClient); ok {
		master, err := c.MasterForKey(ctx, key)
		if err != nil {
			return 0, err
		}
		node = master
	}
	t, err := node.Time(ctx).Result()
	return t.UnixMilli(), err
}

// scanPage is how many fields of a hash are read at once: Redis serves others in between.
const scanPage = 1000

// hashScan is a hash being read. HSCAN may return a field twice, and the fields of small hashes all at once.
type hashScan struct {
	kind, svc, key string
	most           int
	cursor         uint64
	pairs          []string
}

func (h *hashScan) take(page []string, cursor uint64) error {
	h.pairs = append(h.pairs, page...)
	h.cursor = cursor
	if len(h.pairs)/2 > 2*h.most {
		return bad("count", "%s: more than %d fields", clip(h.key), h.most)
	}
	return nil
}

func scanHash(ctx context.Context, db redis.UniversalClient, key string, most int) ([]string, error) {
	h := &hashScan{key: key, most: most}
	err := h.rest(ctx, db, true)
	return h.pairs, err
}

// rest reads the pages that are left.
func (h *hashScan) rest(ctx context.Context, db redis.UniversalClient, first bool) error {
	for first || h.cursor != 0 {
		first = false
		page, cursor, err := db.HScan(ctx, h.key, h.cursor, "", scanPage).Result()
		if err != nil {
			return err
		}
		if err := h.take(page, cursor); err != nil {
			return err
		}
	}
	return nil
}

// fetchServices reads what hangs under some services: the first page of each hash in one pipeline, and what is left of
// the large ones one after the other.
func fetchServices(ctx context.Context, db redis.UniversalClient, prefix string, services []string, d *dump) error {
	scans := make([]*hashScan, 0, 4*len(services))
	for _, name := range services {
		keys := GrantKeys(prefix, name)
		scans = append(scans,
			&hashScan{kind: kindServer, svc: name, key: keys[3], most: maxServers},
			&hashScan{kind: kindAdmin, svc: name, key: keys[4], most: maxServers},
			&hashScan{kind: kindReport, svc: name, key: keys[5], most: 2 * maxServers},
			&hashScan{kind: kindGrant, svc: name, key: keys[6], most: maxGrants})
	}
	cmds := make([]*redis.ScanCmd, len(scans))
	_, err := db.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, h := range scans {
			cmds[i] = p.HScan(ctx, h.key, 0, "", scanPage)
		}
		return nil
	})
	if err != nil && !isWrongType(err) {
		return fmt.Errorf("servers: %w", err)
	}
	for i, h := range scans {
		if err := h.finish(ctx, db, cmds[i], d); err != nil {
			return fmt.Errorf("%s: %w", clip(h.key), err)
		}
	}
	return nil
}

// finish takes the first page, reads the others, and adds the records. A key that is no hash breaks nothing else.
func (h *hashScan) finish(ctx context.Context, db redis.UniversalClient, first *redis.ScanCmd, d *dump) error {
	page, cursor, err := first.Result()
	if err == nil {
		err = h.take(page, cursor)
	}
	if err == nil {
		err = h.rest(ctx, db, false)
	}
	if isWrongType(err) || reasonOf(err) == "count" {
		d.broken = append(d.broken, record{kind: h.kind, svc: h.svc, data: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(h.pairs); i += 2 {
		d.records = append(d.records, record{h.kind, h.svc, h.pairs[i], h.pairs[i+1]})
	}
	return nil
}

func isWrongType(err error) bool { return err != nil && redis.HasErrorPrefix(err, "WRONGTYPE") }
