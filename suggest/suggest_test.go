package suggest

import (
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	names := []string{"www.example.org.", "web.example.org.", "api.example.org.", "_http._tcp.api.example.org.", "mail.example.net."}
	tests := []struct {
		in   string
		want string
	}{
		{"ww.example.org.", "www.example.org. web.example.org. api.example.org."},
		{"www.example.or.", "www.example.org. web.example.org."},
		{"api.", "_http._tcp.api.example.org. api.example.org."},
		{"nothing.like.it.test.", ""},
		{"mail.example.com.", "mail.example.net."},
	}
	for _, tc := range tests {
		if got := strings.Join(Names(tc.in, names), " "); got != tc.want {
			t.Errorf("Names(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"ab", "ba", 1}, {"prot", "port", 1}, {"abcd", "badc", 2},
	}
	for _, tc := range tests {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestIsBounded(t *testing.T) {
	names := slices.Repeat([]string{"www.example.org."}, 10)
	if got := Names("www.example.org", names); len(got) != most {
		t.Errorf("%d suggestions, want %d", len(got), most)
	}
}

func TestWords(t *testing.T) {
	known := []string{"cluster", "db", "ca", "cert", "key", "server_name"}
	for in, want := range map[string]string{
		"clustre": "cluster", "servername": "server_name", "crt": "cert", "b": "db", "CLUSTER": "cluster", "clsuter": "cluster", "password": "", "": "",
	} {
		if got := strings.Join(Words(in, known), " "); got != want {
			t.Errorf("Words(%q) = %q, want %q", in, got, want)
		}
	}
}
