package qos_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

const head = "\x01\x00" // version and flags

func TestParseOption(t *testing.T) {
	for _, row := range []struct {
		name, data string
		want       qos.Asked
	}{
		{name: "nothing", data: head},
		{name: "type of service", data: head + "\x01\x05video"},
		{name: "client", data: head + "\x02\x05alice", want: with(client("alice"))},
		{name: "long client", data: head + "\x02\xff" + strings.Repeat("c", 255), want: with(client(strings.Repeat("c", 255)))},
		{name: "handle", data: head + "\x03\x10" + sixteen, want: with(handle(sixteen))},
		{name: "signed handle", data: head + "\x03\x24" + thirtySix, want: with(handle(thirtySix))},
		{name: "level", data: head + "\x04\x04gold", want: with(level("gold"))},
		{name: "level in upper case", data: head + "\x04\x04GoLd", want: with(level("gold"))},
		{name: "level as CAMARA writes it", data: head + "\x04\x05QOS_E", want: with(level("qos-e"))},
		{name: "needs", data: head + "\x05\x0e\x00\x00\x00\x01\x00\x00\x00\x02\x00\x03\x00\x04\x05\x09",
			want: with(needs(qos.Needs{Up: 1, Down: 2, Delay: 3, Jitter: 4, Loss: 5}))},
		{name: "request id", data: head + "\x06\x10" + sixteen,
			want: with(func(a *qos.Asked) { copy(a.RequestID[:], sixteen); a.HasRequestID = true })},
		{name: "duration", data: head + "\x07\x04\x00\x00\x02\x58", want: with(func(a *qos.Asked) { a.Duration = 600 })},
		{name: "device", data: head + "\x08\x07\x01\xc0\x00\x02\x07\x10\x01",
			want: with(func(a *qos.Asked) { a.Device = netip.MustParseAddrPort("192.0.2.7:4097") })},
		{name: "device of IPv6", data: head + "\x08\x13\x02\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x07\x00\x00",
			want: with(func(a *qos.Asked) { a.Device = netip.MustParseAddrPort("[2001:db8::7]:0") })},
		{name: "release", data: "\x01\x08\x09\x10" + sixteen,
			want: with(func(a *qos.Asked) { copy(a.Release[:], sixteen); a.HasRelease, a.Drop = true, true })},
		{name: "flags", data: "\x01\xf7", want: with(func(a *qos.Asked) { a.Wait, a.NoGrant, a.Dry = true, true, true })},
		{name: "passed over", data: head + "\x00\x00\x0a\x01x\x3f\x00\x0a\x01x\x80\x00\xff\x00"},
		{name: "must be understood", data: head + "\x04\x04gold\x7f\x01x",
			want: with(level("gold"), func(a *qos.Asked) { a.Unknown = 0x7f })},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := with(level("silver"), handle(thirtySix)) // of which nothing is left
			if err := qos.ParseOption([]byte(row.data), &a); err != nil || a != row.want {
				t.Errorf("got %+v, %v, want %+v", a, err, row.want)
			}
		})
	}
}

