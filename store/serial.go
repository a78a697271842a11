package store

// The serial of a zone's SOA is when the services database was last edited, in seconds of Redis's time: every replica of one
// database shows the same, however long it runs. Reports edit nothing, and edits of one second are one. What stands in a
// Corefile does not count, for replicas are given it one after the other.

// firstSerial is that of a database that was not read yet, or never written to: any later one is above it (RFC 1982).
const firstSerial = 1

// serial returns the serial, which never goes back: of a database that was flushed or restored, what was read before counts.
func (r *replica) serial() uint32 {
	edited := int64(0)
	for _, sh := range r.shards {
		edited = max(edited, sh.edited)
	}
	return max(uint32(edited/1000), firstSerial)
}

// noteEpoch counts the beginning of a shard as an edit. Writers of older versions did not note when they edited.
func (sh *shard) noteEpoch() { sh.edited = max(sh.edited, min(int64(sh.epoch/1000), maxTime)) }

// serial is that of the replica. An embedded database begins anew with its process, and what was edited before is forgotten:
// its serial is at least when it began.
func (s *Store) serial() uint32 {
	if s.embedded == nil {
		return s.replica.serial()
	}
	return max(s.replica.serial(), uint32(s.start.Unix()))
}
