package main

import (
	"cmp"
	"slices"
	"strings"
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

// maxNear bounds the names that an error suggests.
const maxNear = 3

// near returns the names that a mistyped one may have meant, the likeliest first.
func near(name string, names []string) []string {
	type guess struct {
		name string
		far  int
	}
	var guesses []guess
	for _, n := range names {
		far := distance(name, n)
		if strings.Contains(n, strings.TrimSuffix(name, ".")) {
			far = 1
		}
		if far <= max(2, len(name)/5) {
			guesses = append(guesses, guess{n, far})
		}
	}
	slices.SortFunc(guesses, func(a, b guess) int {
		return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, g := range guesses[:min(len(guesses), maxNear)] {
		out = append(out, g.name)
	}
	return out
}

// didYouMean is the tail of an error about a name, empty if none is near.
func didYouMean(name string, names []string) string {
	guesses := near(name, names)
	if len(guesses) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(guesses, ", ") + "?"
}

// distance counts the insertions, deletions and changes of one octet between two names (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
