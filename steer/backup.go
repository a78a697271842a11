package steer

// Backup is a server for clients whom the servers of a pick fail.
type Backup struct {
	Server int32 // index into the farm
	Tier   int   // which tier of the client's view
}

// Backups appends servers of the tiers after a pick's own, in the order of the tiers, as far as an answer has room for them
// beside the pick. Of a tier that has more, they are drawn as an answer's servers are. A client that was granted a server, or
// is to get so many and no more, has none.
func Backups(f *Farm, q *Query, p *Pick, list []Backup) []Backup {
	if p.By == ByGrant || q.Answers > 0 || p.N == 0 {
		return list
	}
	f = f.seenBy(q)
	v := f.view(q.Region)
	room := f.Settings.Answers
	if room == 0 {
		room = MaxAnswers
	}
	room -= p.N
	for i := p.Tier + 1; i < len(v.tiers) && room > 0; i++ {
		t := &v.tiers[i]
		drawn := f.drawBackups(t, q, min(room, len(t.servers)))
		for _, s := range drawn.Servers[:drawn.N] {
			list = append(list, Backup{s, i})
		}
		room -= drawn.N
	}
	return list
}

func (f *Farm) drawBackups(t *tier, q *Query, k int) (p Pick) {
	u := fraction(q.Chance)
	for i := range k {
		f.take(t, t.position(u, i, k, q.Chance), q, &p)
	}
	return p
}
