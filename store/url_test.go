package store

import (
	"strings"
	"testing"
)

func TestParseURLs(t *testing.T) {
	tests := []struct {
		urls []string
		want string // of String, or after "!" a part of the error
	}{
		{[]string{"redis://192.0.2.1"}, "redis://192.0.2.1:6379"},
		{[]string{"redis://u:p%40ss@host:1/3"}, "redis://host:1"},
		{[]string{"redis://:secret@[2001:db8::1]:7"}, "redis://[2001:db8::1]:7"},
		{[]string{"rediss://host?ca=/a&cert=/b&key=/c&server_name=x"}, "rediss://host:6379"},
		{[]string{"unix:///run/redis.sock?db=2"}, "unix:///run/redis.sock"},
		{[]string{"redis+sentinel://u:p@a,b:1/main?sentinel_password=secret&db=1"}, "redis+sentinel://a:26379,b:1/main"},
		{[]string{"redis://a:1", "redis://b:2"}, "redis://a:1,b:2"},
		{[]string{"redis://a:1?cluster=true"}, "redis://a:1"},
		{nil, "!expected a URL"},
		{[]string{"host:6379"}, "!SCHEME://"},
		{[]string{"http://host"}, `!scheme "http"`},
		{[]string{"redis://"}, "!one HOST"},
		{[]string{"redis://a,b"}, "!several URLs are a Cluster"},
		{[]string{"redis://host:99999"}, "!HOST[:PORT]"},
		{[]string{"redis://host:0"}, "!HOST[:PORT]"},
		{[]string{"redis://host/x"}, "!database"},
		{[]string{"redis://host?x=1"}, `!option "x"`},
		{[]string{"redis://host?ca=/x"}, `!option "ca"`},
		{[]string{"rediss://host?cert=/x"}, "!cert and key"},
		{[]string{"redis://host?cluster=maybe"}, "!cluster=maybe"},
		{[]string{"redis://u:secret@ho st"}, "!HOST[:PORT]"},
		{[]string{"redis://u:sec%zzret@host"}, "!%XX"},
		{[]string{"redis://host/1?cluster=true"}, "!a Cluster has no other"},
		{[]string{"redis+sentinel://a"}, "!name of the master"},
		{[]string{"redis+sentinel://a/m", "redis://b"}, "!Sentinels in one"},
		{[]string{"redis://u:secret@a", "redis://u:other@b"}, "!same user"},
		{[]string{"redis://a", "rediss://b"}, "!same user"},
		{[]string{"unix:///a", "unix:///b"}, "!no sockets"},
		{[]string{"unix://host/a"}, "!unix:///PATH"},
	}
	for _, tt := range tests {
		got, err := ParseURLs(tt.urls)
		text := ""
		if err == nil {
			text = got.String()
		} else {
			text = "!" + err.Error()
		}
		part, failing := strings.CutPrefix(tt.want, "!")
		if failing != (err != nil) || !failing && text != tt.want || failing && !strings.Contains(text, part) {
			t.Errorf("%q: got %q, want %q", tt.urls, text, tt.want)
		}
		if strings.Contains(text, "secret") {
			t.Errorf("%q: the password is in %q", tt.urls, text)
		}
	}
}

func FuzzParseURLs(f *testing.F) {
	for _, u := range []string{
		"redis://u:p@host:1/2", "rediss://h?ca=a&cert=b&key=c", "unix:///a?db=1", "redis+sentinel://a,b:1/m?db=1",
		"redis://[::1]:1", "redis://h?cluster=true", "redis://%", "x://",
	} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, u string) {
		got, err := ParseURLs([]string{u})
		if err == nil && (len(got.opts.Addrs) == 0 || len(got.opts.Addrs) > maxHosts) {
			t.Errorf("%d hosts", len(got.opts.Addrs))
		}
	})
}
