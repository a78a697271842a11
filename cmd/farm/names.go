package main

import (
	"strings"

	"github.com/coredns-farm/farm/suggest"
)

// fqdn is a name as the database keys it: lower case, with the final dot.
func fqdn(name string) string {
	name = strings.ToLower(name)
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	return name
}

// lower makes ids and names of levels lower case, as the database has them: DNS knows no other difference.
func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}

// didYouMean is the tail of an error about a name, empty if none is near.
func didYouMean(name string, names []string) string {
	return suggest.DidYouMean(suggest.Names(name, names))
}
