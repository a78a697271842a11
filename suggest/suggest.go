// Package suggest finds what a mistyped word may have meant, for errors to say so.
package suggest

import (
	"cmp"
	"slices"
	"strings"
)

// most bounds the words that an error suggests.
const most = 3

// Words returns the words of a fixed vocabulary that a mistyped one may have meant, the likeliest first.
func Words(word string, known []string) []string {
	word = strings.ToLower(word)
	return nearest(known, func(k string) (far int, ok bool) {
		far = distance(word, k)
		return far, far <= max(1, min(len(word), len(k))/3)
	})
}

// Names returns the names that a mistyped or incomplete one may have meant, the likeliest first.
func Names(name string, known []string) []string {
	return nearest(known, func(k string) (far int, ok bool) {
		if strings.Contains(k, strings.TrimSuffix(name, ".")) {
			return 1, true
		}
		far = distance(name, k)
		return far, far <= max(2, len(name)/5)
	})
}

// DidYouMean is the tail of an error that suggests words, empty if there are none.
func DidYouMean(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(words, ", ") + "?"
}

func nearest(known []string, distanceTo func(string) (far int, ok bool)) []string {
	far := make(map[string]int)
	var guesses []string
	for _, k := range known {
		if d, ok := distanceTo(k); ok {
			far[k] = d
			guesses = append(guesses, k)
		}
	}
	slices.SortFunc(guesses, func(a, b string) int { return cmp.Or(cmp.Compare(far[a], far[b]), cmp.Compare(a, b)) })
	return guesses[:min(len(guesses), most)]
}

// distance counts the insertions, deletions and changes of one octet, and the swaps of two neighbors, between two words
// (optimal string alignment).
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, next[j]+1, row[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