// TestParseOptionErrors: of what is wrong nothing is taken.
func TestParseOptionErrors(t *testing.T) {
	for _, row := range []struct {
		name, data string
		want       error
	}{
		{"empty", "", qos.ErrOption},
		{"no flags", "\x01", qos.ErrOption},
		{"another version", "\x02\x00", qos.ErrVersion},
		{"text", "hello", qos.ErrVersion},
		{"too long", head + strings.Repeat("\x10\x00", 256), qos.ErrOption},
		{"a type alone", head + "\x04", qos.ErrOption},
		{"truncated", head + "\x04\x05gold", qos.ErrOption},
		{"truncated after a whole one", head + "\x04\x04gold\x10", qos.ErrOption},
		{"an unknown one truncated", head + "\x10\x02x", qos.ErrOption},
		{"level twice", head + "\x04\x04gold\x04\x04gold", qos.ErrOption},
		{"handle twice", head + "\x03\x10" + sixteen + "\x03\x10" + sixteen, qos.ErrOption},
		{"client twice", head + "\x02\x01a\x02\x01b", qos.ErrOption},
		{"no type of service", head + "\x01\x00", qos.ErrOption},
		{"type of service not UTF-8", head + "\x01\x01\xff", qos.ErrOption},
		{"no client", head + "\x02\x00", qos.ErrOption},
		{"handle of 15", head + "\x03\x0f" + sixteen[1:], qos.ErrOption},
		{"handle of 35", head + "\x03\x23" + thirtySix[1:], qos.ErrOption},
		{"handle of 37", head + "\x03\x25" + thirtySix + "x", qos.ErrOption},
		{"handle of 255", head + "\x03\xff" + strings.Repeat("x", 255), qos.ErrOption},
		{"no level", head + "\x04\x00", qos.ErrOption},
		{"level of a letter that folds to another", head + "\x04\x06gol\u212a", qos.ErrOption},
		{"level with a dot", head + "\x04\x05gol.d", qos.ErrOption},
		{"level of 33", head + "\x04\x21" + strings.Repeat("a", 33), qos.ErrOption},
		{"needs of 13", head + "\x05\x0d" + strings.Repeat("\x00", 13), qos.ErrOption},
		{"request id of 15", head + "\x06\x0f" + sixteen[1:], qos.ErrOption},
		{"request id of 17", head + "\x06\x11x" + sixteen, qos.ErrOption},
		{"duration of 3", head + "\x07\x03abc", qos.ErrOption},
		{"device of no family", head + "\x08\x07\x03\xc0\x00\x02\x07\x10\x01", qos.ErrOption},
		{"device of IPv4, too long", head + "\x08\x08\x01\xc0\x00\x02\x07\x10\x01\x01", qos.ErrOption},
		{"device of IPv6, too short", head + "\x08\x07\x02\xc0\x00\x02\x07\x10\x01", qos.ErrOption},
		{"grant of 17", head + "\x09\x11x" + sixteen, qos.ErrOption},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := with(level("silver"), handle(sixteen))
			a := before
			if err := qos.ParseOption([]byte(row.data), &a); !errors.Is(err, row.want) || a != before {
				t.Errorf("got %+v, %v, want %v", a, err, row.want)
			}
		})
	}
}

// sameByOption writes and reads a, of which the client is not known.
func sameByOption(t *testing.T, a qos.Asked) {
	t.Helper()
	a.Needs.Duration = 0 // it is in Duration
	var back qos.Asked
	if err := qos.ParseOption(qos.AppendOption(nil, &a, nil), &back); err != nil || back != a {
		t.Fatalf("got %+v, %v, want %+v", back, err, a)
	}
}

// FuzzParseOption: what is read is written and read as the same.
func FuzzParseOption(f *testing.F) {
	for _, data := range []string{
		"", head, head + "\x01\x05video\x02\x05alice\x04\x04gold\x07\x04\x00\x00\x02\x58", head + "\x03\x24" + thirtySix,
		"\x01\x0f\x05\x0e01234567890123\x09\x10" + sixteen + "\x06\x10" + sixteen, head + "\x08\x07\x01\xc0\x00\x02\x07\x10\x01\x41\x00",
		head + "\x08\x13\x02" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04\x00\x00", head + "\x04\x05gold",
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		var a qos.Asked
		if err := qos.ParseOption(data, &a); err != nil {
			if a != (qos.Asked{}) {
				t.Fatalf("%v, and %+v", err, a)
			}
			return
		}
		if len(data) > 512 || !bytes.Equal(data, before) {
			t.Fatal("taken, or written to")
		}
		a.Client, a.HasClient, a.Unknown = qos.ClientID{}, false, 0
		sameByOption(t, a)
	})
}
