package test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coredns-farm/farm/store/storetest"
)

// behindWay is a Redis that CoreDNS reaches by a way on which replies are carried as the test says.
func behindWay(t *testing.T, carry func(from, to *net.TCPConn)) *victim {
	r := storetest.Start(t)
	l, err := net.Listen("tcp", local(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go relay(from.(*net.TCPConn), r.Addr, carry)
		}
	}()
	return &victim{Redis: r, url: "redis://" + l.Addr().String(), agent: r.URL}
}

// relay is one connection.
func relay(from *net.TCPConn, addr string, carry func(from, to *net.TCPConn)) {
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
	carry(from, to.(*net.TCPConn))
}

// behindCutter has a way whose connections end when they have carried so many octets of replies; 0 is never.
func behindCutter(t *testing.T) *victim {
	var limit atomic.Int64
	v := behindWay(t, func(from, to *net.TCPConn) {
		most := limit.Load()
		if most == 0 {
			io.Copy(from, to)
			return
		}
		io.CopyN(from, to, most)
		from.SetLinger(0) // not a word of farewell
	})
	v.cut = limit.Store
	return v
}

// behindProxy has a way whose length can be set. Each piece of a reply waits for the delay; one that came when the delay was
// longer goes on as soon as it is shorter.
func behindProxy(t *testing.T) *victim {
	var delay atomic.Int64
	v := behindWay(t, func(from, to *net.TCPConn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := to.Read(buf)
			for began := time.Now(); time.Since(began) < time.Duration(delay.Load()); time.Sleep(10 * time.Millisecond) {
			}
			if _, werr := from.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	})
	v.hurry = func(d time.Duration) { delay.Store(int64(d)) }
	return v
}
