package store

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embedded is a Redis protocol server in this process.
type embedded struct {
	server *miniredis.Miniredis
	stop   chan struct{}
	done   sync.WaitGroup
}

func startEmbedded(address string) (*embedded, error) {
	e := &embedded{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	if err := e.server.StartAddr(address); err != nil {
		return nil, fmt.Errorf("embedded store: %w (is another server running there?)", err)
	}
	e.done.Go(e.drive)
	return e, nil
}

// drive lets keys expire: miniredis has no clock of its own.
func (e *embedded) drive() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			e.server.FastForward(time.Second)
		case <-e.stop:
			return
		}
	}
}

func (e *embedded) address() string { return e.server.Addr() }

func (e *embedded) close() {
	close(e.stop)
	e.done.Wait()
	e.server.Close()
}
