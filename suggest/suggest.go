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

// distance counts the insertions, deletions and changes of one octet between two words (Levenshtein).
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
