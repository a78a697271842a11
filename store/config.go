package store

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// Config says which database a Store reads, and how.
type Config struct {
	URLs      []string // of Redis (see ParseURLs)
	Embedded  string   // HOST:PORT of an in-process database, started when there are no URLs
	Prefix    string   // of all keys; empty is DefaultPrefix
	StateFile string   // where the last good records are kept over restarts; empty is nowhere
	KeyFile   string   // keys that sign handles, beside those of the database (see qos.ParseKeys); read again when it changes
	Version   string   // of the program, for the node record
	Logger    Logger
}

// Logger takes what the store has to say: changes, not states. Nil functions are silent. They are called from the
// store's goroutines and must not call the store.
type Logger struct {
	Infof, Warnf func(format string, args ...any)
}

func (l Logger) info(format string, args ...any) {
	if l.Infof != nil {
		l.Infof(format, args...)
	}
}

func (l Logger) warn(format string, args ...any) {
	if l.Warnf != nil {
		l.Warnf(format, args...)
	}
}

// key is what equal configurations have in common: they share one running Store.
func (c *Config) key() string {
	return strings.Join(append(slices.Clone(c.URLs), "\x00", c.Embedded, c.Prefix, c.StateFile, c.KeyFile), "\x00")
}

// Check says what is wrong with a configuration, without opening anything. It fills in the defaults.
func (c *Config) Check() error {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if err := CheckPrefix(c.Prefix); err != nil {
		return err
	}
	if c.StateFile != "" {
		c.StateFile = filepath.Clean(c.StateFile)
	}
	if c.KeyFile != "" {
		c.KeyFile = filepath.Clean(c.KeyFile)
	}
	if len(c.URLs) > 0 {
		c.Embedded = ""
		_, err := ParseURLs(c.URLs)
		return err
	}
	if c.Embedded == "" {
		return errors.New("expected the URL of a Redis, or the address of an embedded store")
	}
	if _, _, err := net.SplitHostPort(c.Embedded); err != nil {
		return fmt.Errorf("embedded address %q: expected HOST:PORT", clip(c.Embedded))
	}
	return nil
}
