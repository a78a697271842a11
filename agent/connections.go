package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Connections is the collector of the established TCP connections of a port, from the kernel's tables.
type Connections struct {
	Proc string `yaml:"proc"` // where procfs is mounted; default /proc
	Port int    `yaml:"port"` // the local port; default the agent's
	Max  int    `yaml:"max"`  // connections at full utilisation; 0 is not known, and then they make none
}

func (c *Connections) validate() error {
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("port: %d, expected 1 to 65535", c.Port)
	}
	if c.Max < 0 {
		return fmt.Errorf("max: %d, expected more than 0", c.Max)
	}
	return nil
}

type connectionsCollector struct {
	files []string
	port  uint16
	max   int
}

func newConnections(cfg *Connections, port uint16) (*connectionsCollector, error) {
	if cfg.Port != 0 {
		port = uint16(cfg.Port)
	}
	if port == 0 {
		return nil, errors.New("port: expected one here or for the agent")
	}
	proc := cfg.Proc
	if proc == "" {
		proc = defaultProc
	}
	files := []string{filepath.Join(proc, "net/tcp"), filepath.Join(proc, "net/tcp6")}
	return &connectionsCollector{files: files, port: port, max: cfg.Max}, nil
}

// promises are the numbers that this collector says with each sample.
func (c *connectionsCollector) promises() []string {
	if c.max > 0 {
		return []string{"in_flight", "utilization"}
	}
	return []string{"in_flight"}
}

func (c *connectionsCollector) collect(context.Context, time.Time) (Sample, error) {
	n := 0
	for i, file := range c.files {
		f, err := os.Open(file)
		if i > 0 && errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return Sample{}, err
		}
		k, err := countEstablished(f, c.port)
		f.Close()
		if err != nil {
			return Sample{}, fmt.Errorf("%s: %w", file, err)
		}
		n += k
	}
	s := Sample{InFlight: new(float64(n))}
	if c.max > 0 {
		s.Utilization = new(float64(n) / float64(c.max))
	}
	return s, nil
}

// The columns of /proc/net/tcp, and the state that is an established connection.
const (
	columnLocal = 1
	columnState = 3
	established = "01"
)

// countEstablished counts the established connections to a local port. It reads line by line, since a busy server has
// hundreds of thousands of them and the agent is a guest.
func countEstablished(r io.Reader, port uint16) (int, error) {
	lines := bufio.NewScanner(r)
	if !lines.Scan() {
		return 0, errors.Join(errors.New("empty, expected a heading"), lines.Err())
	}
	n := 0
	for lines.Scan() {
		local, state, err := parseTCPLine(lines.Bytes())
		if err != nil {
			return 0, err
		}
		if local == port && string(state) == established {
			n++
		}
	}
	return n, lines.Err()
}

func parseTCPLine(line []byte) (port uint16, state []byte, err error) {
	column := 0
	var local []byte
	for f := range bytes.FieldsSeq(line) {
		switch column {
		case columnLocal:
			local = f
		case columnState:
			state = f
		}
		if column++; column > columnState {
			break
		}
	}
	_, hex, ok := bytes.Cut(local, []byte(":"))
	p, err := strconv.ParseUint(string(hex), 16, 16)
	if state == nil || !ok || err != nil {
		return 0, nil, fmt.Errorf("line %.80q, expected a local address, a remote one and a state", line)
	}
	return uint16(p), state, nil
}
