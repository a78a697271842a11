package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/coredns-farm/farm/qos"
)

// The kinds of records of who is entitled to what.
const (
	kindKey    = "key"    // signs handles
	kindHandle = "handle" // what is known of one
)

// maxHandles bounds the records of handles; entitle.lua keeps to it.
const maxHandles = 100_000

// noService stands in entitle.lua in the place of the service.
const noService = "."

func decodeKey(id, data string) (qos.Key, error) {
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || strconv.FormatUint(n, 10) != id {
		return qos.Key{}, bad("name", "key %q: expected 0 to 255", clip(id))
	}
	k := qos.Key{ID: uint8(n)}
	if decode(data, &k) != nil || k.Check() != nil {
		return qos.Key{}, bad("json", "expected a secret in base64 and times") // and no word of what there is
	}
	return k, nil
}

func decodeHandle(id, data string) (h qos.HandleID, rec qos.HandleRecord, err error) {
	if h, err = qos.ParseHandleID(id); err != nil {
		return h, rec, bad("name", "%s", err)
	}
	if err = decode(data, &rec); err != nil {
		return h, rec, err
	}
	if err = rec.Check(); err != nil {
		err = bad("range", "%s", err)
	}
	return h, rec, err
}

// PutKey writes a key, replacing the one of its id. Handles that it signed are taken by every replica within moments.
func (c *Client) PutKey(ctx context.Context, k qos.Key) error {
	if err := k.Check(); err != nil {
		return bad("range", "%s", err)
	}
	data, err := encode(k)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	_, err = c.entitle(ctx, kindKey, strconv.Itoa(int(k.ID)), "set", data)
	return err
}

// DeleteKey removes a key: nothing that it signed holds any more. It says whether there was one.
func (c *Client) DeleteKey(ctx context.Context, id uint8) (bool, error) {
	return c.entitle(ctx, kindKey, strconv.Itoa(int(id)), "del", "")
}

// Keys returns the keys by their ids, with their secrets.
func (c *Client) Keys(ctx context.Context) ([]qos.Key, error) {
	ctx, cancel := deadline(ctx, 2*ioTimeout)
	defer cancel()
	pairs, err := scanHash(ctx, c.db, EntitleKeys(c.prefix)[2], qos.MaxKeys)
	if err != nil {
		return nil, c.wrap("keys", err)
	}
	byID := make(map[uint8]qos.Key) // HSCAN may name one twice
	for i := 0; i+1 < len(pairs); i += 2 {
		k, err := decodeKey(pairs[i], pairs[i+1])
		if err != nil {
			return nil, c.wrap("keys", fmt.Errorf("key %s: %w", clip(pairs[i]), err))
		}
		byID[k.ID] = k
	}
	keys := slices.Collect(maps.Values(byID))
	slices.SortFunc(keys, func(a, b qos.Key) int { return int(a.ID) - int(b.ID) })
	return keys, nil
}

// PutHandle writes what is known of a handle: all there is of one that is looked up; of a signed one, that it is revoked.
func (c *Client) PutHandle(ctx context.Context, id qos.HandleID, rec qos.HandleRecord) error {
	if err := rec.Check(); err != nil {
		return bad("range", "handle %s: %s", id, err)
	}
	data, err := encode(rec)
	if err != nil {
		return fmt.Errorf("handle %s: %w", id, err)
	}
	_, err = c.entitle(ctx, kindHandle, id.String(), "set", data)
	return err
}

// RevokeHandle has a handle entitle nobody any more. It says whether there is a record of it: of a signed handle that
// nobody has spoken of there is none; write one with PutHandle. Grants that it led to stand until they are revoked or end.
func (c *Client) RevokeHandle(ctx context.Context, id qos.HandleID) (bool, error) {
	rec, ok, err := c.Handle(ctx, id)
	if err != nil || !ok {
		return false, err
	}
	rec.Revoked = true
	return true, c.PutHandle(ctx, id, rec)
}

// Handle returns what is known of one handle; false if nothing is.
func (c *Client) Handle(ctx context.Context, id qos.HandleID) (qos.HandleRecord, bool, error) {
	ctx, cancel := deadline(ctx, 2*ioTimeout)
	defer cancel()
	data, err := c.db.HGet(ctx, EntitleKeys(c.prefix)[3], id.String()).Result()
	if err == redis.Nil {
		return qos.HandleRecord{}, false, nil
	}
	if err != nil {
		return qos.HandleRecord{}, false, c.wrap("handle", err)
	}
	_, rec, err := decodeHandle(id.String(), data)
	return rec, err == nil, c.wrap("handle", err)
}

// Handles returns what is known of handles. Records that cannot be read are left out.
func (c *Client) Handles(ctx context.Context) (map[qos.HandleID]qos.HandleRecord, error) {
	ctx, cancel := deadline(ctx, readTime)
	defer cancel()
	pairs, err := scanHash(ctx, c.db, EntitleKeys(c.prefix)[3], maxHandles)
	if err != nil {
		return nil, c.wrap("handles", err)
	}
	all := make(map[qos.HandleID]qos.HandleRecord, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		if id, rec, err := decodeHandle(pairs[i], pairs[i+1]); err == nil {
			all[id] = rec
		}
	}
	return all, nil
}

// entitle runs the script, and says whether it found what was to be removed.
func (c *Client) entitle(ctx context.Context, kind, id, op, data string) (bool, error) {
	got, err := c.runOn(ctx, scriptEntitle, EntitleKeys(c.prefix), noService, kind, id, op, data)
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	return got.status == "OK", nil
}
