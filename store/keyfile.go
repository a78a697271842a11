package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/coredns-farm/farm/qos"
)

// keyFile is the file that Config.KeyFile names.
type keyFile struct {
	path string
	seen os.FileInfo // as it was read last
	bad  bool        // whether it could not be read then
}

// maxKeyFile bounds the file, in octets; what is longer, ParseKeys refuses.
const maxKeyFile = 64<<10 + 1

// read returns the keys if the file has changed since they were last read.
func (f *keyFile) read() (keys []qos.Key, changed bool, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, false, fmt.Errorf("key file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, fmt.Errorf("key file: %w", err)
	}
	if s := f.seen; s != nil && os.SameFile(s, info) && s.ModTime().Equal(info.ModTime()) && s.Size() == info.Size() {
		return nil, false, nil
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err == nil {
		keys, err = qos.ParseKeys(data)
	}
	if err != nil {
		return nil, false, fmt.Errorf("key file %s: %w", f.path, err)
	}
	f.seen = info
	return keys, true, nil
}

// openKeyFile reads the keys for the first time.
func (s *Store) openKeyFile() error {
	if s.cfg.KeyFile == "" {
		return nil
	}
	s.keyFile.path = s.cfg.KeyFile
	keys, _, err := s.keyFile.read()
	if err != nil {
		return err
	}
	s.entitled.setFiled(keys)
	return nil
}

// keyFileLoop reads the keys again when the file changes. One that cannot be read changes nothing.
func (s *Store) keyFileLoop(ctx context.Context) {
	f := &s.keyFile
	for f.path != "" && pause(ctx, time.Second) {
		keys, changed, err := f.read()
		switch {
		case err != nil && !f.bad:
			s.cfg.Logger.warn("%s; the keys that were read before stand", err)
		case changed:
			s.entitled.setFiled(keys)
			s.cfg.Logger.info("key file %s: %d keys", f.path, len(keys))
		}
		f.bad = err != nil
	}
}
