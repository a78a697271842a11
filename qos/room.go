package qos

import (
	"crypto/sha256"
	"hash"
	"sync"
)

// room is where SHA-256 is worked out. It is used again: who verifies a handle is mostly a goroutine for one lookup, whose
// stack begins small and grows by being copied, which costs more than the hash.
type room struct {
	hash hash.Hash
	in   [2 * sha256.BlockSize]byte // what is hashed passes through it, and so stays where callers have it
	out  [sha256.Size]byte
}

var rooms = sync.Pool{New: func() any { return &room{hash: sha256.New()} }}

// hashing returns a room for one hash or more. Whoever asks gives it back.
func hashing() *room { return rooms.Get().(*room) }

func (r *room) add(b []byte)     { addTo(r, b) }
func (r *room) addText(s string) { addTo(r, s) }

func addTo[T []byte | string](r *room, part T) {
	for len(part) > 0 {
		n := copy(r.in[:], part)
		r.hash.Write(r.in[:n])
		part = part[n:]
	}
}

// sum returns the hash of what was added, and begins anew. It stands until the next.
func (r *room) sum() []byte {
	r.hash.Sum(r.out[:0])
	r.hash.Reset()
	return r.out[:]
}
