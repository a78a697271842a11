package main

import (
	"slices"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// turn is what rotating keys changes.
type turn struct {
	fresh qos.Key
	old   []qos.Key // keys that are given an end
	gone  []uint8   // keys that have ended
}

// rotate makes a key of a secret, which signs from now on, gives an end to those that sign now, and drops those that have
// ended. Keys that only begin later are left alone. Times are ms since 1970.
func rotate(keys []qos.Key, secret []byte, now int64, overlap time.Duration) (turn, error) {
	t := turn{fresh: qos.Key{Secret: secret, From: now}}
	last := -1
	taken := make(map[uint8]bool)
	for _, k := range keys {
		if k.Until != 0 && k.Until <= now {
			t.gone = append(t.gone, k.ID)
			continue
		}
		taken[k.ID] = true
		if k.From > now {
			continue
		}
		last = max(last, int(k.ID))
		if end := max(now+overlap.Milliseconds(), k.From+1); k.Until == 0 || k.Until > end {
			k.Until = end
			t.old = append(t.old, k)
		}
	}
	if len(taken) == qos.MaxKeys {
		return t, refusedf("there are %d keys, and no more can be; farm key delete makes room", len(taken))
	}
	t.fresh.ID = uint8(last + 1)
	for taken[t.fresh.ID] {
		t.fresh.ID++
	}
	slices.Sort(t.gone)
	return t, nil
}
