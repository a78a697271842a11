package store

import "sync/atomic"

// table is a map that anybody looks things up in without a lock, while one writer at a time changes it: a change copies one
// of many short lists. The zero table is empty.
type table[K tableKey, V any] struct {
	buckets [tableSize]atomic.Pointer[[]pair[K, V]]
}

// tableSize keeps the lists at some dozen entries when there are as many as there may be.
const tableSize = 4096

type tableKey interface {
	comparable
	hash() uint32 // of keys that are evenly spread
}

type pair[K tableKey, V any] struct {
	key   K
	value V
}

func (t *table[K, V]) bucket(k K) *atomic.Pointer[[]pair[K, V]] {
	return &t.buckets[k.hash()%tableSize]
}

func (t *table[K, V]) get(k K) (v V, ok bool) {
	list := t.bucket(k).Load()
	if list == nil {
		return v, false
	}
	for i := range *list {
		if p := &(*list)[i]; p.key == k {
			return p.value, true
		}
	}
	return v, false
}

// put sets the value of k.
func (t *table[K, V]) put(k K, v V) { t.replace(k, pair[K, V]{k, v}) }

// drop forgets k.
func (t *table[K, V]) drop(k K) { t.replace(k) }

func (t *table[K, V]) replace(k K, with ...pair[K, V]) {
	b := t.bucket(k)
	var list []pair[K, V]
	if old := b.Load(); old != nil {
		for _, p := range *old {
			if p.key != k {
				list = append(list, p)
			}
		}
	}
	list = append(list, with...)
	b.Store(&list)
}
