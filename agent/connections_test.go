package agent

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestConnectionsOfAFixture(t *testing.T) {
	for _, tt := range []struct {
		cfg  Connections
		port uint16
		want string
	}{
		{Connections{}, 443, "in_flight=3"},
		{Connections{Max: 4}, 443, "utilization=0.75 in_flight=3"},
		{Connections{Port: 8080, Max: 10}, 443, "utilization=0.1 in_flight=1"},
		{Connections{Port: 9, Max: 10}, 443, "utilization=0 in_flight=0"},
	} {
		tt.cfg.Proc = "testdata/proc"
		c, err := newConnections(&tt.cfg, tt.port)
		if wantError(t, err, "") {
			continue
		}
		s, err := c.collect(soon(t), epoch)
		wantError(t, err, "")
		wantSample(t, s, tt.want)
	}
	_, err := newConnections(&Connections{}, 0)
	wantError(t, err, "port")
}

func TestConnectionsHere(t *testing.T) {
	address := listen(t, hold)
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	for range 3 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	c, err := newConnections(&Connections{Max: 6}, uint16(n))
	wantError(t, err, "")
	s, err := c.collect(soon(t), epoch)
	wantError(t, err, "")
	wantSample(t, s, "utilization=0.5 in_flight=3")
}

func TestConnectionsErrors(t *testing.T) {
	c, err := newConnections(&Connections{Proc: t.TempDir()}, 80)
	wantError(t, err, "")
	_, err = c.collect(soon(t), epoch)
	wantError(t, err, "net/tcp")
	for _, line := range []string{"x", "0: 0100007F 0 01", "0: 0100007F:XY 0 01", "0: 0100007F:1BBBB 0 01", "0: 0100007F:01BB 0100007F:C350"} {
		_, err := countEstablished(strings.NewReader("heading\n"+line+"\n"), 443)
		wantError(t, err, "expected a local address")
	}
}
