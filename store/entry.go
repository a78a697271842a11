package store

import "strconv"

// entry is one change, as the streams carry it.
type entry struct {
	epoch, rev uint64
	del        bool
	record
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
