package qos_test

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

func TestReply(t *testing.T) {
	id := qos.GrantID([]byte("\x3f\xa8\x5f\x64\x57\x17\x45\x62\xb3\xfc\x2c\x96\x3f\x66\xaf\xa6"))
	for _, row := range []struct {
		says qos.Shown
		data string // in hexadecimal digits
	}{
		{qos.Shown{}, "0100810100"},
		{qos.Shown{State: qos.Requested, Grant: id, Level: "qos-e", Left: 600, DSCP: 32, HasDSCP: true},
			"010081010182103fa85f6457174562b3fc2c963f66afa68305716f732d6584040000025885" + "0120"},
		{qos.Shown{State: qos.Granted, HasDSCP: true, Server: "web1"}, "010081010285010086" + "0477656231"},
		{qos.Shown{State: qos.Refused, Reason: qos.NotUnderstood}, "0100810104870109"},
	} {
		data := qos.AppendReply(nil, row.says)
		if got := hex.EncodeToString(data); got != row.data {
			t.Errorf("%+v: got %s, want %s", row.says, got, row.data)
		}
		if got, err := qos.ParseReply(data); err != nil || got != row.says {
			t.Errorf("%s: got %+v, %v, want %+v", row.data, got, err, row.says)
		}
	}
}

func TestReplyOfLongNames(t *testing.T) {
	data := qos.AppendReply(nil, qos.Shown{Level: "a", Server: strings.Repeat("s", 300)})
	if got, err := qos.ParseReply(data); err != nil || len(got.Server) != 255 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseReplyErrors(t *testing.T) {
	for _, row := range []struct {
		name, data string
		want       error
	}{
		{"empty", "", qos.ErrOption},
		{"another version", "\x03\x00", qos.ErrVersion},
		{"truncated", head + "\x81\x01", qos.ErrOption},
		{"state twice", head + "\x81\x01\x01\x81\x01\x01", qos.ErrOption},
		{"unknown state", head + "\x81\x01\x06", qos.ErrOption},
		{"grant of 15", head + "\x82\x0f" + sixteen[1:], qos.ErrOption},
		{"no level", head + "\x83\x00", qos.ErrOption},
		{"left of 5", head + "\x84\x05abcde", qos.ErrOption},
		{"DSCP of 64", head + "\x85\x01\x40", qos.ErrOption},
		{"no server", head + "\x86\x00", qos.ErrOption},
		{"reason of 2", head + "\x87\x02ab", qos.ErrOption},
		{"too long", head + strings.Repeat("\x10\x00", 512), qos.ErrOption},
	} {
		if got, err := qos.ParseReply([]byte(row.data)); !errors.Is(err, row.want) || got != (qos.Shown{}) {
			t.Errorf("%s: got %+v, %v, want %v", row.name, got, err, row.want)
		}
	}
	if got, err := qos.ParseReply([]byte(head + "\x10\x00\x81\x01\x02\xff\x01x")); err != nil || got.State != qos.Granted {
		t.Errorf("unknown types: %+v, %v", got, err)
	}
}

// TestReplyRoundTrip: any reply is read as it was written.
func TestReplyRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
	for range 2000 {
		s := qos.Shown{
			State: qos.State(rnd.IntN(6)), Level: pick("", "gold", "a-1"), Left: rnd.Uint32() >> rnd.IntN(33),
			Server: pick("", "web1", "x"), Reason: qos.Reason(rnd.IntN(12)), HasDSCP: rnd.IntN(2) > 0,
		}
		if s.HasDSCP {
			s.DSCP = uint8(rnd.IntN(64))
		}
		if rnd.IntN(2) > 0 {
			s.Grant = qos.GrantID(random(rnd, 16))
		}
		if got, err := qos.ParseReply(qos.AppendReply(nil, s)); err != nil || got != s {
			t.Fatalf("got %+v, %v, want %+v", got, err, s)
		}
	}
}

// FuzzParseReply: what is read is written and read as the same.
func FuzzParseReply(f *testing.F) {
	f.Add([]byte(head))
	f.Add(qos.AppendReply(nil, qos.Shown{State: qos.GrantedLower, Grant: qos.GrantID{1}, Level: "gold", Left: 9, DSCP: 46, HasDSCP: true, Server: "s", Reason: qos.Full}))
	f.Add([]byte(head + "\x81\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := qos.ParseReply(data)
		if err != nil {
			if s != (qos.Shown{}) {
				t.Fatalf("%v, and %+v", err, s)
			}
			return
		}
		if again, err := qos.ParseReply(qos.AppendReply(nil, s)); err != nil || again != s {
			t.Fatalf("got %+v, %v, want %+v", again, err, s)
		}
	})
}
