package store

// change is what happened to a service that is to be built: bits.
type change uint8

const (
	edited change = 1 << iota // more than reports changed
	urgent                    // not to wait behind what is not
)

// buildQueue is the services that wait to be built: first those that are urgent, and of equals who has waited longest.
type buildQueue struct {
	first, rest []string // some are not in what any more: they were built
	what        map[string]change
}

func newBuildQueue() buildQueue { return buildQueue{what: make(map[string]change)} }

func (q *buildQueue) len() int { return len(q.what) }

func (q *buildQueue) add(name string, c change) {
	had, waits := q.what[name]
	q.what[name] = had | c
	switch {
	case c&^had&urgent != 0:
		q.first = append(q.first, name)
	case !waits:
		q.rest = append(q.rest, name)
	}
}

// take returns the next service. There must be one.
func (q *buildQueue) take() (name string, c change) {
	for {
		list := &q.rest
		if len(q.first) > 0 {
			list = &q.first
		}
		name, *list = (*list)[0], (*list)[1:]
		if c, ok := q.what[name]; ok {
			delete(q.what, name)
			return name, c
		}
	}
}
