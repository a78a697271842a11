package qos_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/coredns-farm/farm/qos"
)

// recordOf is a right record, changed.
func recordOf(change func(*qos.HandleRecord)) *qos.HandleRecord {
	r := &qos.HandleRecord{Client: alice, Rank: 3, Service: video, Expires: end}
	if change != nil {
		change(r)
	}
	return r
}

func TestHandleRecordCheck(t *testing.T) {
	at, _ := qos.ClientAt(home)
	for _, row := range []struct {
		want   string // the beginning of the error; empty if nothing is wrong
		change func(*qos.HandleRecord)
	}{
		{"", nil},
		{"", func(r *qos.HandleRecord) { r.Service = "." }},
		{"", func(r *qos.HandleRecord) { r.Service = "*.apps.example.org." }},
		{"", func(r *qos.HandleRecord) {
			r.Bearer, r.Address, r.Phone, r.Note = true, "2001:db8::1", "+4912345", "for Ann’s stream"
		}},
		{"", func(r *qos.HandleRecord) { r.Client, r.Address = at, home.String() }},
		{"", func(r *qos.HandleRecord) { r.Revoked = true }},
		{"client:", func(r *qos.HandleRecord) { r.Client = qos.ClientID{} }},
		{"rank:", func(r *qos.HandleRecord) { r.Rank = 0 }},
		{"service:", func(r *qos.HandleRecord) { r.Service = "" }},
		{"service:", func(r *qos.HandleRecord) { r.Service = "video.example.org" }},
		{"service:", func(r *qos.HandleRecord) { r.Service = "Video.example.org." }},
		{"service:", func(r *qos.HandleRecord) { r.Service = "a\n." }},
		{"service:", func(r *qos.HandleRecord) { r.Service = strings.Repeat("a", 254) + "." }},
		{"expires:", func(r *qos.HandleRecord) { r.Expires = 0 }},
		{"phone:", func(r *qos.HandleRecord) { r.Phone = "4912345" }},
		{"phone:", func(r *qos.HandleRecord) { r.Phone = "+49 12345" }},
		{"phone:", func(r *qos.HandleRecord) { r.Phone = "+1234567890123456" }},
		{"phone:", func(r *qos.HandleRecord) { r.Phone = "+1234" }},
		{"note:", func(r *qos.HandleRecord) { r.Note = "two\nlines" }},
		{"note:", func(r *qos.HandleRecord) { r.Note = "\xff" }},
		{"note:", func(r *qos.HandleRecord) { r.Note = strings.Repeat("n", 201) }},
		{"address:", func(r *qos.HandleRecord) { r.Address = "home" }},
		{"address:", func(r *qos.HandleRecord) { r.Address = "fe80::1%eth0" }},
		{"address:", func(r *qos.HandleRecord) { r.Address = "::ffff:192.0.2.7" }},
		{"bearer:", func(r *qos.HandleRecord) { r.Client, r.Address, r.Bearer = at, home.String(), true }},
	} {
		r := recordOf(row.change)
		err := r.Check()
		if (err == nil) != (row.want == "") || err != nil && !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%+v: got %v, want %q", r, err, row.want)
		}
	}
}

func TestHandleRecordJSON(t *testing.T) {
	r := recordOf(func(r *qos.HandleRecord) { r.Bearer, r.Note = true, "x" })
	data, err := json.Marshal(r)
	want := `{"client":"c364f41306b5ee6a","rank":3,"service":"video.example.org.","expires":1790220000000,"bearer":true,"note":"x"}`
	if err != nil || string(data) != want {
		t.Errorf("got %s, %v, want %s", data, err, want)
	}
	var back qos.HandleRecord
	if err := json.Unmarshal(data, &back); err != nil || back != *r {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestHandleRecordClaim: a looked-up handle entitles as a signed one does.
func TestHandleRecordClaim(t *testing.T) {
	at, _ := qos.ClientAt(home)
	away := netip.MustParseAddr("198.51.100.1")
	for _, row := range []struct {
		name    string
		change  func(*qos.HandleRecord)
		now     int64
		shown   bool // alice
		source  netip.Addr
		service string
		want    error
	}{
		{"its client", nil, noon, true, away, video, nil},
		{"nobody", nil, noon, false, away, video, qos.ErrClient},
		{"another service", nil, noon, true, away, "www.example.org.", qos.ErrService},
		{"any service", func(r *qos.HandleRecord) { r.Service = "." }, noon, true, away, "www.example.org.", nil},
		{"expired", nil, end, true, away, video, qos.ErrExpired},
		{"revoked", func(r *qos.HandleRecord) { r.Revoked = true }, noon, true, away, video, qos.ErrRevoked},
		{"bearer", func(r *qos.HandleRecord) { r.Bearer = true }, noon, false, away, video, nil},
		{"of an address", func(r *qos.HandleRecord) { r.Client, r.Address = at, home.String() }, noon, false, home, video, nil},
		{"of an address, elsewhere", func(r *qos.HandleRecord) { r.Client, r.Address = at, home.String() }, noon, true, away, video, qos.ErrClient},
		{"an address beside the client", func(r *qos.HandleRecord) { r.Address = home.String() }, noon, false, home, video, qos.ErrClient},
	} {
		t.Run(row.name, func(t *testing.T) {
			id := qos.HandleOf([]byte(sixteen))
			c, err := recordOf(row.change).Claim(id, row.now)
			if err == nil {
				err = c.Fits(row.service, alice, row.shown, row.source)
			}
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if err == nil && (c.ID != id || c.Rank != 3 || c.Expires != end) {
				t.Errorf("%+v", c)
			}
		})
	}
}
