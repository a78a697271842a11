package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coredns-farm/farm/store"
)

// database is a real Redis that keeps nothing on disk, and a client that writes to it.
type database struct {
	*process
	*store.Client
	url, port string
}

// startRedis starts a Redis and waits until it answers.
func (l *lab) startRedis(ctx context.Context) (*database, error) {
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	path, err := findProgram("redis-server")
	if err != nil {
		return nil, err
	}
	db := &database{url: "redis://" + local(port), port: strconv.Itoa(port)}
	db.process, err = l.start("redis-server", path, "--port", db.port, "--bind", "127.0.0.1", "--dir", l.dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	if err != nil {
		return nil, err
	}
	if db.Client, err = store.Dial([]string{db.url}, ""); err != nil {
		return nil, err
	}
	return db, await(ctx, db.process, "to answer", func() bool { return db.Ping(ctx) == nil })
}

// end closes the client and ends the server.
func (db *database) end(l *lab) {
	_ = db.Close()
	l.stop(db.process)
}

// do runs commands, one a line, through redis-cli and returns what it prints.
func (db *database) do(ctx context.Context, commands string) (string, error) {
	c := exec.CommandContext(ctx, "redis-cli", "-p", db.port)
	c.Stdin = strings.NewReader(commands)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli: %w\n%s", err, out)
	}
	if strings.HasPrefix(string(out), "ERR") {
		return "", fmt.Errorf("redis-cli: expected no error, got: %s", out)
	}
	return string(out), nil
}

// info is what Redis says of itself, by key.
type info map[string]string

func (db *database) info(ctx context.Context) (info, error) {
	text, err := db.do(ctx, "INFO everything\n")
	return parseInfo(text), err
}

func parseInfo(text string) info {
	all := make(info)
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if key, said, ok := strings.Cut(s.Text(), ":"); ok {
			all[key] = said
		}
	}
	return all
}

// number returns a figure; 0 if there is none.
func (i info) number(key string) float64 {
	x, err := strconv.ParseFloat(i[key], 64)
	if err != nil {
		return 0
	}
	return x
}

// calls returns how often each command was called so far, by scripts too.
func (i info) calls() map[string]float64 {
	all := make(map[string]float64)
	for key, said := range i {
		if command, ok := strings.CutPrefix(key, "cmdstat_"); ok {
			calls, _, _ := strings.Cut(strings.TrimPrefix(said, "calls="), ",")
			all[command], _ = strconv.ParseFloat(calls, 64)
		}
	}
	return all
}

// stateFile is where a reader of the lab may keep its records; no two readers share one.
func (l *lab) stateFile(n int) string { return filepath.Join(l.dir, fmt.Sprintf("state-%d", n)) }
