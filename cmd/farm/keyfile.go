package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/coredns-farm/farm/qos"
)

// keyFile is a file of keys, read and written as a whole.
type keyFile string

// maxKeyFile is more than a key file may have, so that one of too much is refused rather than cut.
const maxKeyFile = 65<<10 + 1

// load reads the keys. A file that is not there holds none.
func (f keyFile) load(context.Context) ([]qos.Key, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, coded(exitFailed, "%w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return nil, coded(exitFailed, "%w", err)
	}
	keys, err := qos.ParseKeys(data)
	if err != nil {
		return nil, refusedf("%s: %w", f, err)
	}
	return keys, nil
}

const keyFileHead = "# Keys of handles of quality of service: ID BASE64 [FROM [UNTIL]]. Whoever reads this can make handles.\n"

// save changes the file in one step. Who owned it owns it still, and nobody else can read it.
func (f keyFile) save(ctx context.Context, put []qos.Key, gone []uint8) error {
	keys, err := f.load(ctx)
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(keys, func(k qos.Key) bool {
		return slices.Contains(gone, k.ID) || slices.ContainsFunc(put, func(p qos.Key) bool { return p.ID == k.ID })
	})
	keys = append(keys, put...)
	slices.SortFunc(keys, func(a, b qos.Key) int { return cmp.Compare(a.ID, b.ID) })
	if err := f.write(qos.AppendKeys([]byte(keyFileHead), keys)); err != nil {
		return coded(exitFailed, "%w", err)
	}
	return nil
}

func (f keyFile) write(data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(string(f)), ".keys-*") // readable by nobody else
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // there is none any more if all went well
	if was, err := os.Stat(string(f)); err == nil {
		if owner, ok := was.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
			if err := temp.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
				temp.Close()
				return err
			}
		}
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), string(f))
}
