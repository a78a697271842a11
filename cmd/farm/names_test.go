package main

import "testing"

func TestFQDN(t *testing.T) {
	for in, want := range map[string]string{"WWW.example.org": "www.example.org.", "a.": "a.", "*.A": "*.a."} {
		if got := fqdn(in); got != want {
			t.Errorf("fqdn(%q) = %q, want %q", in, got, want)
		}
	}
}
