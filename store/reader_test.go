package store

import (
	"errors"
	"testing"
	"time"
)

// A stream that somebody fills with garbage has its shard read anew again and again, but not as fast as garbage comes.
func TestGapsAreSpread(t *testing.T) {
	r := &reader{store: &Store{replica: newReplica()}}
	tl := new(tail)
	gap := func() time.Duration {
		began := time.Now()
		r.again(tl, errors.New("garbage"))
		return tl.due.Sub(began)
	}
	if d := gap(); d > firstRetry/2 {
		t.Errorf("the first gap waits %v", d)
	}
	for range 10 {
		gap()
	}
	if d := gap(); d < lastRetry/2 {
		t.Errorf("one of many gaps waits only %v", d)
	}
	tl.gapAt = tl.gapAt.Add(-2 * calmAfter)
	if d := gap(); d > firstRetry/2 {
		t.Errorf("a gap after a calm waits %v", d)
	}
}
