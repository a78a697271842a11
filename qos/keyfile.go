package qos

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxKeyFile bounds a key file, in octets.
const maxKeyFile = 64 << 10

// ParseKeys reads a key file: a key a line, ID BASE64 [FROM [UNTIL]], the times as of RFC 3339; from a # on a line is a
// comment. Errors name the line and show nothing of it.
func ParseKeys(file []byte) ([]Key, error) {
	if len(file) > maxKeyFile {
		return nil, fmt.Errorf("key file: expected at most %d octets, got %d", maxKeyFile, len(file))
	}
	var keys []Key
	var seen [MaxKeys]bool
	at := 0
	for line := range strings.Lines(string(file)) {
		at++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		k, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("line %d: key %d: expected each id once", at, k.ID)
		}
		seen[k.ID] = true
		keys = append(keys, k)
	}
	return keys, nil
}

func parseKey(fields []string) (k Key, err error) {
	id, err := strconv.ParseUint(fields[0], 10, 8)
	if err != nil || len(fields) < 2 || len(fields) > 4 {
		return k, fmt.Errorf("expected ID BASE64 [FROM [UNTIL]], with an id from 0 to 255")
	}
	k.ID = uint8(id)
	if k.Secret, err = base64.StdEncoding.DecodeString(fields[1]); err != nil {
		return k, fmt.Errorf("key %d: expected the secret in base64", id)
	}
	for i, field := range fields[2:] {
		t, err := time.Parse(time.RFC3339, field)
		if err != nil || t.UnixMilli() < 0 {
			return k, fmt.Errorf("key %d: expected times such as 2027-01-31T12:00:00Z", id)
		}
		if ms := t.UnixMilli(); i == 0 {
			k.From = ms
		} else {
			k.Until = ms
		}
	}
	return k, k.Check()
}

// AppendKeys appends the lines of a key file: the secrets are in it.
func AppendKeys(b []byte, keys []Key) []byte {
	for i := range keys {
		k := &keys[i]
		b = strconv.AppendUint(b, uint64(k.ID), 10)
		b = base64.StdEncoding.AppendEncode(append(b, ' '), k.Secret)
		b = time.UnixMilli(k.From).UTC().AppendFormat(append(b, ' '), timeForm)
		if k.Until != 0 {
			b = time.UnixMilli(k.Until).UTC().AppendFormat(append(b, ' '), timeForm)
		}
		b = append(b, '\n')
	}
	return b
}

// timeForm is RFC 3339 to the millisecond.
const timeForm = "2006-01-02T15:04:05.999Z07:00"
