package farm

// Ready implements ready.Readiness. The ready plugin asks one block for all of them; the store is what they share.
func (f *Farm) Ready() bool {
	return f.db != nil && f.db.store.Ready()
}
