package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/coredns-farm/farm/qos"
	"github.com/coredns-farm/farm/store"

	"github.com/spf13/cobra"
)

const keyLong = `List, rotate and delete the keys that sign handles: what clients show to be given a
level of service. Secrets are never shown.

Keys are in the services database, or in a file that every CoreDNS is given (keys
FILE in its Corefile); --file says which file is meant instead of the database.`

func (a *app) keyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "List, rotate and delete the keys that sign handles", Long: keyLong}
	var file string
	c.PersistentFlags().StringVar(&file, "file", "", keyFileUsage)
	c.AddCommand(a.keyList(&file), a.keyRotate(&file), a.keyDelete(&file))
	return c
}

const keyFileUsage = "keys in a `FILE`, instead of those in the database"

// keyPlace is where keys are kept. load reads them, by their ids; save puts and deletes keys; how much of that is one act, is up to the place.
type keyPlace interface {
	load(context.Context) ([]qos.Key, error)
	save(ctx context.Context, put []qos.Key, gone []uint8) error
}

// placeOf returns the file if one is named, else the database.
func placeOf(file string, db *store.Client) keyPlace {
	if file != "" {
		return keyFile(file)
	}
	return keysOf{db}
}

// keysOf are the keys in a database.
type keysOf struct{ db *store.Client }

func (k keysOf) load(ctx context.Context) ([]qos.Key, error) { return k.db.Keys(ctx) }

// save changes one key after the other.
func (k keysOf) save(ctx context.Context, put []qos.Key, gone []uint8) error {
	for _, key := range put {
		if err := k.db.PutKey(ctx, key); err != nil {
			return err
		}
	}
	for _, id := range gone {
		if _, err := k.db.DeleteKey(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// withKeys hands over the keys of a place, within the time for the database.
func (a *app) withKeys(file string, use func(context.Context, keyPlace, []qos.Key) error) error {
	ctx, cancel := a.within()
	defer cancel()
	db, err := a.dial() // it does not connect before it is used
	if err != nil {
		return err
	}
	defer db.Close()
	place := placeOf(file, db)
	keys, err := place.load(ctx)
	if err == nil {
		err = use(ctx, place, keys)
	}
	return fromDatabase(err)
}

// keyOf is a key as `farm key list` prints it.
type keyOf struct {
	Key   uint8  `json:"key"`
	State string `json:"state"`
	From  string `json:"from,omitempty"`
	Until string `json:"until,omitempty"`
}

// Words for what a key does now.
const (
	keySigns = "signs" // new handles
	keyHolds = "holds" // what it signed before
	keyEnded = "ended" // nothing that it signed holds
	keyLater = "signs later"
)

func keysShown(keys []qos.Key, now int64) ([]keyOf, error) {
	ring, err := qos.NewKeyring(keys)
	if err != nil {
		return nil, refusedf("%w", err)
	}
	newest, signs := ring.Newest(now)
	list := []keyOf{}
	for _, k := range keys {
		s := keyOf{Key: k.ID, State: keyHolds, From: moment(k.From), Until: moment(k.Until)}
		switch {
		case signs && k.ID == newest.ID:
			s.State = keySigns
		case k.Until != 0 && k.Until <= now:
			s.State = keyEnded
		case k.From > now:
			s.State = keyLater
		}
		list = append(list, s)
	}
	return list, nil
}

// moment shows a time in ms since 1970; 0 is not said.
func moment(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

func (a *app) keyList(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.withKeys(*file, func(_ context.Context, _ keyPlace, keys []qos.Key) error {
				list, err := keysShown(keys, time.Now().UnixMilli())
				if err != nil {
					return err
				}
				t := newTable("KEY", "NOW", "FROM", "UNTIL")
				for _, k := range list {
					t.add(strconv.Itoa(int(k.Key)), k.State, k.From, k.Until)
				}
				return a.print(list, t.write)
			})
		},
	}
}

// keyDone is what was done to a key, in JSON too.
type keyDone struct {
	Key  uint8  `json:"key"`
	Did  string `json:"did"`
	Note string `json:"note,omitempty"`
}

func (a *app) printKeys(list []keyDone) error {
	return a.print(list, func(w io.Writer) error {
		for _, k := range list {
			if _, err := fmt.Fprintf(w, "key %d: %s; %s\n", k.Key, k.Did, k.Note); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) keyRotate(file *string) *cobra.Command {
	overlap := 24 * time.Hour
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key, and give the old ones an end",
		Long: `Make a new random key. It signs handles from now on. What the keys before it signed
holds for the overlap yet: let it be as long as the handles that are issued. Keys that
have ended are dropped.`,
		Example: "  farm key rotate --overlap 12h\n  farm key rotate --file farm.keys",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.withKeys(*file, func(ctx context.Context, place keyPlace, keys []qos.Key) error {
				secret := make([]byte, 32)
				rand.Read(secret) // never fails
				t, err := rotate(keys, secret, time.Now().UnixMilli(), overlap)
				if err != nil {
					return err
				}
				if err := place.save(ctx, append([]qos.Key{t.fresh}, t.old...), t.gone); err != nil {
					return err
				}
				return a.printKeys(t.done())
			})
		},
	}
	c.Flags().Var(longDuration(&overlap, fromZero), "overlap", "how long what the old keys signed goes on to hold")
	return c
}

// done says what a turn did.
func (t *turn) done() []keyDone {
	list := []keyDone{{t.fresh.ID, "created", "signs handles from now on"}}
	for _, k := range t.old {
		list = append(list, keyDone{k.ID, "ends", "what it signed holds until " + moment(k.Until)})
	}
	for _, id := range t.gone {
		list = append(list, keyDone{id, "dropped", "it had ended"})
	}
	return list
}

func (a *app) keyDelete(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "delete KEY...",
		Short: "Delete keys: nothing that they signed holds any more",
		Long: `Delete keys, by their ids. Nothing that they signed holds any more, from now on: it is
what to do with a key that somebody else has come to know.`,
		Example: "  farm key delete 7",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ids, err := keyIDs(args)
			if err != nil {
				return err
			}
			return a.withKeys(*file, func(ctx context.Context, place keyPlace, keys []qos.Key) error {
				list := []keyDone{}
				for _, id := range ids {
					if !slices.ContainsFunc(keys, func(k qos.Key) bool { return k.ID == id }) {
						return notFoundf("no key %d; farm key list shows what there is", id)
					}
					list = append(list, keyDone{id, "deleted", "nothing that it signed holds any more"})
				}
				if err := place.save(ctx, nil, ids); err != nil {
					return err
				}
				return a.printKeys(list)
			})
		},
	}
}

func keyIDs(args []string) ([]uint8, error) {
	var ids []uint8
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 8)
		if err != nil {
			return nil, usagef("key %q: expected an id from 0 to 255", arg)
		}
		ids = append(ids, uint8(id))
	}
	return ids, nil
}

// maxLife bounds how long keys and handles are to hold, in seconds: ten years.
const maxLife = 10 * 366 * 86_400

// longDuration is a flag of a duration of days and more.
func longDuration(p *time.Duration, from bound) *value {
	return &value{kind: "duration", show: func() string { return spanOf(p.Seconds()) }, set: func(s string) error {
		x, err := parseSeconds(s, from, maxLife)
		if err == nil {
			*p = seconds(x)
		}
		return err
	}}
}
