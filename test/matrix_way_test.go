package test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/coredns-farm/farm/store/storetest"
)

// behindCutter is a Redis that CoreDNS reaches by ways that end when they have carried so many octets of replies.
func behindCutter(t *testing.T) *victim {
	r := storetest.Start(t)
	l, err := net.Listen("tcp", local(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var limit atomic.Int64
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go carry(from, r.Addr, limit.Load())
		}
	}()
	return &victim{Redis: r, url: "redis://" + l.Addr().String(), agent: r.URL, cut: limit.Store}
}

// carry is one connection, which is cut after so many octets from addr; 0 is never.
func carry(from net.Conn, addr string, limit int64) {
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
	if limit == 0 {
		io.Copy(from, to)
		return
	}
	io.CopyN(from, to, limit)
	// Not a word of farewell.
	from.(*net.TCPConn).SetLinger(0)
}
