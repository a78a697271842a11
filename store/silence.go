package store

// A database that refuses writes, or whose clock jumps, silences everybody at once. Their leases run out, all together;
// and whoever is heard first afterwards would be alone and take all clients. So when every lease had run out before a
// report comes, all who were alive when the silence began are taken to live for one lease more.

// leastSilence is the shortest time without any report, in ms, in which it is worth looking.
const leastSilence = 1000

// endSilence is called before a new report is applied.
func (r *replica) endSilence(now int64) {
	if r.reportAt == 0 || now-r.reportAt < leastSilence || r.anyAlive(now) {
		return
	}
	for i, sh := range r.shards {
		life := sh.clock.at(now)
		r.revive(sh, life, func(w *word) bool { return w.end > r.reportLife[i] })
	}
}

// reported notes that a report came.
func (r *replica) reported(now int64) {
	r.reportAt = now
	for i, sh := range r.shards {
		r.reportLife[i] = sh.clock.at(now)
	}
}

func (r *replica) anyAlive(now int64) bool {
	for _, sh := range r.shards {
		if sh.anyAlive(sh.clock.at(now)) {
			return true
		}
	}
	return false
}

func (sh *shard) anyAlive(life int64) bool {
	for _, s := range sh.services {
		for _, v := range s.servers {
			if v.alive(life) {
				return true
			}
		}
	}
	return false
}

// revive gives the words that were alive one lease more.
func (r *replica) revive(sh *shard, life int64, was func(*word) bool) {
	for name, s := range sh.services {
		for _, v := range s.servers {
			for w := range v.words() {
				if was(w) {
					w.end = life + w.lease()
					r.counts.revived++
					r.touch(name, urgent)
				}
			}
		}
	}
}

// words yields what is said of a server.
func (v *server) words() func(yield func(*word) bool) {
	return func(yield func(*word) bool) {
		if v.own != nil && !yield(v.own) {
			return
		}
		for _, w := range v.probes {
			if !yield(w) {
				return
			}
		}
	}
}

// awaken does the same for a shard that is read for the first time and in which nobody is alive: alive were those
// whose lease stood when the last report was written.
func (r *replica) awaken(sh *shard, life int64) {
	if sh.anyAlive(life) {
		return
	}
	var last int64
	for _, s := range sh.services {
		for _, v := range s.servers {
			for w := range v.words() {
				last = max(last, w.at)
			}
		}
	}
	r.revive(sh, life, func(w *word) bool { return w.at+w.lease() > last })
}
