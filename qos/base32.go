package qos

import "encoding/base32"

// alphabet is that of base32hex (RFC 4648), in lower case: as a label is after it was folded.
const alphabet = "0123456789abcdefghijklmnopqrstuv"

var base32hex = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// unbase32 decodes s into dst. It takes one text for the same octets only: no padding, no upper case, no bits to spare
// that are not zero. It allocates nothing, which the decoder of the standard library does.
func unbase32(dst []byte, s string) (n int, ok bool) {
	var bits, have uint
	for i := range len(s) {
		v, ok := digit(s[i])
		if !ok {
			return 0, false
		}
		if bits, have = bits<<5|v, have+5; have < 8 {
			continue
		}
		if n == len(dst) {
			return 0, false
		}
		have -= 8
		dst[n] = byte(bits >> have)
		bits &= 1<<have - 1
		n++
	}
	return n, have < 5 && bits == 0
}

func digit(c byte) (v uint, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint(c - '0'), true
	case 'a' <= c && c <= 'v':
		return uint(c-'a') + 10, true
	}
	return 0, false
}
