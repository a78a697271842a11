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
		{[]string{"http://host"}, "!expected redis://, rediss://"},
		{[]string{"redis://"}, "!one HOST"},
		{[]string{"redis://a,b"}, "!several URLs are a Cluster"},
		{[]string{"redis://host:99999"}, "!HOST[:PORT]"},
		{[]string{"redis://host:0"}, "!HOST[:PORT]"},
		{[]string{"redis://192.0.2.300"}, "!HOST[:PORT]"},
		{[]string{"redis+sentinel://a,192.0.2/m"}, "!host 2: expected HOST[:PORT]"},
		{[]string{"redis://host/x"}, "!database"},
		{[]string{"redis://host?x=1"}, "!an option is not known: expected cluster, db;"},
		{[]string{"redis://host?clustre=true"}, "!an option is not known: expected cluster, db; did you mean cluster?; in user"},
		{[]string{"rediss://host?server-name=x"}, "!an option is not known: expected cluster, db, ca, cert, key, server_name; did you mean server_name?; in user"},
		{[]string{"redis://host?ca=/x"}, "!an option is not known: expected cluster, db;"},
		{[]string{"rediss://host?cert=/x"}, "!cert and key"},
		{[]string{"redis://host?cluster=maybe"}, "!option cluster: expected true or false"},
		{[]string{"redis://u:secret@ho st"}, "!HOST[:PORT]"},
		{[]string{"redis://u:sec%zzret@host"}, "!% as %25"},
		{[]string{"redis://host/1?cluster=true"}, "!a Cluster has no other"},
		{[]string{"redis+sentinel://a"}, "!name of the master"},
		{[]string{"redis+sentinel://a/m", "redis://b"}, "!Sentinels in one"},
		{[]string{"redis://u:secret@a", "redis://u:other@b"}, "!same user"},
		{[]string{"redis://a", "rediss://b"}, "!same user"},
		{[]string{"unix:///a", "unix:///b"}, "!no sockets"},
		{[]string{"unix://host/a"}, "!unix:///PATH"},
		{[]string{"unix:///run/redis@1.sock"}, "unix:///run/redis@1.sock"},
		{[]string{"redis://:secret/xyz@192.0.2.1:6379"}, "!/ as %2F"},
		{[]string{"redis://admin:se?secret@h"}, "!/ as %2F"},
		{[]string{"redis://admin:1234/5secret@h"}, "!/ as %2F"},
		{[]string{"redis://admin:x@secret/1@h"}, "!/ as %2F"},
		{[]string{"redis://admin:1234?db=secret@h"}, "!/ as %2F"},
		{[]string{"redis://admin:secret#1@h"}, "!/ as %2F"},
		{[]string{"redis://admin:secret%1@h"}, "!/ as %2F"},
		{[]string{"redis://:secret"}, "!HOST[:PORT]"},
		{[]string{"rediss://admin:1234?ca=secret@h"}, "!/ as %2F"},
		{[]string{"redis+sentinel://:secret/xyz@a,b/m"}, "!/ as %2F"},
		{[]string{"redis+sentinel://:x@secret/m@a,b/m"}, "!/ as %2F"},
		{[]string{"unix://:secret/x@/run/redis.sock"}, "!/ as %2F"},
		{[]string{"redis://a", "redis://:secret/xyz@b"}, "!redis URL 2: "},
		{[]string{"redis://u:s%2Fe%3Fc%23r%40e%25t@host"}, "redis://host:6379"},
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

// schemes are URLs cut where the password goes.
var schemes = [][2]string{
	{"redis://admin:", "@192.0.2.1:6379/0"},
	{"redis://:", "@db.example.org"},
	{"rediss://admin:", "@192.0.2.1?server_name=db.example.org"},
	{"unix://admin:", "@/run/redis.sock?db=1"},
	{"redis+sentinel://admin:", "@192.0.2.1,192.0.2.2:26379/main?db=1"},
	{"rediss+sentinel://:", "@192.0.2.1/main"},
}

// FuzzPasswordsStayOut puts a password into URLs as it is, as people do, and looks for pieces of it in what is said of them.
func FuzzPasswordsStayOut(f *testing.F) {
	for _, password := range []string{
		"Sup3rSecret/xyz", "Sup3r?Secret", "Sup3r#Secret", "Sup3r@Secret", "Sup3r%Secret", "1234/5?ca=/Sup3rSecret", "a@Sup3rSecret/1@",
		"Sup3rSecret://x", "x@Sup3rSecret?cluster=Sup3rSecret", "[Sup3rSecret", "Sup3rSecret,b:1", "Sup3rSecret:99999", "1?server_name=Sup3rSecret&x",
	} {
		for i := range schemes {
			f.Add(password, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, password string, scheme uint8) {
		around := schemes[int(scheme)%len(schemes)]
		full := around[0] + password + around[1]
		for _, urls := range [][]string{{full}, {"redis://192.0.2.9", full}, {full, "redis://192.0.2.9"}} {
			target, err := ParseURLs(urls)
			said := ""
			if err == nil {
				said = target.String()
				_, err = target.open(nil)
			}
			if err != nil {
				said += err.Error()
			}
			if piece := pieceOf(password, said, around); piece != "" {
				t.Errorf("%q: %q of the password is in %q", urls, piece, said)
			}
		}
	})
}

// pieceOf returns a piece of a password that is in a text and comes from nowhere else.
func pieceOf(password, text string, around [2]string) string {
	const least = 6 // shorter ones are in any text
	innocent, _ := ParseURLs([]string{around[0] + "x" + around[1]})
	for i := range len(password) - least + 1 {
		piece := password[i : i+least]
		if strings.Contains(text, piece) && !strings.Contains(innocent.String()+errorTexts, piece) {
			return piece
		}
	}
	return ""
}

// errorTexts are what errors say of any URL.
var errorTexts = func() string {
	var texts []string
	for _, urls := range [][]string{
		{"x"}, {"x://a"}, {"redis://"}, {"redis://a:0"}, {"redis://a/x"}, {"redis://a?x=1"}, {"redis://%zz@a"}, {"redis://a?x=%zz"}, {"redis://a/x@b"},
		{"redis://a?cluster=x"}, {"redis+sentinel://a"}, {"unix://a"}, {"rediss://a?cert=x"}, {"redis+sentinel://a/m", "redis://b"}, {"unix:///a", "unix:///b"},
		{"redis://a", "rediss://b"}, {"rediss://a?x=1"}, {"redis+sentinel://a/m?x=1"}, {"rediss+sentinel://a/m?x=1"}, {"unix:///a?x=1"},
	} {
		if _, err := ParseURLs(urls); err != nil {
			texts = append(texts, err.Error())
		}
	}
	return strings.Join(texts, " ")
}()
