package test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// behindProxy is a Redis that CoreDNS reaches by a way whose length can be set.
func behindProxy(t *testing.T) *victim {
	r := storetest.Start(t)
	l, err := net.Listen("tcp", local(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var delay atomic.Int64
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go forward(from, r.Addr, &delay)
		}
	}()
	return &victim{
		Redis: r, url: "redis://" + l.Addr().String(), agent: r.URL,
		hurry: func(d time.Duration) { delay.Store(int64(d)) },
	}
}

// forward carries one connection. Each piece of a reply waits for the delay; one that came when the delay was longer
// goes on as soon as it is shorter.
func forward(from net.Conn, addr string, delay *atomic.Int64) {
	defer from.Close()
	to, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		io.Copy(to, from)
		to.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := to.Read(buf)
		for began := time.Now(); time.Since(began) < time.Duration(delay.Load()); time.Sleep(10 * time.Millisecond) {
		}
		if _, werr := from.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
