package main

import (
	"slices"
	"strings"
	"testing"
)

func TestNear(t *testing.T) {
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
		if got := strings.Join(near(tc.in, names), " "); got != tc.want {
			t.Errorf("near(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"ab", "ba", 2},
	}
	for _, tc := range tests {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestFQDN(t *testing.T) {
	for in, want := range map[string]string{"WWW.example.org": "www.example.org.", "a.": "a.", "*.A": "*.a."} {
		if got := fqdn(in); got != want {
			t.Errorf("fqdn(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNearIsBounded(t *testing.T) {
	names := slices.Repeat([]string{"www.example.org."}, 10)
	if got := near("www.example.org", names); len(got) != maxNear {
		t.Errorf("%d suggestions, want %d", len(got), maxNear)
	}
}
