package farm

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/coredns-farm/farm/steer"
	"github.com/coredns-farm/farm/store"
)

// How a memory learns: a lesson every second, in which other replicas are told which answers were given, and every few
// lessons also what is known best.
const (
	learnEvery = time.Second
	tellEvery  = 5   // lessons
	mostTold   = 256 // resolvers of a service
	noteWithin = 100 // ms from when a query came to when its answer is noted; what is told twice counts once
)

// school is where a memory learns, off the query path. Blocks of the same zones share a memory, and at a reload two
// instances overlap: it learns from the database that joined last, for that one is going to stay.
type school struct {
	lesson   sync.Mutex // one at a time, also while one learning ends and the next begins
	exported int64      // when answers were exported last, ms on the clock of the view; guarded by lesson

	mu     sync.Mutex // guards what follows
	joined []*database
	stop   chan struct{} // closed when nobody is left
	ended  chan struct{} // closed when the learning has ended
}

// join has the memory learn from a database, as long as it does not leave.
func (m *memory) join(db *database) {
	s := &m.school
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.joined = append(s.joined, db); len(s.joined) > 1 {
		return
	}
	s.stop, s.ended = make(chan struct{}), make(chan struct{})
	go m.learn(s.stop, s.ended)
}

// leave ends what join began. The last one waits for the end.
func (m *memory) leave(db *database) {
	s := &m.school
	s.mu.Lock()
	s.joined = slices.DeleteFunc(s.joined, func(other *database) bool { return other == db })
	left, stop, ended := len(s.joined), s.stop, s.ended
	s.mu.Unlock()
	if left == 0 {
		close(stop)
		<-ended
	}
}

// learn gives lessons until it is told to stop. The first one is at once: what other replicas know is waited for.
func (m *memory) learn(stop <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	ticker := time.NewTicker(learnEvery)
	defer ticker.Stop()
	for n := rand.IntN(tellEvery); ; n++ {
		m.learnOnce(n%tellEvery == 0)
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

// learnOnce hears other replicas, tells them something if asked to, and takes in what servers report by now.
func (m *memory) learnOnce(tell bool) {
	m.school.lesson.Lock()
	defer m.school.lesson.Unlock()
	db := m.school.last()
	if db == nil {
		return
	}
	snap, now := db.view.Load(), db.view.Now()
	out := m.exportAnswers(snap, now)
	if tell {
		out = append(out, m.told(snap, now)...)
	}
	for _, s := range db.view.Exchange(out) {
		m.hear(snap, s, now)
	}
	m.learned.Tick(snap.Farms(), now)
}

// exportAnswers returns the answers that were given since it was last called.
func (m *memory) exportAnswers(snap *steer.Snapshot, now int64) (out []store.Shared) {
	since := m.school.exported
	m.school.exported = now
	if since == 0 {
		return nil
	}
	m.learned.ExportAnswers(snap.Farms(), since-noteWithin, now, func(f *steer.Farm, answers []byte) {
		out = append(out, store.Shared{Service: f.Service.Name, Answers: answers, At: now})
	})
	return out
}

func (s *school) last() *database {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.joined) == 0 {
		return nil
	}
	return s.joined[len(s.joined)-1]
}

// told is what other replicas are to hear.
func (m *memory) told(snap *steer.Snapshot, now int64) (out []store.Shared) {
	m.learned.ExportAll(snap.Farms(), mostTold, func(f *steer.Farm, loads []byte) {
		out = append(out, store.Shared{Service: f.Service.Name, Loads: loads, At: now})
	})
	return out
}

// hear takes over what another replica knows better, or which answers it gave.
func (m *memory) hear(snap *steer.Snapshot, s store.Shared, now int64) {
	f := snap.Farm(s.Service)
	if f == nil {
		return
	}
	if len(s.Answers) > 0 {
		sharedAnswers.count(m.learned.MergeAnswers(f, s.Answers, s.At, now))
		return
	}
	sharedLoads.count(m.learned.Merge(f, s.Loads, now))
}
