package store

import (
	"strconv"
	"strings"
)

// entry is one change, as the streams carry it.
type entry struct {
	epoch, rev uint64
	at         int64 // ms, by which the stream's ids go: Redis's time, which here never goes back
	del        bool
	record
}

// edits reports whether the change is one of the zone, and not of how a server fares or of what clients have.
func (e *entry) edits() bool {
	return e.kind == kindService || e.kind == kindServer || e.kind == kindAdmin
}

// timeOfID returns the time, in ms, of a stream id; 0 if it has none.
func timeOfID(id string) int64 {
	ms, _, _ := strings.Cut(id, "-")
	at, _ := strconv.ParseInt(ms, 10, 64)
	return min(max(at, 0), maxTime)
}

// parseEntry reads a stream entry. An error means that the stream is not what it should be; whether the record is
// valid is seen later.
func parseEntry(values map[string]any) (entry, error) {
	field := func(name string) string { s, _ := values[name].(string); return s }
	e := entry{record: record{field("kind"), field("svc"), field("id"), field("data")}}
	var err1, err2 error
	e.epoch, err1 = strconv.ParseUint(field("e"), 10, 64)
	e.rev, err2 = strconv.ParseUint(field("r"), 10, 64)
	if err1 != nil || err2 != nil {
		return e, bad("entry", "stream entry: expected epoch e and revision r, got %q and %q", clip(field("e")), clip(field("r")))
	}
	switch field("op") {
	case "set":
	case "del":
		e.del = true
	default:
		return e, bad("entry", "stream entry: op %q: expected set or del", clip(field("op")))
	}
	return e, nil
}
