package store

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/coredns-farm/farm/qos"
)

// Entitlements is what handles are verified with. Keyring and Handle may be called by anyone at any time and never block.
type Entitlements struct {
	ring    atomic.Pointer[qos.Keyring]
	handles table[handleKey, *qos.HandleRecord]

	// mu guards what these are made from.
	mu         sync.Mutex
	epoch, rev uint64
	loaded     bool // whether there is anything: it was read, or stood in the state file
	keys       map[uint8]qos.Key
	filed      []qos.Key // those of the key file
	known      map[qos.HandleID]*qos.HandleRecord
	edits      uint64
}

type handleKey qos.HandleID

func (k handleKey) hash() uint32 { return binary.LittleEndian.Uint32(k[:]) }

// entitled is all that the database holds of keys and handles, and where it stands.
type entitled struct {
	epoch, rev uint64
	last       string // stream id
	keys       map[uint8]qos.Key
	handles    map[qos.HandleID]*qos.HandleRecord
	bad        []record // that cannot be read: what was known of them stands
}

// Keyring returns the keys of the database and of the key file, whose word goes over the database's; nil is none.
func (e *Entitlements) Keyring() *qos.Keyring { return e.ring.Load() }

// Handle returns what is known of a handle, nil if nothing is. It is immutable. Handle allocates nothing.
func (e *Entitlements) Handle(id qos.HandleID) *qos.HandleRecord {
	rec, _ := e.handles.get(handleKey(id))
	return rec
}

// Entitlements returns what handles are verified with. While the database is away, that is what was read last.
func (s *Store) Entitlements() *Entitlements { return &s.entitled }

// load takes a complete read. If the database is another one (flushed, restored, failed over), what it does not hold stands:
// a flush revokes nothing, and pardons nothing that was revoked.
func (e *Entitlements) load(d *entitled, now int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	another := e.loaded && (d.epoch != e.epoch || d.rev < e.rev)
	keep := func(kind, id string) bool {
		return another || slices.ContainsFunc(d.bad, func(b record) bool { return b.kind == kind && b.id == id })
	}
	for id, k := range e.keys {
		if _, ok := d.keys[id]; !ok && keep(kindKey, strconv.Itoa(int(id))) {
			d.keys[id] = k
		}
	}
	for id, rec := range e.known {
		if _, ok := d.handles[id]; ok {
			continue
		}
		if rec.Expires > now && keep(kindHandle, id.String()) && len(d.handles) < 2*maxHandles {
			d.handles[id] = rec
		} else {
			e.handles.drop(handleKey(id))
		}
	}
	for id, rec := range d.handles {
		if old := e.known[id]; old == nil || *old != *rec {
			e.handles.put(handleKey(id), rec)
		}
	}
	e.keys, e.known = d.keys, d.handles
	e.epoch, e.rev, e.loaded = d.epoch, d.rev, true
	e.tie()
}

// tie makes the keyring anew.
func (e *Entitlements) tie() {
	all := maps.Clone(e.keys)
	if all == nil {
		all = make(map[uint8]qos.Key)
	}
	for _, k := range e.filed {
		all[k.ID] = k
	}
	e.edits++
	ring, err := qos.NewKeyring(slices.Collect(maps.Values(all)))
	if err == nil { // every key was checked
		e.ring.Store(ring)
	}
}

// setKeys takes the keys of the database, but for those that are bad there.
func (e *Entitlements) setKeys(keys map[uint8]qos.Key, bad []record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range bad {
		if n, err := strconv.ParseUint(b.id, 10, 8); err == nil && e.keys[uint8(n)].Secret != nil {
			keys[uint8(n)] = e.keys[uint8(n)]
		}
	}
	e.keys = keys
	e.tie()
}

// setFiled takes the keys of the key file.
func (e *Entitlements) setFiled(keys []qos.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.filed = keys
	e.tie()
}

// step takes the place of an entry; errGap is that it is not the next one. It returns false for one that was already read.
func (e *Entitlements) step(en *entry) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	began := e.epoch == 0 && en.rev == 1
	if en.epoch == e.epoch && en.rev <= e.rev {
		return false, nil
	}
	if !began && (en.epoch != e.epoch || en.rev != e.rev+1) {
		return false, errGap
	}
	e.epoch, e.rev = en.epoch, en.rev
	return true, nil
}

// setHandle takes one record; nil is that there is none (any more).
func (e *Entitlements) setHandle(id qos.HandleID, rec *qos.HandleRecord) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.edits++
	if rec == nil {
		delete(e.known, id)
		e.handles.drop(handleKey(id))
		return
	}
	if e.known[id] == nil && len(e.known) >= 2*maxHandles {
		return
	}
	e.known[id] = rec
	e.handles.put(handleKey(id), rec)
}

// place returns where the entitlements stand.
func (e *Entitlements) place() (epoch, rev uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epoch, e.rev
}

// count returns how many keys and handles are known.
func (e *Entitlements) count() (keys, handles int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.filed {
		if _, ok := e.keys[k.ID]; !ok {
			keys++
		}
	}
	return keys + len(e.keys), len(e.known)
}

// version differs when anything changed in between.
func (e *Entitlements) version() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.edits
}

// entitledLine is the line of the state file that says where the database stood; keys and handles have a line each. The file
// is readable for its owner alone, for keys are secrets; without them a restart without Redis would entitle nobody.
type entitledLine struct {
	Epoch uint64 `json:"epoch"`
	Rev   uint64 `json:"rev"`
}

func (p entitledLine) line() stateLine {
	data, _ := json.Marshal(p) // two numbers
	return stateLine{Kind: kindEntitled, Data: data}
}

// kindEntitled is the kind of that line.
const kindEntitled = "entitled"

// lines lists what the state file holds of the database's keys and handles.
func (e *Entitlements) lines(out []stateLine) []stateLine {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.loaded {
		return out
	}
	out = append(out, entitledLine{e.epoch, e.rev}.line())
	for id, k := range e.keys {
		out = append(out, stateLine{Kind: kindKey, ID: strconv.Itoa(int(id)), value: k})
	}
	for id, rec := range e.known {
		out = append(out, stateLine{Kind: kindHandle, ID: id.String(), value: rec})
	}
	return out
}

// restore fills empty entitlements from the lines of the state file that are theirs, and returns the others.
func (e *Entitlements) restore(lines []stateLine, now int64) (others []stateLine) {
	d := &entitled{keys: make(map[uint8]qos.Key), handles: make(map[qos.HandleID]*qos.HandleRecord)}
	found := false
	others = slices.DeleteFunc(lines, func(l stateLine) bool {
		switch l.Kind {
		case kindEntitled:
			var place entitledLine
			found = json.Unmarshal(l.Data, &place) == nil
			d.epoch, d.rev = place.Epoch, place.Rev
		case kindKey:
			if k, err := decodeKey(l.ID, string(l.Data)); err == nil {
				d.keys[k.ID] = k
			}
		case kindHandle:
			if id, rec, err := decodeHandle(l.ID, string(l.Data)); err == nil && len(d.handles) < 2*maxHandles {
				d.handles[id] = &rec
			}
		default:
			return false
		}
		return true
	})
	if found {
		e.load(d, now)
	}
	return others
}
