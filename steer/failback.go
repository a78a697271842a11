package steer

import "slices"

// Failback: where a tier has taken over because the one before it failed, clients are not led back as soon as that is well,
// but after a time, or when an operator wants it. Nothing is remembered for it but since when each server is well again: a tier
// that came back later than one after it came there stands behind that. So what the others cannot take, it takes.

// heldSince is since when the server is well again, if that is too lately for failback; else 0.
func (f *Farm) heldSince(m *Member, now int64) int64 {
	if m.Back == 0 || f.Settings.Failback == 0 {
		return 0
	}
	if f.Settings.Failback == ByHand {
		return m.Back
	}
	until := m.Back + int64(f.Settings.Failback*1000)
	if now >= until {
		return 0
	}
	f.due(until)
	return m.Back
}

// together is how far apart, in ms, those may come back that were away for the same reason: the database refused their
// reports, say. The greatest usual lease.
const together = 10_000

// hold puts tiers that came back behind those that were there before they did, and keeps the order otherwise.
func (f *Farm) hold(tiers []tier) {
	before := int64(1) << 62 // when the first of the tiers that follow came back
	for i := len(tiers) - 1; i >= 0; i-- {
		back := f.backSince(&tiers[i])
		tiers[i].held = back > 0 && before < back-together
		before = min(before, back)
	}
	slices.SortStableFunc(tiers, func(a, b tier) int { return order(a.held) - order(b.held) })
}

func order(held bool) int {
	if held {
		return 1
	}
	return 0
}

// backSince is since when the first of a tier's servers is well again; 0 if one always was, or has been for long enough.
func (f *Farm) backSince(t *tier) int64 {
	since := f.State[t.servers[0]].Back
	for _, s := range t.servers {
		since = min(since, f.State[s].Back)
	}
	return since
}
